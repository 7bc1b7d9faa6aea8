"""Being a member: this conductor's row, its heartbeat, and what its own predecessor left behind.

A process that starts under a hostname knows that the one before it is gone: what that one held is freed at once,
so that work goes on without waiting for leases to run out.
"""

from __future__ import annotations

import asyncio

import structlog
from sqlalchemy import Connection

from ingot.deps import Deps
from ingot.domain import errors
from ingot.store import absence, conductors
from ingot.store import runs as run_store
from ingot.telemetry.clock import Steady

_log = structlog.get_logger("ingot.membership")
_BEAT = 10.0


class Membership:
    """One conductor's place among the others."""

    def __init__(self, deps: Deps, hostname: str, boot_id: str, every: float = _BEAT) -> None:
        self._deps = deps
        self._every = every
        self.hostname = hostname
        self._boot_id = boot_id

    @property
    def owner(self) -> str:
        """What stands in a run that this process holds."""
        return f"{self.hostname}/{self._boot_id}"

    async def join(self) -> None:
        """Enter the table, free the runs of the process that had this hostname before, give back the time between."""
        if isinstance(self._deps.clock, Steady):
            self._deps.clock.not_before(await self._deps.store.read(absence.last_seen) or 0.0)
        freed, away = await self._deps.store.run(self._join)
        _log.info("joined", hostname=self.hostname, runs_taken_over=freed, away=round(away))

    async def run(self) -> None:
        """Beat until cancelled. Raises errors.Conflict once another process works under this hostname."""
        while True:
            await asyncio.sleep(self._every)
            try:
                known = await self._beat(online=True)
            except errors.Unreachable as error:
                _log.warning("cannot beat", reason=error.sentence())
                continue
            if not known:
                raise errors.Conflict(
                    f'Another conductor was started under the hostname "{self.hostname}"; this one stops',
                    hint="Give each conductor a name of its own (setting hostname).",
                )

    async def leave(self) -> None:
        """Say goodbye, and give back at once what is still held."""
        await self._beat(online=False)
        await self._deps.store.run(run_store.release_all, self.owner)

    def _join(self, connection: Connection) -> tuple[int, float]:
        now = self._deps.clock()
        away = absence.give_back(connection, now)
        me = conductors.Conductor(
            hostname=self.hostname,
            boot_id=self._boot_id,
            conductor_group=self._deps.settings.conductor_group,
            drivers=self._deps.registry.enabled,
            seen_at=now,
        )
        before = conductors.register(connection, me)
        return run_store.release_all(connection, f"{self.hostname}/{before}") if before else 0, away

    async def _beat(self, *, online: bool) -> bool:
        now = self._deps.clock()
        return await self._deps.store.run(conductors.beat, self.hostname, self._boot_id, now, online=online)
