"""What the imaginary vendor offers beyond all contracts: an echo and a lamp. May not: touch anything real."""

from __future__ import annotations

from typing import Any

from ingot.domain import errors
from ingot.drivers.fake import acts
from ingot.interfaces.context import Context
from ingot.interfaces.hardware import VendorInterface

_ECHO = "Give back what was sent"
_BLINK = "Blink the imaginary lamp"


class FakeVendor(VendorInterface):
    """``echo`` reads, ``blink`` acts."""

    def methods(self) -> dict[str, dict[str, Any]]:
        """The two, both answered while the caller waits."""
        shared = {"http_methods": ["POST"], "async": False, "attach": False}
        return {
            "echo": {**shared, "description": _ECHO, "require_exclusive_lock": False},
            "blink": {**shared, "description": _BLINK, "require_exclusive_lock": True},
        }

    async def call(self, ctx: Context, method: str, body: dict[str, Any]) -> Any:
        """The body for ``echo``, None for ``blink``. Raises errors.Invalid for any other method."""
        match method:
            case "echo":
                await acts.act(ctx, "vendor.echo")
                return body
            case "blink":
                await acts.act(ctx, "vendor.blink", "lamp blinked")
                return None
            case _:
                known = ", ".join(self.methods())
                raise errors.Invalid(f'There is no vendor method "{method}"', hint=f"Methods: {known}.")
