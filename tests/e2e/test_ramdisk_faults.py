"""A ramdisk that never calls: the deadline passes, and last_error says how far the machine got."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2e import stand, way

pytestmark = pytest.mark.timeout(300)


async def test_a_machine_that_never_boots_the_ramdisk(tmp_path: Path) -> None:
    async with stand.opened(tmp_path, agents=False, ramdisk_timeout="3") as place:
        (machine, _) = place.machines
        await place.enrol(machine)
        await way.ask(place, machine, "manage")
        await way.reach(place, machine, "manageable")
        await way.ask(place, machine, "inspect")
        node = await way.reach(place, machine, "inspect failed", within=120)
        told = str(node["last_error"])
        assert told.startswith("inspect.inspect: Waited ")
        assert told.endswith(
            f"s for the ramdisk's first call (usual 90 s): no DHCP request seen from {machine.mac} since power-on; "
            "wrong VLAN, cable or NIC order, or it booted from elsewhere. Look at the machine's console."
        )
        assert place.fleet.machines[machine.name].power == "off"
