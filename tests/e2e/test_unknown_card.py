"""The machine's network card is not the one its port names: the deadline passes and last_error tells."""

from __future__ import annotations

import pytest

from e2e import way
from ingot.cli.demo import artifacts

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(600)]

OTHER = "52:54:00:fe:ed:01"


async def test_a_port_with_the_wrong_address(made: artifacts.Artifacts) -> None:
    async with way.opened("card", made, firmwares=("bios",), settings={"ramdisk_timeout": "25"}) as world:
        (machine,) = world.machines
        await way.enrol(world, machine)
        found = await world.call("GET", f"/v1/nodes/{machine.name}/ports")
        change = [{"op": "replace", "path": "/address", "value": OTHER}]
        await world.call("PATCH", f"/v1/ports/{found['ports'][0]['uuid']}", change)
        await way.ask(world, machine, "inspect")
        node = await way.reach(world, machine, "inspect failed")
        told = str(node["last_error"])
        assert told.startswith("inspect.inspect: Waited 2")
        assert told.endswith(
            f" s for the ramdisk's first call (usual 90 s): no DHCP request seen from {OTHER} since power-on; "
            f"wrong VLAN, cable or NIC order, or it booted from elsewhere, or this machine is {machine.mac}, "
            "which asked for an address and has no port. Look at the machine's console."
        )
        assert await way.power(world, machine) == "off"
