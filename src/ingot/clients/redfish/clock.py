"""The BMC's clock: certificates, logs and schedules of a BMC are worth what its clock is.

May not: judge a difference. Source: DSP0268 Manager, DateTime and DateTimeLocalOffset.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec

from ingot.clients.redfish import systems
from ingot.clients.redfish.client import RedfishPool
from ingot.clients.redfish.resources import Resource, links, part, text
from ingot.clients.redfish.target import Target
from ingot.domain import errors


class Clock(msgspec.Struct, frozen=True):
    """What a BMC's clock says; ``local_offset``: as the service writes it ("+02:00"), None where it tells none."""

    at: datetime
    local_offset: str | None


async def read(pool: RedfishPool, target: Target) -> Clock:
    """The clock of the system's manager. Raises ``errors.NotSupported`` where it tells no time."""
    _, manager, _ = await _manager(pool, target)
    told = text(manager, "DateTime")
    if told is None:
        raise errors.NotSupported(f"{target.name} does not tell the time of its clock (no DateTime).")
    try:
        at = datetime.fromisoformat(told)
    except ValueError:
        raise errors.Misbehaved(f"{target.name} tells a time that is none: {told[:40]}.") from None
    return Clock(at if at.tzinfo else at.replace(tzinfo=UTC), text(manager, "DateTimeLocalOffset"))


async def change(pool: RedfishPool, target: Target, at: datetime, local_offset: str | None = None) -> None:
    """Set the clock; fractions of a second are given only to a service that shows them: others refuse them."""
    path, manager, etag = await _manager(pool, target)
    fine = "." in (text(manager, "DateTime") or "")
    wanted = at if fine else (at + timedelta(milliseconds=500)).replace(microsecond=0)
    offset: Resource = {"DateTimeLocalOffset": local_offset} if local_offset else {}
    await pool.patch(target, path, {"DateTime": wanted.isoformat(), **offset}, etag)


async def _manager(pool: RedfishPool, target: Target) -> tuple[str, Resource, str | None]:
    system = await systems.get(pool, target)
    for path in links(part(system, "Links"), "ManagedBy"):
        manager, etag = await pool.get_with_etag(target, path)
        return path, manager, etag
    raise errors.NotSupported(f"{target.name} names no manager of the system, so its clock cannot be found.")
