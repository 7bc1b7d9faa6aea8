"""Claiming runs: the one query by which work starts, is retried, and is taken over from the dead.

May not: know what a run does. Invariant: every claimed run is worked on by exactly one task of this process, and
its lease is renewed while the process lives.
"""

from __future__ import annotations

import asyncio

import structlog

from ingot.flows.run import Runner
from ingot.services.deps import Deps
from ingot.store import runs as run_store

_log = structlog.get_logger("ingot.claims")
_BATCH = 128
_LONGEST_SLEEP = 5.0
"""A ring may be lost (another process, a full queue): look at least this often."""


class Claims:
    """Claims due runs and works on them until cancelled."""

    def __init__(self, deps: Deps, runner: Runner, owner: str) -> None:
        self._deps = deps
        self._runner = runner
        self._owner = owner
        self._rung = asyncio.Event()
        self._busy = 0
        deps.bus.listen(lambda _node: self._rung.set())

    async def run(self) -> None:
        """Claim for ever. Tasks of claimed runs end with it."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._renew())
            while True:
                self._rung.clear()
                lease = self._deps.settings.lease
                now = self._deps.clock()
                taken = await self._deps.store.run(run_store.claim, self._owner, now, lease, _BATCH)
                for one in taken:
                    self._busy += 1
                    group.create_task(self._work(one))
                if len(taken) < _BATCH:
                    await self._sleep()

    async def _work(self, lease: run_store.Lease) -> None:
        try:
            await self._runner.run(lease)
        finally:
            self._busy -= 1
        # The run may be due again already (a heartbeat came while it was being parked).
        self._rung.set()

    async def _sleep(self) -> None:
        """Until a ring, or until the next run is due."""
        due = await self._deps.store.read(run_store.next_wake)
        pause = _LONGEST_SLEEP if due is None else min(_LONGEST_SLEEP, due - self._deps.clock())
        try:
            async with asyncio.timeout(max(0.02, pause)):
                await self._rung.wait()
        except TimeoutError:
            pass

    async def _renew(self) -> None:
        lease = self._deps.settings.lease
        while True:
            await asyncio.sleep(lease / 3)
            if self._busy:
                await self._deps.store.run(run_store.renew, self._owner, self._deps.clock() + lease)
