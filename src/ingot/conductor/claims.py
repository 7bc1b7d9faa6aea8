"""Claiming runs: the one query by which work starts, is retried, and is taken over from the dead.

May not: know what a run does. Invariant: every claimed run is worked on by exactly one task of this process, and
its lease is renewed while the process lives.
"""

from __future__ import annotations

import asyncio
import contextlib
import time

import msgspec
import structlog
from sqlalchemy import Connection

from ingot.conductor.membership import Membership
from ingot.deps import Deps
from ingot.domain import errors
from ingot.flows.inheritance import Taken
from ingot.flows.run import Runner
from ingot.store import claims as claim_store
from ingot.store import runs as run_store

_log = structlog.get_logger("ingot.claims")
_BATCH = 128
"""Units of runs that are kept before the database's writer: enough to share a commit, few enough to wait for."""
_LEFT = 512
"""Runs of one that is gone that are taken over at once: they were in hand before; none is to wait for others."""
_FEW = 64
"""Runs that are worked on at once however slow the process is."""
_LATE = 0.1
"""Seconds of a turn of the event loop beyond which more is in hand than the processor can do in time."""
_LONGEST_SLEEP = 5.0
"""A ring may be lost (another process, a full queue): look at least this often."""


class Claims:
    """Claims due runs and works on them until cancelled; without ``membership`` anybody's."""

    def __init__(self, deps: Deps, runner: Runner, owner: str, membership: Membership | None = None) -> None:
        self._deps = deps
        self._runner = runner
        self._owner = owner
        self._membership = membership
        self._pace = deps.pace
        self._draining = False
        self._may_be_left = membership is not None
        self._turn = 0.0
        self._rung = asyncio.Event()
        self._working: dict[run_store.Lease, asyncio.Task[None]] = {}
        self._looked_at = deps.clock()
        deps.bus.answer("last_look", self._last_look)
        deps.bus.listen(self._hear)
        if membership is not None:
            membership.listen(self._look_for_what_is_left)

    async def run(self) -> None:
        """Claim for ever. Tasks of claimed runs end with it."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._renew())
            while True:
                room = await self._room()
                try:
                    taken, pause = await self._claim(room)
                except errors.Unreachable as error:
                    # A full disk or a backup that locks the file passes; the work in hand must not die of it.
                    _log.warning("cannot claim", reason=error.sentence())
                    taken, pause = [], _LONGEST_SLEEP
                loaded = await self._runner.load(taken)
                for one in taken:
                    self._working[one] = group.create_task(self._work(one, loaded.get(one)))
                if len(taken) < room:
                    await self._sleep(pause)

    async def _room(self) -> int:
        """How many runs may be taken up now: as many as keep the database's writer busy, at least one.

        Runs that wait for hardware do not count, so there may be thousands of them; runs that only write may not make
        an API request wait behind thousands of their writes.
        """
        while True:
            began = time.monotonic()
            await asyncio.sleep(0)  # what was taken up last begins, and what was told goes on
            self._turn = time.monotonic() - began
            room = _BATCH - self._deps.store.waiting()
            if room > 0:
                return room
            with contextlib.suppress(errors.Unreachable):
                await self._deps.store.run(_nothing)  # done when what waits now is

    def _hear(self, node_uuid: str) -> None:
        """Rings reach every conductor: only that of the node looks at once."""
        if self._membership is None or self._membership.may_have(node_uuid):
            self._rung.set()

    def _look_for_what_is_left(self) -> None:
        """What a dead conductor held is this one's now, perhaps."""
        self._may_be_left = True
        self._rung.set()

    async def drain(self, within: float) -> None:
        """Claim no more and let go of every run after the step it is in; returns then, or ``within`` seconds later."""
        self._draining = True
        self._runner.let_go()
        if self._working:
            _log.info("draining", runs=len(self._working), seconds=within)
            await asyncio.wait(self._working.values(), timeout=within)

    async def _last_look(self) -> float:
        """Seconds since work was last looked for."""
        return self._deps.clock() - self._looked_at

    async def _claim(self, room: int) -> tuple[list[run_store.Lease], float]:
        """The runs taken, and in how many seconds to look again at the latest."""
        self._rung.clear()
        self._looked_at = now = self._deps.clock()
        if self._draining:
            return [], _LONGEST_SLEEP
        held = frozenset(one.run_id for one in self._working)
        share = self._membership.share(held) if self._membership else None
        if share is not None and self._may_be_left and (taken := await self._take_over(share, now)):
            return taken, 0.0
        if share is not None and self._turn > _LATE:
            # Nothing new: the time of a run that waits has not begun, and that of those in hand would be used up.
            more = _FEW - len(held)
            room = min(room, more) if more > 0 else room
            share = msgspec.structs.replace(share, begun=more <= 0)
        taken = await self._deps.store.run(claim_store.claim, self._owner, now, self._pace.lease, room, share)
        if len(taken) == room:
            return taken, 0.0
        due = None
        with contextlib.suppress(errors.Unreachable):  # what is taken is not to be dropped for it
            due = await self._deps.store.read(claim_store.next_wake, self._pace.lease, share)
        return taken, _LONGEST_SLEEP if due is None else due - self._deps.clock()

    async def _take_over(self, share: claim_store.Share, now: float) -> list[run_store.Lease]:
        """What a process that is gone had in hand, however much this one has begun by now."""
        left = msgspec.structs.replace(share, left=True)
        taken = await self._deps.store.run(claim_store.claim, self._owner, now, self._pace.lease, _LEFT, left)
        self._may_be_left = len(taken) == _LEFT
        return taken

    async def _work(self, lease: run_store.Lease, taken: Taken | None) -> None:
        try:
            await self._runner.run(lease, taken)
        finally:
            del self._working[lease]
            # The run may be due again already (a heartbeat came while it was being parked).
            self._rung.set()

    async def _sleep(self, pause: float) -> None:
        """Until a ring, but no longer than ``pause`` seconds."""
        try:
            async with asyncio.timeout(min(max(0.02, pause), _LONGEST_SLEEP)):
                await self._rung.wait()
        except TimeoutError:
            pass

    async def _renew(self) -> None:
        """Keep the leases of the runs worked on, and of no others; stop working on a run that somebody else took."""
        waited = 0.0  # for the writer, the last time: only then is it known
        while True:
            due = time.monotonic() + self._pace.every
            await asyncio.sleep(self._pace.every)
            began = time.monotonic()
            self._pace.beaten(began - due + waited)
            waited = 0.0
            if not self._working:
                continue
            try:
                lost = await self._deps.store.run(self._extend, list(self._working))
                waited = time.monotonic() - began
            except errors.Unreachable as error:
                _log.warning("cannot renew leases", reason=error.sentence())
                continue
            for one in lost:
                task = self._working.get(one)
                if task is not None:
                    _log.warning("lease lost", node=one.node_uuid, run=one.run_id)
                    task.cancel()

    def _extend(self, connection: Connection, leases: list[run_store.Lease]) -> list[run_store.Lease]:
        # From when it is written: who had to wait for the database's writer shall not find the lease over again.
        return claim_store.renew(connection, leases, self._deps.clock() + self._pace.lease)


def _nothing(_connection: Connection) -> None:
    """A unit of work that stands in line, no more."""
