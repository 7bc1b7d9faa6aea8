"""What the imaginary vendor offers beyond all contracts: an echo and a lamp. May not: touch anything real."""

from __future__ import annotations

from typing import Any, ClassVar

from ingot.domain import errors
from ingot.drivers.fake import acts
from ingot.interfaces.context import Context
from ingot.interfaces.hardware import VendorInterface, VendorMethod


class FakeVendor(VendorInterface):
    """``echo`` reads, ``blink`` acts, ``blink_slowly`` acts after the caller has gone on; ``about`` asks the driver."""

    methods: ClassVar[dict[str, VendorMethod]] = {
        "echo": VendorMethod(description="Give back what was sent", http_methods=("GET", "POST"), exclusive=False),
        "blink": VendorMethod(description="Blink the imaginary lamp"),
        "blink_slowly": VendorMethod(description="Blink the imaginary lamp, some time later", waits=False),
    }
    driver_methods: ClassVar[dict[str, VendorMethod]] = {
        "about": VendorMethod(description="What this driver is", http_methods=("GET",), exclusive=False),
    }

    async def call(self, ctx: Context, method: str, body: dict[str, Any]) -> Any:
        """The body for ``echo``, None for the others."""
        if method == "echo":
            await acts.act(ctx, "vendor.echo")
            return body
        if method not in self.methods:
            raise errors.Invalid(f'There is no vendor method "{method}"', hint=f"Methods: {', '.join(self.methods)}.")
        await acts.act(ctx, f"vendor.{method}", "lamp blinked")
        return None

    async def call_driver(self, method: str, body: dict[str, Any]) -> Any:
        """What ``about`` tells."""
        return {"machines": "imaginary"}
