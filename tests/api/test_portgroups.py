"""Port groups over the wire: their rules, their ports, their microversions, and real clients on them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import programs
from api import test_peers as peers
from ingot.store import nodes as node_store

if TYPE_CHECKING:
    from tests.api.conftest import Api

MAC = "52:54:00:12:34:%02x"


async def group(api: Api, node: dict[str, Any], **fields: Any) -> dict[str, Any]:
    reply = await api.call("POST", "/v1/portgroups", {"node_uuid": node["uuid"], **fields})
    assert reply.status == 201, reply.raw
    assert reply.headers["Location"].endswith(f"/v1/portgroups/{reply.body['uuid']}")
    return reply.body


async def port(api: Api, node: dict[str, Any], number: int, **fields: Any) -> Any:
    return await api.call("POST", "/v1/ports", {"node_uuid": node["uuid"], "address": MAC % number, **fields})


async def patched(api: Api, path: str, **changes: Any) -> Any:
    body = [{"op": "add", "path": f"/{name}", "value": value} for name, value in changes.items()]
    return await api.call("PATCH", path, body)


async def test_a_port_group_from_creation_to_deletion(api: Api) -> None:
    owner = await api.node(name="n1")
    made = await group(api, owner, name="bond0", address=(MAC % 1).upper(), properties={"miimon": 100})
    assert (made["address"], made["mode"], made["internal_info"]) == (MAC % 1, "active-backup", {})
    assert (made["standalone_ports_supported"], made["dynamic_portgroup"], len(made)) == (True, False, 16)
    assert made["ports"][0]["href"].endswith(f"/v1/portgroups/{made['uuid']}/ports")
    assert await api.get("/v1/portgroups/bond0") == await api.get(f"/v1/portgroups/{made['uuid']}") == made
    reply = await patched(api, "/v1/portgroups/bond0", mode="802.3ad", category="fast")
    assert (reply.body["mode"], reply.body["category"]) == ("802.3ad", "fast")
    removed = [{"op": "remove", "path": "/mode"}]
    assert (await api.call("PATCH", "/v1/portgroups/bond0", removed)).status == 400
    assert (await api.call("DELETE", "/v1/portgroups/bond0")).status == 204
    assert (await api.call("GET", "/v1/portgroups/bond0")).status == 404


async def test_lists_of_port_groups_and_of_their_ports(api: Api) -> None:
    owner = await api.node(name="n1", shard="s", conductor_group="g")
    made = await group(api, owner, name="bond0", address=MAC % 1)
    await group(api, await api.node(), name="other")
    member = (await port(api, owner, 2, portgroup_uuid=made["uuid"])).body
    for arguments in ("node=n1", f"address={MAC % 1}", "shard=s", "conductor_groups=g"):
        found = (await api.get(f"/v1/portgroups?{arguments}"))["portgroups"]
        assert [each["uuid"] for each in found] == [made["uuid"]], arguments
        assert set(found[0]) == {"uuid", "address", "name", "links"}
    assert (await api.get("/v1/portgroups?sort_key=name&sort_dir=desc"))["portgroups"][0]["name"] == "other"
    assert len((await api.get("/v1/portgroups?limit=1"))["next"]) > 20
    assert (await api.get("/v1/portgroups/detail?node=n1"))["portgroups"] == [made]
    assert (await api.get(f"/v1/nodes/{owner['uuid']}/portgroups/detail"))["portgroups"] == [made]
    for path in (f"/v1/portgroups/{made['uuid']}/ports/detail", "/v1/ports/detail?portgroup=bond0"):
        assert (await api.get(path))["ports"] == [member]
    for arguments in ("shard=", "conductor_groups="):
        assert len((await api.get(f"/v1/portgroups?{arguments}"))["portgroups"]) == 2, arguments
    assert (await api.call("GET", "/v1/portgroups?address=52-54-00-12-34-01")).status == 400
    assert (await api.call("GET", "/v1/portgroups?node=n1&shard=s")).status == 400
    assert (await api.call("GET", "/v1/portgroups?node=nobody")).status == 404
    assert (await api.call("GET", "/v1/ports?portgroup=nobody")).status == 404


@pytest.mark.parametrize(
    ("fields", "status", "text"),
    [
        ({"name": "bond0"}, 409, "A portgroup with name bond0 already exists."),
        ({"address": MAC % 1}, 409, f"A portgroup with MAC address {MAC % 1} already exists."),
        ({"name": "a b"}, 400, "Cannot create portgroup with invalid name 'a b'"),
        ({"address": "zz"}, 400, "Expected valid MAC address for address: zz"),
        ({"address": "52-54-00-12-34-99"}, 400, "Expected valid MAC address for address: 52-54-00-12-34-99"),
        ({"node_uuid": "11111111-1111-1111-1111-111111111111"}, 400, "could not be found"),
        ({"node_uuid": "n1"}, 400, "Expected UUID for node_uuid: n1"),
        ({"bogus": 1}, 400, "Schema error for portgroup"),
        ({"standalone_ports_supported": "maybe"}, 400, "Invalid standalone_ports_supported: Unrecognized value"),
    ],
)
async def test_bodies_that_are_refused(api: Api, fields: dict[str, Any], status: int, text: str) -> None:
    owner = await api.node(name="n1")
    await group(api, owner, name="bond0", address=MAC % 1)
    reply = await api.call("POST", "/v1/portgroups", {"node_uuid": owner["uuid"], **fields})
    assert (reply.status, text in reply.fault["faultstring"]) == (status, True), reply.raw


async def test_what_each_microversion_shows_and_refuses(api: Api) -> None:
    made = await group(api, await api.node(), name="bond0")
    shown = {number: set(await api.get("/v1/portgroups/bond0", version=f"1.{number}")) for number in (23, 26, 103)}
    assert shown[26] - shown[23] == {"mode", "properties"}
    assert shown[103] - shown[26] == {"physical_network", "category"}
    assert set(made) - shown[103] == {"dynamic_portgroup"}
    for method, path, version, status in (
        ("GET", "/v1/portgroups", "1.22", 404),
        ("GET", "/v1/portgroups/bond0/ports", "1.23", 404),
        ("GET", "/v1/portgroups?fields=mode", "1.25", 406),
        ("GET", "/v1/portgroups?shard=s", "1.105", 406),
        ("GET", "/v1/portgroups?detail=true", "1.42", 400),
        ("GET", "/v1/ports?portgroup=bond0", "1.23", 406),
    ):
        assert (await api.call(method, path, version=version)).status == status, path
    mode = [{"op": "add", "path": "/mode", "value": "x"}]
    assert (await api.call("PATCH", "/v1/portgroups/bond0", mode, version="1.25")).status == 406


async def test_a_groups_ports_are_its_nodes_on_its_network_and_not_used_alone(api: Api) -> None:
    owner, stranger = await api.node(name="n1", network_interface="flat"), await api.node()
    made = await group(api, owner, name="bond0")
    uuid = made["uuid"]
    first = (await port(api, owner, 1, portgroup_uuid=uuid, physical_network="blue")).body
    assert (await api.get("/v1/portgroups/bond0"))["physical_network"] == "blue"
    assert (await port(api, stranger, 2, portgroup_uuid=uuid)).status == 400
    reply = await port(api, owner, 2, portgroup_uuid=uuid, physical_network="red")
    assert (reply.status, "which has ports in physical network blue" in reply.fault["faultstring"]) == (409, True)
    assert (await patched(api, f"/v1/ports/{first['uuid']}", physical_network="red")).status == 400
    assert (await patched(api, "/v1/portgroups/bond0", physical_network="red")).status == 200
    assert (await api.get(f"/v1/ports/{first['uuid']}"))["physical_network"] == "red"
    assert (await patched(api, "/v1/portgroups/bond0", standalone_ports_supported=False)).status == 409
    assert (await patched(api, f"/v1/ports/{first['uuid']}", pxe_enabled=False)).status == 200
    assert (await patched(api, "/v1/portgroups/bond0", standalone_ports_supported=False)).status == 200
    assert (await patched(api, f"/v1/ports/{first['uuid']}", pxe_enabled=True)).status == 409
    used = {"portgroup_uuid": uuid, "physical_network": "red", "pxe_enabled": True}
    assert (await port(api, owner, 3, **used)).status == 409
    assert (await api.call("DELETE", "/v1/portgroups/bond0")).status == 400
    assert (await patched(api, "/v1/portgroups/bond0", node_uuid=stranger["uuid"])).status == 400
    assert (await patched(api, f"/v1/ports/{first['uuid']}", portgroup_uuid=None)).status == 200
    assert (await patched(api, "/v1/portgroups/bond0", node_uuid=stranger["uuid"])).status == 200


async def test_the_nodes_state_decides_what_may_change(api: Api) -> None:
    owner, other = await api.node(name="n1"), await api.node()
    await group(api, owner, name="bond0")
    await api.deps.store.run(node_store.change, owner["uuid"], provision_state="inspecting")
    reply = await patched(api, "/v1/portgroups/bond0", mode="802.3ad")
    assert (reply.status, "while it is in state" in reply.fault["faultstring"]) == (409, True)
    await api.deps.store.run(node_store.change, owner["uuid"], provision_state="active")
    assert (await patched(api, "/v1/portgroups/bond0", mode="802.3ad")).status == 200
    assert (await patched(api, "/v1/portgroups/bond0", node_uuid=other["uuid"])).status == 409
    await api.deps.store.run(node_store.change, owner["uuid"], reservation="here")
    assert (await patched(api, "/v1/portgroups/bond0", mode="x")).status == 409
    assert (await api.call("DELETE", "/v1/portgroups/bond0")).status == 409


async def test_where_nothing_is_connected_ports_of_a_group_may_be_used_alone(api: Api) -> None:
    owner = await api.node(name="n1", network_interface="noop")
    uuid = (await group(api, owner, name="bond0", standalone_ports_supported=False))["uuid"]
    assert (await port(api, owner, 1, portgroup_uuid=uuid, pxe_enabled=True)).status == 409
    alone = (await port(api, owner, 1)).body
    assert (await patched(api, f"/v1/ports/{alone['uuid']}", portgroup_uuid=uuid)).status == 200


async def test_what_belongs_to_a_node_goes_with_it(api: Api) -> None:
    owner = await api.node(name="n1")
    uuid = (await group(api, owner, name="bond0"))["uuid"]
    await port(api, owner, 1, portgroup_uuid=uuid)
    volume = {"node_uuid": owner["uuid"], "type": "iqn", "connector_id": "iqn.a"}
    assert (await api.call("POST", "/v1/volume/connectors", volume)).status == 201
    assert (await api.call("DELETE", "/v1/nodes/n1")).status == 204
    assert (await api.get("/v1/portgroups"))["portgroups"] == []
    assert (await api.get("/v1/volume/connectors"))["connectors"] == []


@pytest.mark.peer
@pytest.mark.timeout(300)
async def test_the_baremetal_cli_manages_port_groups(api: Api, tmp_path: Path) -> None:
    cli = peers.Cli(api, tmp_path)
    node = await cli("node", "create", "--driver", "fake-hardware", "--name", "n1")
    words = ("port", "group")
    where = ("--node", node["uuid"], "--name", "bond0", "--address", MAC % 1, "--mode", "802.3ad")
    made = await cli(*words, "create", *where, "--property", "miimon=100", "--support-standalone-ports")
    assert (made["mode"], made["properties"]) == ("802.3ad", {"miimon": 100})
    await cli("port", "create", MAC % 2, "--node", node["uuid"], "--port-group", made["uuid"])
    assert len(await cli("port", "list", "--port-group", "bond0")) == 1
    assert [row["name"] for row in await cli(*words, "list", "--node", "n1")] == ["bond0"]
    await cli.plain(*words, "set", "bond0", "--mode", "balance-rr", "--unsupport-standalone-ports")
    await cli.plain(*words, "unset", "bond0", "--property", "miimon", "--address")
    shown = await cli(*words, "show", "bond0")
    assert (shown["mode"], shown["address"], shown["standalone_ports_supported"]) == ("balance-rr", None, False)
    assert "contains ports" in await cli.fails(*words, "delete", "bond0")
    await cli.plain("port", "unset", (await cli("port", "list"))[0]["uuid"], "--port-group")
    await cli.plain(*words, "delete", "bond0")
    assert await cli(*words, "list", "--long") == []


SDK = """
import sys
import openstack
metal = openstack.connect(auth_type="none", endpoint=sys.argv[1], baremetal_endpoint_override=sys.argv[1]).baremetal
node = metal.create_node(driver="fake-hardware")
made = metal.create_port_group(node_id=node.id, name="bond0", address="52:54:00:00:00:09", mode="802.3ad")
assert [each.id for each in metal.port_groups(details=True, node=node.id)] == [made.id]
assert metal.update_port_group(made, extra={"a": 1}).extra == {"a": 1}
assert metal.find_port_group("bond0").mode == "802.3ad"
metal.delete_port_group(made)
assert list(metal.port_groups()) == []
print("done")
"""


@pytest.mark.peer
@pytest.mark.timeout(300)
async def test_openstacksdk_manages_port_groups(api: Api, tmp_path: Path) -> None:
    code, out, err = await peers.run(programs.peer(), "-c", SDK, api.url, HOME=str(tmp_path))
    assert (code, out.strip()) == (0, "done"), err
