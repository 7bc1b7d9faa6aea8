"""python-ironicclient's own command, unchanged, takes a UEFI machine with a Redfish BMC the whole way."""

from __future__ import annotations

import asyncio
import json
import os
import re
from typing import Any

import pytest

import programs
from e2e import way
from ingot.cli import deployment
from ingot.cli.demo import artifacts, proof
from ingot.cli.demo.world import PREFIX, Machine, World

pytestmark = [
    pytest.mark.qemu,
    pytest.mark.peer,
    pytest.mark.timeout(1800),
]
PATIENCE = "900"


class Baremetal:
    """The command against the world's API, as the world's user by HTTP basic authentication."""

    def __init__(self, world: World) -> None:
        access = dict(re.findall(r"export INGOT_(\w+)=(\S+)", world.access.read_text()))
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(world.folder),
            "OS_AUTH_TYPE": "http_basic",
            "OS_ENDPOINT": access["URL"],
            "OS_USERNAME": access["USER"],
            "OS_PASSWORD": access["PASSWORD"],
            "OS_BAREMETAL_API_VERSION": "latest",
        }

    async def run(self, *words: str) -> str:
        """What the command prints; it must end well."""
        pipe = asyncio.subprocess.PIPE
        child = await asyncio.create_subprocess_exec(
            programs.peer("baremetal"), *words, stdout=pipe, stderr=pipe, env=self._environment
        )
        async with asyncio.timeout(int(PATIENCE) + 60):
            out, err = await child.communicate()
        assert child.returncode == 0, f"{' '.join(words[:3])}: {err.decode()}"
        return out.decode()

    async def read(self, *words: str) -> Any:
        """What the command tells as JSON."""
        return json.loads(await self.run(*words, "-f", "json"))

    async def state(self, name: str) -> tuple[str, str]:
        """Provision and power state of a node."""
        node = await self.read("node", "show", name, "--fields", "provision_state", "power_state")
        return node["provision_state"], node["power_state"]


def options(option: str, values: dict[str, Any]) -> list[str]:
    """``--option key=value`` for each."""
    return [word for key, value in values.items() for word in (option, f"{key}={value}")]


def drive(machine: Machine, key: proof.Key) -> str:
    """The config drive as JSON, as the command's --config-drive takes it."""
    network = deployment.network(f"{machine.address}/{PREFIX}", machine.mac)
    return json.dumps(deployment.Drive(machine.name, [key.public], network).configdrive())


async def test_the_baremetal_command_goes_the_whole_way(made: artifacts.Artifacts) -> None:
    async with way.opened("ironic", made, firmwares=("uefi",)) as world:
        (machine,) = world.machines
        name, metal, key = machine.name, Baremetal(world), await proof.make_key(world.folder)
        node = await metal.read(
            *("node", "create", "--driver", machine.driver, "--name", name, "--resource-class", "small"),
            *options("--driver-info", dict(machine.driver_info)),
            *options("--property", {"capabilities": "boot_mode:uefi"}),
        )
        assert (node["provision_state"], node["driver_info"]["redfish_password"]) == ("enroll", "******")
        await metal.run("port", "create", machine.mac, "--node", node["uuid"])
        await metal.run("node", "manage", "--wait", PATIENCE, name)
        assert await metal.state(name) == ("manageable", "power off")
        await metal.run("node", "inspect", "--wait", PATIENCE, name)
        found = (await metal.read("node", "show", name))["properties"]
        assert int(found["memory_mb"]) == 512
        await metal.run("node", "provide", "--wait", PATIENCE, name)
        await metal.run("node", "set", name, *options("--instance-info", made.image.instance_info()))
        checks = {one["Interface"]: one["Result"] for one in await metal.read("node", "validate", name)}
        assert all(checks[kind] is True for kind in ("boot", "deploy", "management", "network", "power")), checks
        await metal.run("node", "deploy", "--config-drive", drive(machine, key), "--wait", PATIENCE, name)
        assert await metal.state(name) == ("active", "power on")
        await proof.ask(world, machine, key)

        await metal.run("node", "power", "off", name, "--power-timeout", "120")
        await until_power(metal, name, "power off")
        assert await way.power(world, machine) == "off"
        await metal.run("node", "power", "on", name)
        await until_power(metal, name, "power on")
        await proof.ask(world, machine, key)

        await metal.run("node", "undeploy", "--wait", PATIENCE, name)
        node = await metal.read("node", "show", name)
        assert (node["provision_state"], node["instance_info"]) == ("available", {})
        events = await metal.run("node", "history", "list", name, "--long")
        assert 'Asked for "deleted".' in events
        await metal.run("node", "delete", name)
        assert await metal.read("node", "list") == []
        assert await metal.read("port", "list") == []


async def until_power(metal: Baremetal, name: str, wanted: str) -> None:
    """Wait for the power state; the command itself does not."""
    for _ in range(60):
        if (await metal.state(name))[1] == wanted:
            return
    raise AssertionError(f"{name} is not {wanted}: {await metal.state(name)}")
