"""The BMC's event log: find it, read it, clear it.

Why: makers put it below the manager, the system or the case, under names of their own.
Invariant: never more than ``MOST_ENTRIES`` are read. Source: DSP0268 LogService and LogEntry.
"""

from __future__ import annotations

import msgspec

from ingot.clients.redfish import systems, tasks
from ingot.clients.redfish.client import RedfishPool
from ingot.clients.redfish.resources import Resource, action, items, link, links, part, text
from ingot.clients.redfish.target import Target
from ingot.domain import errors

MOST_ENTRIES = 2000
_KINDS = ("SEL", "Event", "Multiple")
_NAMES = ("sel", "iml", "event", "log1", "activelog", "platformlog", "standardlog")  # of makers, preferred first


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One line; ``at`` in ISO 8601."""

    id: str
    at: str | None
    severity: str | None
    source: str | None
    message: str


async def read(pool: RedfishPool, target: Target) -> list[Entry]:
    """The entries of the event log, oldest first. Raises ``errors.NotSupported`` where there is no log."""
    _, service = await _find(pool, target)
    found: list[Resource] = []
    path = link(service, "Entries")
    while path is not None and len(found) < MOST_ENTRIES:
        page = await pool.get(target, path)
        some = items(page, "Members")[: MOST_ENTRIES - len(found)]
        for item in some:
            member = text(item, "@odata.id")
            found.append(await pool.get(target, member) if len(item) == 1 and member else item)
        path = text(page, "Members@odata.nextLink") if some else None  # an empty page may lead to itself
    entries = [_entry(one) for one in found]
    return sorted(entries, key=lambda one: one.at or "")


async def clear(pool: RedfishPool, target: Target) -> None:
    """Empty the event log. Raises ``errors.NotSupported``."""
    path, service = await _find(pool, target)
    order = action(service, "LogService.ClearLog")
    if order is None:
        raise errors.NotSupported(f"{target.name} does not let its log {path} be cleared.")
    await tasks.run(pool, target, order, {})


async def _find(pool: RedfishPool, target: Target) -> tuple[str, Resource]:
    """The log service that holds hardware events."""
    system = await systems.get(pool, target)
    owners = [system]
    owners += [await pool.get(target, path) for path in links(part(system, "Links"), "ManagedBy")]
    found = [each for owner in owners for each in await pool.collect(target, link(owner, "LogServices"))]
    if not found:
        raise errors.NotSupported(f"{target.name} has no event log.")
    return min(found, key=lambda each: _rank(each[1]))


def _rank(service: Resource) -> tuple[int, int]:
    kind, name = text(service, "LogEntryType"), (text(service, "Id") or "").lower()
    return (
        _KINDS.index(kind) if kind in _KINDS else len(_KINDS),
        _NAMES.index(name) if name in _NAMES else len(_NAMES),
    )


def _entry(entry: Resource) -> Entry:
    return Entry(
        id=text(entry, "Id") or "",
        at=text(entry, "EventTimestamp") or text(entry, "Created"),
        severity=text(entry, "Severity"),
        source=text(entry, "SensorType") or text(entry, "EntryType"),
        message=text(entry, "Message") or text(entry, "MessageId") or "",
    )
