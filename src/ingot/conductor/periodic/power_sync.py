"""Power sync: ask each BMC now and then, and let the record follow the hardware.

Spread over the interval; bounded concurrency; a BMC that fails is asked less and less often, and is logged once when
it goes and once when it comes back. A dead or slow BMC delays no other: it loses its place among those that are asked
after ``_BRISK`` seconds and its answer counts whenever it comes; a change is stored as soon as it is seen.
Invariant: a node that a run holds, or whose power is being changed, is never written to.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import msgspec
import structlog
from sqlalchemy import Connection

from ingot.conductor.calls import Calls
from ingot.deps import Deps
from ingot.domain import errors, power, states
from ingot.interfaces.context import Context
from ingot.store import contexts, history, node_filters, nodes
from ingot.store.paging import Page
from ingot.telemetry import counts

_log = structlog.get_logger("ingot.power_sync")
_PARALLEL = 256
_BRISK = 0.25
"""A read that takes longer gives its place up and goes on beside the sweep."""
_LONGEST_BACK_OFF = 16
"""A BMC that never answers is asked in every sixteenth sweep."""
_READ_TIMEOUT = 60.0
"""More than a login and a read take that each need all the patience of a client."""
_TOGETHER = 64
"""Nodes that are read from the database at once: it saves most of what reading each alone costs."""


class _Seen(msgspec.Struct, frozen=True):
    uuid: str
    stored: str | None
    seen: power.Power
    modes: dict[str, str | bool]
    """boot_mode and secure_boot, read where the power has changed: a boot is when they do."""


class PowerSync:
    """The sweep over all nodes."""

    def __init__(self, deps: Deps, calls: Calls, has: Callable[[str, str], bool] | None = None) -> None:
        self._deps = deps
        self._calls = calls
        self._has = has
        self._failures: dict[str, int] = {}
        self._sweeps = 0
        self._room = asyncio.Semaphore(_PARALLEL)
        self._reading: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Sweep for ever, one sweep per interval."""
        interval = self._deps.settings.power_sync_interval
        try:
            while interval > 0:
                began = self._deps.clock()
                try:
                    await self.sweep(interval)
                except errors.Unreachable as error:
                    _log.warning("power sync left out", reason=error.sentence())
                await asyncio.sleep(max(0.0, interval - (self._deps.clock() - began)))
        finally:
            await self.close()

    async def close(self) -> None:
        """End the reads that are under way."""
        for task in self._reading.values():
            task.cancel()
        await self.settle()

    async def sweep(self, over: float) -> None:
        """Ask every node that is due, spread over half of ``over`` seconds; ends when all are asked and the brisk ones
        have answered. A node whose last answer is still awaited is not asked again."""
        with counts.POWER_SWEEPS.timed():
            self._sweeps += 1
            known = dict(await self._deps.store.read(_due, self._has))
            self._failures = {uuid: times for uuid, times in self._failures.items() if uuid in known}
            due = [(uuid, stored) for uuid, stored in known.items() if self._is_due(uuid)]
            loop = asyncio.get_running_loop()
            began = loop.time()
            for first in range(0, len(due), _TOGETHER):
                await asyncio.sleep(began + over / 2 * first / len(due) - loop.time())
                part = dict(due[first : first + _TOGETHER])
                for uuid, loaded in (await self._calls.load(list(part))).items():
                    await self._room.acquire()
                    self._start(loaded, part[uuid])
            if self._reading:
                await asyncio.wait(self._reading.values(), timeout=_BRISK)

    @property
    def awaited(self) -> int:
        """How many BMCs have not answered yet."""
        return len(self._reading)

    async def settle(self) -> None:
        """Wait for the reads that outlast their sweep."""
        if self._reading:
            await asyncio.wait(self._reading.values())

    def _is_due(self, uuid: str) -> bool:
        skip = min(2 ** self._failures.get(uuid, 0), _LONGEST_BACK_OFF)
        return self._sweeps % skip == 0 and uuid not in self._reading

    def _start(self, loaded: contexts.Loaded, stored: str | None) -> None:
        """Read one node's power in a task of its own, which holds one place of ``_room`` for ``_BRISK`` at most."""
        uuid = loaded.node.uuid
        task = self._reading[uuid] = asyncio.create_task(self._follow(loaded, stored))
        place = asyncio.get_running_loop().call_later(_BRISK, self._room.release)

        def end(_: asyncio.Task[None]) -> None:
            del self._reading[uuid]
            if place.when() > asyncio.get_running_loop().time():  # else it has given its place up, or is about to
                place.cancel()
                self._room.release()
            bug = None if task.cancelled() else task.exception()
            if isinstance(bug, Exception):
                # A driver's own mistake concerns its node alone.
                self._failed(uuid, errors.Bug(f"The driver raised an unforeseen {type(bug).__name__}: {bug}"))

        task.add_done_callback(end)

    async def _follow(self, loaded: contexts.Loaded, stored: str | None) -> None:
        """Read one node's power and store what has changed."""
        uuid = loaded.node.uuid
        try:
            async with asyncio.timeout(_READ_TIMEOUT):
                ctx = self._calls.open(loaded)
                seen = await ctx.power.get(ctx)
                changed = power.reconcile(stored, seen) and _Seen(uuid, stored, seen, await _modes(ctx))
        except (errors.IngotError, TimeoutError) as error:
            self._failed(uuid, error)
            return
        if self._failures.pop(uuid, 0):
            _log.info("BMC answers again", node=uuid)
        if changed:
            with contextlib.suppress(errors.StoreDown):  # the next sweep sees it again
                await self._deps.store.run_of(uuid, _store, changed)

    def _failed(self, uuid: str, error: Exception) -> None:
        if uuid not in self._failures:
            words = error.sentence() if isinstance(error, errors.IngotError) else "no answer in time"
            _log.warning("BMC does not answer", node=uuid, reason=words)
        self._failures[uuid] = self._failures.get(uuid, 0) + 1


async def _modes(ctx: Context) -> dict[str, str | bool]:
    """What the hardware tells of its boot mode; nothing where it cannot."""
    try:
        mode, secure = await ctx.management.get_boot_mode(ctx), await ctx.management.get_secure_boot(ctx)
    except (errors.Refused, errors.Misbehaved):
        return {}
    told = {"boot_mode": mode, "secure_boot": secure}
    return {name: value for name, value in told.items() if value is not None}


def _due(connection: Connection, has: Callable[[str, str], bool] | None) -> list[tuple[str, str | None]]:
    """(uuid, stored power state) of each node of this conductor's whose power may be read and written."""
    columns = ("uuid", "power_state", "provision_state", "target_power_state", "conductor_group")
    where = node_filters.Filter(maintenance=False, reserved=False, include_children=True)
    rows = nodes.list_rows(connection, where, Page(limit=1_000_000), columns)
    return [
        (row["uuid"], row["power_state"])
        for row in rows
        if row["target_power_state"] is None
        and row["provision_state"] not in states.POWER_SYNC_EXCLUDED
        and (has is None or has(row["conductor_group"], row["uuid"]))
    ]


def _store(connection: Connection, one: _Seen) -> None:
    expected = {"power_state": one.stored, "reservation": None, "target_power_state": None}
    verdict = power.reconcile(one.stored, one.seen)
    done = nodes.change_if(connection, one.uuid, expected, power_state=one.seen.value, **one.modes)
    if done and verdict and verdict.note:
        history.add(connection, one.uuid, verdict.note, event_type="power")
