"""Raw commands and restarts of the BMC itself, by the names of Ironic's ipmitool vendor interface.

Why: the last resort for what no contract has. May not: guess what a raw command does, so it is never repeated.
"""

from __future__ import annotations

from typing import Any, ClassVar

from ingot.clients.ipmi import completion, device
from ingot.domain import errors, runs
from ingot.drivers.ipmi import target as targets
from ingot.interfaces.context import Context, StepContext
from ingot.interfaces.hardware import VendorInterface, VendorMethod
from ingot.interfaces.steps import step

_BYTES = "raw_bytes"
_EXAMPLE = 'Send {"raw_bytes": "0x06 0x01"}: network function, command and data.'
_MEANT_SO = {True: True, "true": True, "1": True, "on": True, "yes": True, "t": True, "y": True}


class IpmiVendor(VendorInterface):
    """send_raw, bmc_reset and query_raw."""

    methods: ClassVar[dict[str, VendorMethod]] = {
        "send_raw": VendorMethod(
            description=f"Send a raw IPMI command and forget its answer; {_BYTES}: bytes such as 0x00 0x01", waits=False
        ),
        "bmc_reset": VendorMethod(description="Restart the BMC; warm: true (default) or false for cold", waits=False),
        "query_raw": VendorMethod(
            description=f"Send a raw IPMI command and give its answer; {_BYTES}: bytes such as 0x00 0x01"
        ),
    }

    def properties(self) -> dict[str, str]:
        """The keys of a BMC."""
        return targets.PROPERTIES

    async def validate(self, ctx: Context) -> None:
        """The BMC must be described."""
        targets.check(ctx)

    async def call(self, ctx: Context, method: str, body: dict[str, Any]) -> Any:
        """Run a method; ``query_raw`` answers {"completion_code", "meaning", "data"}."""
        bmc = targets.of(ctx)
        match method:
            case "send_raw":
                await self._send(ctx, body)
            case "bmc_reset":
                word = body.get("warm", True)
                warm = _MEANT_SO.get(word.lower() if isinstance(word, str) else word, False)
                await device.reset(ctx.kit.ipmi, bmc, warm=warm)
            case "query_raw":
                netfn, command, data = _parse(body)
                code, *rest = await ctx.kit.ipmi.raw(bmc, netfn, command, data)
                words = "success" if code == completion.SUCCESS else completion.meaning(code)
                return {"completion_code": f"{code:#04x}", "meaning": words, "data": _hex(bytes(rest))}
            case _:
                known = ", ".join(self.methods)
                raise errors.Invalid(f'There is no vendor method "{method}"', hint=f"Methods: {known}.")
        return None

    @step(resume=runs.Resume.FAIL, abortable=False, clean=0, deploy=0, service=0)
    async def send_raw(self, ctx: StepContext) -> None:
        """Send the raw command ``raw_bytes``; its completion code must be success."""
        await self._send(ctx, ctx.args)

    async def _send(self, ctx: Context, body: dict[str, Any]) -> None:
        netfn, command, data = _parse(body)
        await ctx.kit.ipmi.command(targets.of(ctx), netfn, command, data)


def _parse(body: dict[str, Any]) -> tuple[int, int, bytes]:
    """(network function, command, data) of raw_bytes: a text as ipmitool takes it, or a list of numbers."""
    given = body.get(_BYTES)
    if not given:
        raise errors.Invalid(f"Argument {_BYTES} is missing.", hint=_EXAMPLE)
    try:
        parts: list[Any] = given.split() if isinstance(given, str) else list(given)
        numbers = bytes(int(part, 0) if isinstance(part, str) else int(part) for part in parts)
    except (TypeError, ValueError) as error:
        raise errors.Invalid(f"{_BYTES} {given!r} are no bytes.", hint=_EXAMPLE) from error
    if len(numbers) < 2 or numbers[0] & 1 or numbers[0] > 0x3F:
        raise errors.Invalid(
            f"{_BYTES} {given!r} do not begin with an even network function up to 0x3e and a command.", hint=_EXAMPLE
        )
    return numbers[0], numbers[1], numbers[2:]


def _hex(data: bytes) -> str:
    return " ".join(f"{byte:#04x}" for byte in data)
