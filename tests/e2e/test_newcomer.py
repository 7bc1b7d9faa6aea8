"""The one real deployment of `./ingot test`: a BIOS machine with an IPMI BMC, from blank to SSH."""

from __future__ import annotations

import subprocess

import pytest

from e2e import way
from ingot.cli.demo import artifacts, proof

pytestmark = [pytest.mark.qemu, pytest.mark.newcomer, pytest.mark.timeout(900)]


async def test_a_blank_server_becomes_a_running_system(made: artifacts.Artifacts) -> None:
    async with way.opened("newcomer", made, firmwares=("bios",)) as world:
        (machine,) = world.machines
        key = await proof.make_key(world.folder)
        await way.enrol(world, machine)
        assert (await way.look(world, machine))["power_state"] == "power off"
        await way.ask(world, machine, "inspect")
        found = (await way.reach(world, machine, "manageable"))["properties"]
        assert (found["memory_mb"], found["cpus"], found["cpu_arch"]) == (512, 1, "x86_64")
        inventory = (await world.call("GET", f"/v1/nodes/{machine.name}/inventory"))["inventory"]
        assert [one["mac_address"] for one in inventory["interfaces"]] == [machine.mac]
        await way.provide(world, machine)
        await way.start_deploy(world, machine, key)
        node = await way.reach(world, machine, "active")
        assert (node["power_state"], node["last_error"]) == ("power on", None)

        said = await proof.ask(world, machine, key)
        assert said.startswith(f"Linux {machine.name} ")
        keys = await way.inside(world, machine, key, "cat /root/.ssh/authorized_keys")
        assert keys.strip() == key.public
        partitions = await way.inside(world, machine, key, "cat /proc/partitions")
        sizes = {line.split()[3]: int(line.split()[2]) for line in partitions.splitlines()[2:] if "vd" in line}
        assert sizes["vda"] == 8 << 20, partitions
        drive = (await way.inside(world, machine, key, "findfs LABEL=config-2")).strip().removeprefix("/dev/")
        assert 0 < sizes[drive] <= 64 << 10, partitions
        layout = subprocess.run(
            ["sgdisk", "-v", str(await way.disk(world, machine))], check=True, capture_output=True, text=True
        )
        assert "No problems found" in layout.stdout
