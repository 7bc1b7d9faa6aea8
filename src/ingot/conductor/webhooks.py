"""Telling webhooks of events: each has its place in the journal, and is served in order, one event at a time.

Signed by HMAC-SHA256 over time and body; tried again with growing pauses for a day. What the database says was sent is
all there is to remember, so a kill costs nothing but a repetition. May not: read an answer's body. Invariants: no
webhook delays another, nor anything else; an event is passed over only when delivered, unwanted, or logged as given up.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import urllib.parse
from http import HTTPStatus

import structlog
from sqlalchemy import Connection

from ingot.clients.http import client as http
from ingot.deps import Deps
from ingot.domain import errors
from ingot.store import events
from ingot.store import webhooks as store
from ingot.telemetry import counts

_log = structlog.get_logger("ingot.webhooks")
GIVE_UP = 86_400.0
"""Seconds after which an event that nobody took is passed over."""
_LONGEST_PAUSE = 300.0
_TIMEOUT = 10.0
_LEASE = 15.0
"""Seconds a webhook is kept from other processes; one delivery takes less."""
_BATCH = 100
_POLL = 0.5
_IDLE = 10.0
"""How often to look for events, and, while there is no webhook, for one that another process made."""


class Webhooks:
    """Serves all webhooks until cancelled."""

    def __init__(self, deps: Deps, give_up: float = GIVE_UP) -> None:
        self._deps = deps
        self._give_up = give_up
        self._busy: set[str] = set()
        self._rung = asyncio.Event()
        deps.bus.listen(lambda _node: self._rung.set())

    async def run(self) -> None:
        """Look for events for ever, a task for each webhook that has some."""
        client = http.HttpClient()
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    self._rung.clear()
                    known = True
                    with contextlib.suppress(errors.Unreachable):  # a full disk passes
                        known, due = await self._deps.store.read(store.list_due, self._deps.clock())
                        for hook in due:
                            if hook.uuid not in self._busy:
                                self._busy.add(hook.uuid)
                                group.create_task(self._serve(client, hook))
                    await self._sleep(known)
        finally:
            await client.close()

    async def _sleep(self, known: bool) -> None:
        if known:
            await asyncio.sleep(_POLL)
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_IDLE):
                await self._rung.wait()
        await asyncio.sleep(_POLL)  # rings are many, webhooks are few

    async def _serve(self, client: http.HttpClient, hook: store.Webhook) -> None:
        try:
            until = self._deps.clock() + _LEASE
            if await self._deps.store.run(store.take, hook, until):
                await _Turn(self._deps, client, hook, self._give_up).run()
        except errors.IngotError as error:  # a key that cannot be opened, say: it concerns this webhook alone
            _log.warning("webhook left out", webhook=hook.uuid, reason=error.sentence())
        finally:
            self._busy.discard(hook.uuid)


class _Turn:
    """A webhook's turn: some events, until one cannot be delivered."""

    def __init__(self, deps: Deps, client: http.HttpClient, hook: store.Webhook, give_up: float) -> None:
        self._deps = deps
        self._client = client
        self._hook = hook
        self._give_up = give_up
        self._last = hook.last_event
        self._attempts = hook.attempts

    async def run(self) -> None:
        sealed, (oldest, _), found = await self._deps.store.read(_read, self._hook)
        key: str = self._deps.sealer.open(self._hook.uuid, sealed)
        if oldest > self._last + 1:
            await self._note_lost(oldest)
        pause = 0.0
        for event in found:
            if self._hook.wants(event.kind) and not await self._deliver(event, key):
                pause = min(2.0**self._attempts, _LONGEST_PAUSE)
                break
            self._last = event.id
        due = self._deps.clock() + pause if pause else 0.0
        await self._deps.store.run(store.move, self._hook.uuid, self._last, self._attempts, due)

    async def _deliver(self, event: events.Event, key: str) -> bool:
        """Send one event; False when it is to be sent again later."""
        self._attempts += 1
        began = self._deps.clock()
        status, reason = await self._send(event, key)
        ended = self._deps.clock()
        outcome = store.Outcome.DELIVERED
        if reason is not None:
            too_old = ended - event.at > self._give_up
            outcome = store.Outcome.GIVEN_UP if too_old else store.Outcome.FAILED
        entry = store.Delivery(
            event_id=event.id,
            kind=event.kind,
            attempt=self._attempts,
            at=began,
            duration=ended - began,
            outcome=outcome,
            status=status,
            reason=reason,
        )
        counts.DELIVERIES.count(outcome)
        if outcome == store.Outcome.FAILED:
            await self._deps.store.run(store.log, self._hook.uuid, entry)
            return False
        self._attempts = 0
        await self._deps.store.run(_passed, self._hook.uuid, entry, ended + _LEASE)
        return True

    async def _send(self, event: events.Event, key: str) -> tuple[int | None, str | None]:
        """The status of the answer, None without one, and why it did not do, None when it did."""
        body = events.shown(event)
        headers = signed(key, body, int(self._deps.clock()))
        headers.update({"Ingot-Event": event.kind, "Ingot-Event-Id": str(event.id), "Ingot-Webhook": self._hook.uuid})
        receiver = f"The receiver {urllib.parse.urlsplit(self._hook.url).netloc.rpartition('@')[2]}"
        call = http.Call("POST", self._hook.url, receiver, headers, body, timeout=_TIMEOUT)
        try:
            reply = await self._client.send(call)
        except errors.IngotError as error:
            return None, error.sentence()
        if HTTPStatus.OK <= reply.status < HTTPStatus.MULTIPLE_CHOICES:
            return reply.status, None
        return reply.status, f"{receiver} answered {reply.status}, not 2xx."

    async def _note_lost(self, oldest: int) -> None:
        lost = oldest - self._last - 1
        reason = f"{lost} events were not kept until this webhook could be told of them."
        now = self._deps.clock()
        entry = store.Delivery(
            event_id=oldest - 1, kind="", attempt=0, at=now, duration=0.0, outcome=store.Outcome.LOST, reason=reason
        )
        await self._deps.store.run(_passed, self._hook.uuid, entry, now + _LEASE)
        self._last = oldest - 1  # else a receiver that fails next would take the webhook back to before them


def signed(key: str, body: bytes, now: int) -> dict[str, str]:
    """The headers by which a receiver knows that ``body`` is ours and new: time in seconds, and the HMAC of both."""
    digest = hmac.new(key.encode(), f"{now}.".encode() + body, hashlib.sha256).hexdigest()
    return {
        "Content-Type": "application/json",
        "Ingot-Timestamp": str(now),
        "Ingot-Signature": f"sha256={digest}",
    }


def _read(connection: Connection, hook: store.Webhook) -> tuple[str, tuple[int, int], list[events.Event]]:
    found = events.list_after(connection, hook.last_event, _BATCH)
    return store.get_secrets(connection, hook.uuid), events.bounds(connection), found


def _passed(connection: Connection, uuid: str, entry: store.Delivery, until: float) -> None:
    """An event is dealt with: the log and the webhook's place in one unit."""
    store.log(connection, uuid, entry)
    store.move(connection, uuid, entry.event_id, 0, until)
