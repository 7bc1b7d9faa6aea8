"""Real clients, unchanged: the baremetal CLI, python-ironicclient as a library and openstacksdk."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import programs
from ingot.store import nodes

if TYPE_CHECKING:
    from tests.api.conftest import Api

    from ingot.deps import Deps

pytestmark = [
    pytest.mark.peer,
    pytest.mark.timeout(300),
]


async def run(*words: str, **environment: str) -> tuple[int, str, str]:
    child = await asyncio.create_subprocess_exec(
        *words,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "HOME": environment.pop("HOME"), **environment},
    )
    async with asyncio.timeout(120):
        out, err = await child.communicate()
    return child.returncode or 0, out.decode(), err.decode()


class Cli:
    """The baremetal command against one server."""

    def __init__(self, api: Api, home: Path, **environment: str) -> None:
        self._where = {"OS_ENDPOINT": api.url, "OS_AUTH_TYPE": "none", "HOME": str(home), **environment}

    async def __call__(self, *words: str) -> Any:
        code, out, err = await run(programs.peer("baremetal"), *words, "-f", "json", **self._where)
        assert code == 0, err
        return json.loads(out)

    async def plain(self, *words: str) -> None:
        code, _, err = await run(programs.peer("baremetal"), *words, **self._where)
        assert code == 0, err

    async def fails(self, *words: str) -> str:
        code, _, err = await run(programs.peer("baremetal"), *words, **self._where)
        assert code != 0
        return err


@pytest.fixture
def answers(deps: Deps) -> None:
    """What a conductor answers, so far as the API needs it here."""
    attached: list[str] = []
    device = {"boot_device": "disk", "persistent": False}

    async def validate(node_uuid: str) -> dict[str, Any]:
        return {"power": {"result": True}, "boot": {"result": False, "reason": "no kernel"}}

    async def get_boot_device(node_uuid: str) -> dict[str, Any]:
        return device

    async def set_boot_device(node_uuid: str, device: str, persistent: bool) -> None:
        shown = {"boot_device": device, "persistent": persistent}
        deps.bus.answer("get_boot_device", lambda node_uuid: _give(shown))

    async def vif_list(node_uuid: str) -> list[str]:
        return attached

    async def vif_attach(node_uuid: str, vif: dict[str, Any]) -> None:
        attached.append(vif["id"])

    async def vif_detach(node_uuid: str, vif_id: str) -> None:
        attached.remove(vif_id)

    for answer in (validate, get_boot_device, set_boot_device, vif_list, vif_attach, vif_detach):
        deps.bus.answer(answer.__name__, answer)
    deps.bus.answer("supported_boot_devices", lambda node_uuid: _give(["pxe", "disk"]))


async def _give(value: Any) -> Any:
    return value


@pytest.mark.usefixtures("answers")
async def test_the_baremetal_cli_goes_its_whole_way(api: Api, tmp_path: Path) -> None:
    cli = Cli(api, tmp_path)
    made = await cli(
        *("node", "create", "--driver", "fake-hardware", "--name", "n1", "--resource-class", "gold"),
        *("--driver-info", "acme_password=secret", "--property", "cpus=4", "--extra", "rack=7"),
    )
    assert (made["name"], made["provision_state"], made["driver_info"]) == (
        "n1",
        "enroll",
        {"acme_password": "******"},
    )
    assert [row["name"] for row in await cli("node", "list")] == ["n1"]
    await cli.plain("node", "set", "n1", "--description", "a machine", "--property", "memory_mb=512")
    await cli.plain("node", "unset", "n1", "--extra", "rack")
    shown = await cli("node", "show", "n1")
    assert (shown["description"], shown["extra"]) == ("a machine", {})
    assert shown["properties"] == {"cpus": 4, "memory_mb": 512}
    await cli.plain("node", "maintenance", "set", "n1", "--reason", "dust")
    assert (await cli("node", "show", "n1", "--fields", "maintenance_reason"))["maintenance_reason"] == "dust"
    await cli.plain("node", "maintenance", "unset", "n1")
    await cli.plain("node", "add", "trait", "n1", "CUSTOM_GPU", "HW_CPU_X86_VMX")
    assert len(await cli("node", "trait", "list", "n1")) == 2
    await cli.plain("node", "remove", "trait", "n1", "CUSTOM_GPU")
    assert [row["Interface"] for row in await cli("node", "validate", "n1")] == ["boot", "power"]
    await cli.plain("node", "boot", "device", "set", "n1", "pxe", "--persistent")
    assert (await cli("node", "boot", "device", "show", "n1"))["boot_device"] == "pxe"
    await cli.plain("node", "vif", "attach", "n1", "vif-1")
    assert [row["id"] for row in await cli("node", "vif", "list", "n1")] == ["vif-1"]
    await cli.plain("node", "vif", "detach", "n1", "vif-1")
    await cli.plain("node", "power", "on", "n1")
    assert "locked" in await cli.fails("node", "manage", "n1")


async def test_the_baremetal_cli_manages_ports_chassis_and_lists_drivers(api: Api, tmp_path: Path) -> None:
    cli = Cli(api, tmp_path)
    node = await cli("node", "create", "--driver", "acme")
    port = await cli("port", "create", "52:54:00:12:34:56", "--node", node["uuid"], "--name", "p1")
    assert [row["address"] for row in await cli("port", "list", "--node", node["uuid"])] == ["52:54:00:12:34:56"]
    await cli.plain("port", "set", port["uuid"], "--address", "52:54:00:12:34:57")
    assert (await cli("port", "show", "p1"))["address"] == "52:54:00:12:34:57"
    await cli.plain("port", "delete", port["uuid"])
    chassis = await cli("chassis", "create", "--description", "row 1")
    await cli.plain("node", "set", node["uuid"], "--chassis-uuid", chassis["uuid"])
    assert "contains nodes" in await cli.fails("chassis", "delete", chassis["uuid"])
    await cli.plain("node", "delete", node["uuid"])
    await cli.plain("chassis", "delete", chassis["uuid"])
    assert {row["name"] for row in await cli("driver", "list")} == {"acme", "fake-hardware"}
    assert (await cli("driver", "show", "acme"))["default_power_interface"] == "acme"
    assert [row["property"] for row in await cli("driver", "property", "list", "acme")] == ["acme_address"]
    assert await cli("conductor", "list") == []
    await cli.plain("node", "list", "--long")
    assert "nobody" in await cli.fails("node", "show", "nobody")


STEPS = '[{"interface": "deploy", "step": "erase_devices_metadata", "args": {"password": "p"}, "%s": 3}]'


async def test_the_baremetal_cli_manages_deploy_templates(api: Api, tmp_path: Path) -> None:
    cli = Cli(api, tmp_path)
    words = ("deploy", "template")
    made = await cli(*words, "create", "CUSTOM_RAID", "--steps", STEPS % "priority", "--extra", "a=1")
    assert made["steps"][0]["args"] == {"password": "******"}
    assert [row["name"] for row in await cli(*words, "list")] == ["CUSTOM_RAID"]
    await cli.plain(*words, "set", "CUSTOM_RAID", "--name", "CUSTOM_NEW", "--extra", "b=2")
    await cli.plain(*words, "unset", "CUSTOM_NEW", "--extra", "a")
    assert (await cli(*words, "show", "CUSTOM_NEW"))["extra"] == {"b": 2}
    await cli.plain(*words, "delete", "CUSTOM_NEW")
    assert await cli(*words, "list", "--long") == []


async def test_the_baremetal_cli_manages_runbooks_and_cleans_by_one(api: Api, tmp_path: Path) -> None:
    cli = Cli(api, tmp_path)
    made = await cli("runbook", "create", "--name", "wipe", "--steps", STEPS % "order", "--description", "all of it")
    assert (made["description"], made["disable_ramdisk"], made["traits"]) == ("all of it", False, [])
    await cli.plain("runbook", "set", "wipe", "--name", "wiping", "--public", "true")
    await cli.plain("runbook", "unset", "wiping", "--public")
    assert (await cli("runbook", "show", "wiping"))["public"] is False
    await cli.plain("runbook", "trait", "add", "wiping", "CUSTOM_WIPE", "CUSTOM_B")
    await cli.plain("runbook", "trait", "remove", "wiping", "CUSTOM_B")
    assert "CUSTOM_WIPE" in str(await cli("runbook", "trait", "list", "wiping"))
    node = await cli("node", "create", "--driver", "fake-hardware", "--name", "n1")
    await api.deps.store.run(nodes.change, node["uuid"], provision_state="manageable")
    assert "has none of its traits" in await cli.fails("node", "clean", "n1", "--runbook", "wiping")
    await cli.plain("node", "add", "trait", "n1", "CUSTOM_WIPE")
    await cli.plain("node", "clean", "n1", "--runbook", "wiping")
    assert (await cli("node", "show", "n1"))["provision_state"] == "cleaning"
    await cli.plain("runbook", "delete", "wiping")
    assert await cli("runbook", "list") == []


LIBRARY = """
import sys
from ironicclient import client
ironic = client.get_client(1, endpoint=sys.argv[1], token="none", os_ironic_api_version=sys.argv[2])
node = ironic.node.create(driver="fake-hardware", name="lib")
assert node.provision_state == "enroll", node.provision_state
ironic.node.update(node.uuid, [{"op": "add", "path": "/extra/a", "value": 1}])
assert ironic.node.get("lib").extra == {"a": 1}
assert [each.uuid for each in ironic.node.list(limit=0)] == [node.uuid]
ironic.port.create(address="52:54:00:00:00:01", node_uuid=node.uuid)
assert len(ironic.node.list_ports(node.uuid)) == 1
assert ironic.node.states(node.uuid).provision_state == "enroll"
ironic.node.delete(node.uuid)
print("done")
"""

SDK = """
import sys
import openstack
cloud = openstack.connect(auth_type="none", endpoint=sys.argv[1], baremetal_endpoint_override=sys.argv[1])
metal = cloud.baremetal
node = metal.create_node(driver="fake-hardware", name="sdk", driver_info={"a_password": "p"})
assert node.driver_info == {"a_password": "******"}, node.driver_info
metal.update_node(node, extra={"x": 1})
assert metal.get_node("sdk").extra == {"x": 1}
assert [each.id for each in metal.nodes(details=True, provision_state="enroll")] == [node.id]
port = metal.create_port(address="52:54:00:00:00:02", node_id=node.id)
assert [each.id for each in metal.ports(details=True, node_id=node.id)] == [port.id]
metal.set_node_traits(node, ["CUSTOM_A"])
assert metal.get_node(node.id, fields=["traits"]).traits == ["CUSTOM_A"]
metal.set_node_maintenance(node, "why")
assert metal.get_node(node.id).is_maintenance
metal.unset_node_maintenance(node)
assert {each.name for each in metal.drivers()} == {"acme", "fake-hardware"}
chassis = metal.create_chassis(description="c")
assert [each.id for each in metal.chassis(details=True)] == [chassis.id]
metal.delete_chassis(chassis)
metal.delete_port(port)
metal.delete_node(node)
print("done")
"""


@pytest.mark.parametrize("version", ["1.11", "1.46", "1.115", "latest"])
async def test_ironicclient_as_a_library(api: Api, tmp_path: Path, version: str) -> None:
    code, out, err = await run(programs.peer(), "-c", LIBRARY, api.url, version, HOME=str(tmp_path))
    assert (code, out.strip()) == (0, "done"), err


async def test_openstacksdk(api: Api, tmp_path: Path) -> None:
    code, out, err = await run(programs.peer(), "-c", SDK, api.url, HOME=str(tmp_path))
    assert (code, out.strip()) == (0, "done"), err
