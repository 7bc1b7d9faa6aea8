"""Being a member: this conductor's row, its heartbeat, its share of the work, and what its predecessor left behind.

A process that starts under a hostname knows that the one before it is gone: what that one held is freed at once,
so that work goes on without waiting for leases to run out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog
from sqlalchemy import Connection

from ingot.deps import Deps
from ingot.domain import errors, hashring
from ingot.store import absence, compatibility, conductors, upgrade
from ingot.store import claims as claim_store
from ingot.telemetry.clock import Steady

_log = structlog.get_logger("ingot.membership")
_BEAT = 10.0
"""The longest pause between two signs of life; a third of the lease where that is less."""


class Membership:
    """One conductor's place among the others."""

    def __init__(self, deps: Deps, hostname: str, boot_id: str, every: float | None = None) -> None:
        self._deps = deps
        self._every = min(_BEAT, deps.settings.lease / 3) if every is None else every
        self._group = deps.settings.conductor_group
        self.hostname = hostname
        self._boot_id = boot_id
        self._online = True
        self._ring = hashring.Ring()
        self._beaten_at = self._sure_at = 0.0
        self._changed: list[Callable[[], None]] = []

    def listen(self, changed: Callable[[], None]) -> None:
        """Call ``changed`` whenever nodes have become this conductor's, or another's."""
        self._changed.append(changed)

    @property
    def owner(self) -> str:
        """What stands in a run that this process holds."""
        return f"{self.hostname}/{self._boot_id}"

    def share(self, held: frozenset[str]) -> claim_store.Share:
        """The runs this conductor claims; ``held``: those it works on."""
        slots = self._ring.slots(self._group, self.hostname)
        return claim_store.Share(self._group, self._deps.registry.enabled, slots, held)

    def has(self, group: str, uuid: str) -> bool:
        """Whether this conductor looks after a node of this group."""
        return self._ring.find(group, uuid) == self.hostname

    def may_have(self, uuid: str) -> bool:
        """Whether a node may be this conductor's, as far as its uuid tells; an empty one may be any."""
        slots = self._ring.slots(self._group, self.hostname)
        return slots is None or not uuid or hashring.slot(uuid) in slots

    async def join(self) -> None:
        """Enter the table, free the runs of the process that had this hostname before, give back the time between."""
        if isinstance(self._deps.clock, Steady):
            self._deps.clock.not_before(await self._deps.store.read(absence.last_seen) or 0.0)
        freed, away = await self._deps.store.run(self._join)
        self._beaten_at = self._deps.clock()
        await self._look()
        _log.info("joined", hostname=self.hostname, runs_taken_over=freed, away=round(away))

    async def run(self) -> None:
        """Beat until cancelled, and look who lives. Raises errors.Conflict once another process works under this
        hostname, or the database has become too new for this program."""
        beats = False
        while True:
            await asyncio.sleep(self._every / 2)
            beats = not beats
            try:
                if beats and not await self._beat():
                    raise errors.Conflict(
                        f'Another conductor was started under the hostname "{self.hostname}"; this one stops',
                        hint="Give each conductor a name of its own (setting hostname).",
                    )
                if beats:
                    await self._deps.store.read(compatibility.check, upgrade.HEAD)
                if beats or len(self._ring.hostnames) > 1:
                    await self._look()
            except errors.Unreachable as error:
                _log.warning("cannot beat", reason=error.sentence())
                beats = False

    async def retire(self) -> None:
        """Take part no more: the others share this conductor's nodes out. What is held goes on being held."""
        self._online = False
        await self._beat()
        await self._look()

    async def leave(self) -> None:
        """Say goodbye, and give back at once what is still held."""
        self._online = False
        await self._beat()
        await self._deps.store.run(claim_store.release_all, self.owner, died=False)

    def _join(self, connection: Connection) -> tuple[int, float]:
        now = self._deps.clock()
        away = absence.give_back(connection, now, self.hostname, self._deps.members.silence)
        me = conductors.Conductor(
            hostname=self.hostname,
            boot_id=self._boot_id,
            conductor_group=self._group,
            drivers=self._deps.registry.enabled,
            seen_at=now,
        )
        before = conductors.register(connection, me)
        return claim_store.release_all(connection, f"{self.hostname}/{before}") if before else 0, away

    async def _beat(self) -> bool:
        """Give a sign of life; False when the hostname is another process's by now."""
        known = await self._deps.store.run(self._note_life)
        now = self._deps.clock()
        if now - self._beaten_at > 2 * self._every:
            self._sure_at = now + self._every
        self._beaten_at = now
        return known

    def _note_life(self, connection: Connection) -> bool:
        # The time is that of writing: who had to wait for the database's writer lives all the same.
        return conductors.beat(connection, self.hostname, self._boot_id, self._deps.clock(), online=self._online)

    async def _look(self) -> None:
        """Read who lives, and tell who listens of a change.

        Who could give no sign of life itself takes nobody for dead until the others have had the time for one: it may
        be the database that was away. (Whom the ring holds for too long loses its runs a lease later all the same.)
        """
        await self._deps.members.refresh()
        found, now = self._deps.members.known, self._deps.clock()
        if self._online and (now < self._sure_at or now - self._beaten_at > 2 * self._every):
            found = found.joined(self._ring)
        if found != self._ring:
            self._ring = found
            for changed in self._changed:
                changed()
