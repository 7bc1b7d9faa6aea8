"""A conductor: one process that works on runs, answers synchronous calls and keeps records in step with hardware."""

from __future__ import annotations

import asyncio

from ingot.conductor.calls import Calls
from ingot.conductor.claims import Claims
from ingot.conductor.consoles import Consoles
from ingot.conductor.hardware_calls import HardwareCalls
from ingot.conductor.membership import Membership
from ingot.conductor.periodic.power_sync import PowerSync
from ingot.conductor.placements import Placements
from ingot.conductor.webhooks import Webhooks
from ingot.deps import Deps
from ingot.domain import ids
from ingot.flows import catalog
from ingot.flows.run import Runner
from ingot.interfaces.kit import Kit


class Conductor:
    """Everything a conductor does, under one task."""

    def __init__(self, deps: Deps, kit: Kit, hostname: str) -> None:
        self._membership = Membership(deps, hostname, ids.new())
        self._claims = Claims(deps, Runner(deps, kit, catalog.flows()), self._membership.owner)
        calls = Calls(deps, kit)
        HardwareCalls(deps, calls)
        self._consoles = Consoles(deps, calls)
        self._power_sync = PowerSync(deps, calls)
        self._webhooks = Webhooks(deps)
        self._placements = Placements(deps)

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
