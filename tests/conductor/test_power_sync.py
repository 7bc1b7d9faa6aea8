"""Power sync over a fleet of BMCs on the wire: who waits for whom, how many sessions and messages it takes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, NamedTuple, cast

import pytest

from flows import stand
from ingot.clients.ipmi.client import IpmiPool
from ingot.clients.redfish.client import RedfishPool
from ingot.conductor.calls import Calls
from ingot.conductor.periodic.power_sync import PowerSync
from ingot.deps import Deps
from ingot.domain import ids, node, power, secrets, states
from ingot.interfaces.kit import Kit
from ingot.store import node_filters, nodes
from ingot.store.paging import Page
from ingot_rack import fleet
from ingot_rack.hardware import PowerAction

IPMI, REDFISH, SICK = 300, 100, 270  # more sick ones than power sync asks at a time


class Site(NamedTuple):
    deps: Deps
    fleet: fleet.Fleet
    sync: PowerSync

    async def states(self) -> dict[str, str | None]:
        rows = await self.deps.store.read(
            nodes.list_rows, node_filters.Filter(), Page(limit=1000), ("name", "power_state")
        )
        return {row["name"]: row["power_state"] for row in rows}

    async def sweep(self) -> None:
        await self.sync.sweep(0)
        await self.sync.settle()


async def enrol(deps: Deps, machine: dict[str, Any]) -> None:
    uuid, (info, hidden) = ids.new(), secrets.split(machine["driver_info"], {})
    value = node.Node(
        uuid=uuid,
        name=machine["name"],
        driver=machine["driver"],
        provision_state=states.State.AVAILABLE,
        driver_info=info,
        **cast("Any", deps.registry.defaults(machine["driver"])),
    )
    await deps.store.run(nodes.create, value, deps.sealer.seal(uuid, {"driver_info": hidden}))


@pytest.fixture
async def site(tmp_path: Path) -> AsyncGenerator[Site]:
    bmcs = fleet.Fleet(fleet.Plan(ipmi=IPMI, redfish=REDFISH, first="127.61.0.1"))
    await bmcs.start()
    ipmi, redfish = IpmiPool(), RedfishPool()
    async with stand.site(tmp_path, drivers=("ipmi", "redfish")) as deps:
        await asyncio.gather(*(enrol(deps, one) for one in bmcs.nodes()))
        kit = Kit(deps.settings, ipmi, redfish, stand.ABSENT, stand.ABSENT, stand.ABSENT)
        sync = PowerSync(deps, Calls(deps, kit))
        yield Site(deps, bmcs, sync)
        await sync.close()
        await ipmi.close()
        await redfish.close()
    open_sessions = bmcs.sessions()
    await bmcs.close()
    assert open_sessions["most"] <= 1


async def test_a_sweep_costs_one_message_per_bmc_and_no_well_one_waits_for_a_sick_one(site: Site) -> None:
    await site.sweep()
    names = list(site.fleet.machines)
    assert await site.states() == dict.fromkeys(names, power.Power.OFF)
    assert site.fleet.sessions() == {"all": IPMI + REDFISH, "most": 1}
    before = site.fleet.messages()
    await site.sweep()
    after = site.fleet.messages()
    assert {kind: after[kind] - before[kind] for kind in after} == {"ipmi": IPMI, "redfish": REDFISH}

    for name in names[:SICK]:
        site.fleet.bmcs[name].faults.change({"drop_rate": 1.0})
    for name in names:
        await site.fleet.machines[name].set_power(PowerAction.ON)
    await site.sync.sweep(0)

    async def shown() -> bool:
        found = await site.states()
        return all(found[name] == power.Power.ON for name in names[SICK:])

    await stand.until(shown, 20)
    assert site.sync.awaited >= SICK, "the sick ones are still being waited for"
    assert site.fleet.sessions()["most"] == 1


async def test_a_slow_bmc_is_asked_once_and_with_patience(site: Site) -> None:
    await site.sweep()
    slow = "sim-00000"
    site.fleet.bmcs[slow].faults.change({"delay": 1.3})
    await site.sweep()  # it is met as it was before: its answer comes after the question was repeated
    before = site.fleet.messages()["ipmi"]
    await site.fleet.machines[slow].set_power(PowerAction.ON)
    await site.sweep()
    assert (await site.states())[slow] == power.Power.ON
    assert site.fleet.messages()["ipmi"] - before == IPMI + 1, "one each, and the boot mode of the one that changed"
    assert site.fleet.sessions() == {"all": IPMI + REDFISH, "most": 1}
