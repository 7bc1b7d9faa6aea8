"""The journal of events: what changed, in the order in which it was committed; triggers.py writes it.

May not: write. Invariant: an event's id is never used again, so the last one seen is a place to go on from.
"""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Connection, func, select

from ingot.store import rows
from ingot.store.schema import events

KINDS = {
    "node.created": "a node was enrolled",
    "node.changed": "a state of a node, its maintenance, fault, last error, instance or name is another",
    "node.deleted": "a node is gone",
    "history.added": "a line of a node's history was written",
    "run.started": "work on a node was asked for",
    "run.step": "a step of a run started, ended, failed or was undone (the run's journal)",
    "run.waiting": "a run waits, or what is known of the reason is new",
    "run.progress": "how far a step has come",
    "run.ended": "a run succeeded, failed or was aborted",
}
"""Every kind of event and what it means."""


class Event(msgspec.Struct, frozen=True):
    """One event. ``at`` in epoch seconds; ``owner`` and ``lessee``: the node's when it happened; ``body``: JSON."""

    id: int
    at: float
    kind: str
    node_uuid: str
    owner: str | None
    lessee: str | None
    body: str


def shown(event: Event) -> bytes:
    """An event as it leaves: JSON text without line breaks."""
    head: dict[str, Any] = {"id": event.id, "at": event.at, "kind": event.kind, "node": event.node_uuid}
    return msgspec.json.encode({**head, **msgspec.json.decode(event.body)})


def bounds(connection: Connection) -> tuple[int, int]:
    """The ids of the oldest event that is kept and of the newest; (1, 0) before the first."""
    oldest, newest = connection.execute(select(func.min(events.c.id), func.max(events.c.id))).one()
    return (1, 0) if newest is None else (oldest, newest)


def list_after(connection: Connection, last: int, limit: int, node_uuid: str | None = None) -> list[Event]:
    """Up to ``limit`` events after the one with the id ``last``, oldest first."""
    statement = select(events).where(events.c.id > last).order_by(events.c.id).limit(limit)
    if node_uuid is not None:
        statement = statement.where(events.c.node_uuid == node_uuid)
    return [rows.from_row(row, Event) for row in connection.execute(statement)]
