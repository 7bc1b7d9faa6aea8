"""Whether a BMC's clock goes right, and setting it. Invariant: a clock that was set is read back."""

from __future__ import annotations

from datetime import UTC, datetime

from ingot.clients.redfish import clock
from ingot.domain import errors
from ingot.drivers.redfish import target
from ingot.interfaces.context import StepContext

_ALLOWED = 1.0
"""Seconds a clock may be wrong, as in Ironic, beside the fraction that it does not show and the time of its answer."""


async def put(ctx: StepContext, at: datetime, local_offset: str | None = None) -> None:
    """Set the clock to ``at``, as of now. Raises errors.Misbehaved where it shows another time afterwards."""
    service = target.of(ctx)
    ahead = at.timestamp() - ctx.now()
    await clock.change(ctx.kit.redfish, service, at, local_offset)
    off, shown = await _read(ctx, ahead)
    if off > _ALLOWED:
        raise errors.Misbehaved(
            f"{service.name} took the time {at.isoformat()}, but its clock shows {shown}.",
            hint="See whether the BMC takes its time from NTP, and switch that off or correct its server.",
        )


async def settle(ctx: StepContext) -> None:
    """Set the clock to the present time if it is wrong, and tell so in the node's history."""
    off, shown = await _read(ctx, 0.0)
    if off > _ALLOWED:
        held = await clock.read(ctx.kit.redfish, target.of(ctx))
        await put(ctx, datetime.fromtimestamp(ctx.now(), UTC), None if held.local_offset == "+00:00" else "+00:00")
        await ctx.journal.note(f"The BMC's clock showed {shown}; it was set right.", "WARNING")


async def _read(ctx: StepContext, ahead: float) -> tuple[float, str]:
    """(seconds the clock is wrong at least, what it shows), against our time plus ``ahead``."""
    before = ctx.now() + ahead
    held = await clock.read(ctx.kit.redfish, target.of(ctx))
    after, at = ctx.now() + ahead, held.at.timestamp()
    return max(before - 1.0 - at, at - after, 0.0), held.at.isoformat()
