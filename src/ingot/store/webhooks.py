"""Webhooks in the database, how far each has come in the journal of events, and the log of their deliveries.

May not: send. Invariant: ``last_event`` moves only after what lies before it was delivered, not wanted, or given
up; so whatever a crash cuts is sent again.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec
from sqlalchemy import Connection, delete, func, insert, select, update

from ingot.domain import errors
from ingot.store import events, rows
from ingot.store.paging import Page, paged
from ingot.store.schema import webhook_deliveries, webhooks

KEPT = 200
"""Deliveries of each webhook that the log keeps."""


class Outcome(StrEnum):
    """How a delivery ended."""

    DELIVERED = "delivered"
    FAILED = "failed"
    GIVEN_UP = "given up"
    LOST = "lost"


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """A place that wants to be told. ``kinds``: of events, or their first word; none means all. ``due_at``: epoch."""

    uuid: str
    url: str
    description: str | None = None
    kinds: tuple[str, ...] = ()
    enabled: bool = True
    last_event: int = 0
    attempts: int = 0
    due_at: float = 0.0
    created_at: str | None = None
    updated_at: str | None = None

    def wants(self, kind: str) -> bool:
        """Whether it is to be told of events of this kind."""
        return not self.kinds or kind in self.kinds or kind.partition(".")[0] in self.kinds


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One try. ``at`` in epoch seconds, ``duration`` in seconds, ``status``: of HTTP, None when no answer came."""

    event_id: int
    kind: str
    attempt: int
    at: float
    duration: float
    outcome: Outcome
    status: int | None = None
    reason: str | None = None


def create(connection: Connection, value: Webhook, secrets: str) -> Webhook:
    """Store a new webhook, which is told of what happens from now on; ``secrets``: sealed."""
    made = msgspec.structs.replace(value, created_at=rows.now(), last_event=events.bounds(connection)[1])
    connection.execute(insert(webhooks).values(rows.to_row(made, webhooks, secrets=secrets)))
    return made


def get(connection: Connection, uuid: str) -> Webhook:
    """The webhook with this uuid. Raises NotFound."""
    row = connection.execute(select(webhooks).where(webhooks.c.uuid == uuid)).first()
    if row is None:
        raise errors.NotFound(f"Webhook {uuid} could not be found.")
    return rows.from_row(row, Webhook)


def get_secrets(connection: Connection, uuid: str) -> str:
    """The sealed key of a webhook. Raises NotFound."""
    get(connection, uuid)
    return connection.execute(select(webhooks.c.secrets).where(webhooks.c.uuid == uuid)).scalar_one()


def list_page(connection: Connection, page: Page) -> list[Webhook]:
    """One page of webhooks."""
    found = connection.execute(paged(connection, webhooks, select(webhooks), page))
    return [rows.from_row(row, Webhook) for row in found]


def change(connection: Connection, uuid: str, **values: Any) -> Webhook:
    """Set columns; what was put off is tried at once. Raises NotFound."""
    fresh = rows.encode({**values, "updated_at": rows.now(), "attempts": 0, "due_at": 0.0})
    connection.execute(update(webhooks).where(webhooks.c.uuid == uuid).values(fresh))
    return get(connection, uuid)


def destroy(connection: Connection, uuid: str) -> None:
    """Remove a webhook with its log. Raises NotFound."""
    get(connection, uuid)
    connection.execute(delete(webhooks).where(webhooks.c.uuid == uuid))


def list_due(connection: Connection, now: float) -> tuple[bool, list[Webhook]]:
    """Whether there is any webhook that is enabled, and those among them that have events to look at."""
    enabled = [rows.from_row(row, Webhook) for row in connection.execute(select(webhooks).where(webhooks.c.enabled))]
    newest = events.bounds(connection)[1] if enabled else 0
    return bool(enabled), [hook for hook in enabled if hook.last_event < newest and hook.due_at <= now]


def take(connection: Connection, hook: Webhook, until: float) -> bool:
    """Keep a webhook to oneself until then; False when another process was faster."""
    mine = update(webhooks).where(webhooks.c.uuid == hook.uuid, webhooks.c.due_at == hook.due_at)
    return connection.execute(mine.values(due_at=until)).rowcount == 1


def move(connection: Connection, uuid: str, last_event: int, attempts: int, due_at: float) -> None:
    """Note how far a webhook has come, and when to look at it again."""
    values = {"last_event": last_event, "attempts": attempts, "due_at": due_at}
    connection.execute(update(webhooks).where(webhooks.c.uuid == uuid).values(values))


def log(connection: Connection, uuid: str, entry: Delivery) -> None:
    """Write a line into a webhook's log, which forgets its oldest; nothing when the webhook is gone."""
    if connection.execute(select(webhooks.c.id).where(webhooks.c.uuid == uuid)).first() is None:
        return
    connection.execute(insert(webhook_deliveries).values(webhook_uuid=uuid, **msgspec.to_builtins(entry)))
    mine = webhook_deliveries.c.webhook_uuid == uuid
    newest = select(webhook_deliveries.c.id).where(mine).order_by(webhook_deliveries.c.id.desc())
    limit = connection.execute(newest.offset(KEPT).limit(1)).scalar()
    if limit is not None:
        connection.execute(delete(webhook_deliveries).where(mine, webhook_deliveries.c.id <= limit))


def list_deliveries(connection: Connection, uuid: str) -> list[Delivery]:
    """The log of a webhook, newest first. Raises NotFound."""
    get(connection, uuid)
    mine = select(webhook_deliveries).where(webhook_deliveries.c.webhook_uuid == uuid)
    found = connection.execute(mine.order_by(webhook_deliveries.c.id.desc()))
    return [rows.from_row(row, Delivery) for row in found]


def lag(connection: Connection) -> int:
    """Events that the webhook farthest behind has before it; 0 without webhooks."""
    behind = connection.execute(select(func.min(webhooks.c.last_event)).where(webhooks.c.enabled)).scalar()
    return 0 if behind is None else max(0, events.bounds(connection)[1] - behind)
