"""Placements: looking for the nodes that allocations wait for, now and after a crash.

What waits is a row in the state "allocating"; a process that dies leaves it for the next one, which looks as soon as
it starts. May not: know how a node is chosen. Invariant: each batch is one unit of work.
"""

from __future__ import annotations

import asyncio

import structlog

from ingot.deps import Deps
from ingot.domain import errors
from ingot.services import allocations as service

_log = structlog.get_logger("ingot.placements")
_BATCH = 128
"""Placements in one unit: more make other writers wait longer."""
_LONGEST_SLEEP = 5.0
"""A ring may be lost (another process): look at least this often."""


class Placements:
    """The search for nodes, until cancelled."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._rung = asyncio.Event()
        deps.bus.listen(lambda _uuid: self._rung.set(), service.RING)

    async def run(self) -> None:
        """Place for ever."""
        while True:
            self._rung.clear()
            try:
                if await self._deps.store.run(service.place_waiting, _BATCH):
                    continue
            except errors.Unreachable as error:
                _log.warning("cannot place", reason=error.sentence())
            await self._sleep()

    async def _sleep(self) -> None:
        try:
            async with asyncio.timeout(_LONGEST_SLEEP):
                await self._rung.wait()
        except TimeoutError:
            pass
