"""Power sync: ask each BMC now and then, and let the record follow the hardware.

Spread evenly over the interval; bounded concurrency; a BMC that fails is asked less and less often, and is logged
once when it goes and once when it comes back. A dead BMC delays no other. Invariant: a node that a run holds, or
whose power is being changed, is never written to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
import structlog
from sqlalchemy import Connection

from ingot.conductor.calls import Calls, Loaded
from ingot.deps import Deps
from ingot.domain import errors, power, states
from ingot.interfaces.context import Context
from ingot.store import history, nodes
from ingot.store.paging import Page

_log = structlog.get_logger("ingot.power_sync")
_PARALLEL = 256
_LONGEST_BACK_OFF = 16
"""A BMC that never answers is asked in every sixteenth sweep."""
_READ_TIMEOUT = 30.0
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

    async def run(self) -> None:
        """Sweep for ever, one sweep per interval."""
        interval = self._deps.settings.power_sync_interval
        while interval > 0:
            began = self._deps.clock()
            try:
                await self.sweep(interval)
            except errors.Unreachable as error:
                _log.warning("power sync left out", reason=error.sentence())
            await asyncio.sleep(max(0.0, interval - (self._deps.clock() - began)))

    async def sweep(self, over: float) -> int:
        """Ask every node that is due, spread over ``over`` seconds; how many records changed."""
        self._sweeps += 1
        known = dict(await self._deps.store.read(_due, self._has))
        due = [(uuid, stored) for uuid, stored in known.items() if self._is_due(uuid)]
        self._failures = {uuid: times for uuid, times in self._failures.items() if uuid in known}
        found = await self._read_all(due, over)
        changed = [one for one in found if power.reconcile(one.stored, one.seen)]
        if changed:
            await self._deps.store.run(_store, changed)
        return len(changed)

    async def _read_all(self, due: list[tuple[str, str | None]], over: float) -> list[_Seen]:
        gate = asyncio.Semaphore(_PARALLEL)
        found: list[_Seen] = []
        tasks: dict[str, asyncio.Task[None]] = {}
        try:
            for first in range(0, len(due), _TOGETHER):
                part = dict(due[first : first + _TOGETHER])
                for uuid, loaded in (await self._calls.load(list(part))).items():
                    await gate.acquire()
                    tasks[uuid] = asyncio.create_task(self._read_into(found, loaded, part[uuid]))
                    tasks[uuid].add_done_callback(lambda _: gate.release())
                    await asyncio.sleep(min(over / 2 / len(due), 0.5))
            if tasks:
                await asyncio.wait(tasks.values())
        finally:
            for task in tasks.values():
                task.cancel()
        for uuid, task in tasks.items():
            bug = task.exception()
            if isinstance(bug, Exception):
                # A driver's own mistake concerns its node alone.
                self._failed(uuid, errors.Bug(f"The driver raised an unforeseen {type(bug).__name__}: {bug}"))
        return found

    def _is_due(self, uuid: str) -> bool:
        skip = min(2 ** self._failures.get(uuid, 0), _LONGEST_BACK_OFF)
        return self._sweeps % skip == 0

    async def _read_into(self, found: list[_Seen], loaded: Loaded, stored: str | None) -> None:
        uuid = loaded.node.uuid
        try:
            async with asyncio.timeout(_READ_TIMEOUT):
                ctx = self._calls.open(loaded)
                seen = await ctx.power.get(ctx)
                modes = await _modes(ctx) if power.reconcile(stored, seen) else {}
                found.append(_Seen(uuid, stored, seen, modes))
        except (errors.IngotError, TimeoutError) as error:
            self._failed(uuid, error)
            return
        if self._failures.pop(uuid, 0):
            _log.info("BMC answers again", node=uuid)

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
    where = nodes.Filter(maintenance=False, reserved=False, include_children=True)
    rows = nodes.list_rows(connection, where, Page(limit=1_000_000), columns)
    return [
        (row["uuid"], row["power_state"])
        for row in rows
        if row["target_power_state"] is None
        and row["provision_state"] not in states.POWER_SYNC_EXCLUDED
        and (has is None or has(row["conductor_group"], row["uuid"]))
    ]


def _store(connection: Connection, changed: list[_Seen]) -> None:
    for one in changed:
        expected = {"power_state": one.stored, "reservation": None, "target_power_state": None}
        verdict = power.reconcile(one.stored, one.seen)
        done = nodes.change_if(connection, one.uuid, expected, power_state=one.seen.value, **one.modes)
        if done and verdict and verdict.note:
            history.add(connection, one.uuid, verdict.note, event_type="power")
