"""A conductor: one process that works on runs, answers synchronous calls and keeps records in step with hardware."""

from __future__ import annotations

import asyncio

import structlog

from ingot.conductor.calls import Calls
from ingot.conductor.claims import Claims
from ingot.conductor.consoles import Consoles
from ingot.conductor.hardware_calls import HardwareCalls
from ingot.conductor.membership import Membership
from ingot.conductor.periodic.power_sync import PowerSync
from ingot.conductor.placements import Placements
from ingot.conductor.webhooks import Webhooks
from ingot.deps import Deps
from ingot.domain import errors, ids
from ingot.flows import catalog
from ingot.flows.run import Runner
from ingot.interfaces.kit import Kit

_log = structlog.get_logger("ingot.conductor")
_GOODBYE = 5.0
"""Seconds for it: without it, others see by themselves that this one is gone."""


class Conductor:
    """Everything a conductor does, under one task."""

    def __init__(self, deps: Deps, kit: Kit, hostname: str) -> None:
        self._drain = deps.settings.drain
        self._membership = Membership(deps, hostname, ids.new())
        calls = Calls(deps, kit)
        HardwareCalls(deps, calls)
        self._consoles = Consoles(deps, calls, self._membership.has)
        runner = Runner(deps, kit, catalog.flows(), self._consoles.record)
        self._claims = Claims(deps, runner, self._membership.owner, self._membership)
        self._power_sync = PowerSync(deps, calls, self._membership.has)
        self._webhooks = Webhooks(deps)
        self._placements = Placements(deps)

    async def drain(self) -> None:
        """Hand the work over: no new claims, runs let go after the step they are in; ends within the setting drain,
        or a little later where the database does not take the goodbye."""
        end = asyncio.get_running_loop().time() + self._drain
        try:
            async with asyncio.timeout(_GOODBYE):
                await self._membership.retire()
        except errors.StoreDown as error:
            _log.warning("cannot say goodbye", reason=error.sentence())
        except TimeoutError:
            _log.warning("cannot say goodbye", reason="The database does not answer.")
        await self._claims.drain(max(0.0, end - asyncio.get_running_loop().time()))

    async def run(self) -> None:
        """Work until cancelled."""
        await self._membership.join()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._membership.run())
                group.create_task(self._claims.run())
                group.create_task(self._consoles.run())
                group.create_task(self._power_sync.run())
                group.create_task(self._webhooks.run())
                group.create_task(self._placements.run())
        finally:
            await self._membership.leave()
