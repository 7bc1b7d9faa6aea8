"""Volume connectors and targets, and network events, over the wire; and real clients on them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import programs
from api import test_peers as peers
from ingot.store import nodes as node_store

if TYPE_CHECKING:
    from tests.api.conftest import Api

SECRET = "not-to-be-seen"
TARGET = {"volume_type": "iscsi", "volume_id": "v1", "boot_index": 0}
PROPERTIES = {"auth_password": SECRET, "auth_username": "u", "target_iqn": "iqn.t"}


async def make(api: Api, word: str, node: dict[str, Any], **fields: Any) -> dict[str, Any]:
    reply = await api.call("POST", f"/v1/volume/{word}", {"node_uuid": node["uuid"], **fields})
    assert reply.status == 201, reply.raw
    assert reply.headers["Location"].endswith(f"/v1/volume/{word}/{reply.body['uuid']}")
    return reply.body


async def patched(api: Api, path: str, **changes: Any) -> Any:
    body = [{"op": "add", "path": f"/{name}", "value": value} for name, value in changes.items()]
    return await api.call("PATCH", path, body)


async def power(api: Api, node: dict[str, Any], state: str | None, **more: Any) -> None:
    await api.deps.store.run(node_store.change, node["uuid"], power_state=state, **more)


async def test_a_connector_from_creation_to_deletion(api: Api) -> None:
    owner = await api.node(name="n1")
    made = await make(api, "connectors", owner, type="iqn", connector_id="iqn.a", extra={"a": 1})
    path = f"/v1/volume/connectors/{made['uuid']}"
    assert set(made) == {"uuid", "node_uuid", "type", "connector_id", "extra", "created_at", "updated_at", "links"}
    assert await api.get(path) == made
    assert (await api.get("/v1/volume/connectors?detail=true"))["connectors"] == [made]
    listed = (await api.get("/v1/nodes/n1/volume/connectors"))["connectors"][0]
    assert set(listed) == {"uuid", "node_uuid", "type", "connector_id", "links"}
    assert (await api.get("/v1/volume/connectors?node=n1&fields=type"))["connectors"][0]["type"] == "iqn"
    taken = {"node_uuid": owner["uuid"], "type": "iqn", "connector_id": "iqn.a"}
    reply = await api.call("POST", "/v1/volume/connectors", taken)
    assert (reply.status, "already exists" in reply.fault["faultstring"]) == (409, True)
    assert (await patched(api, path, type="ip")).status == 400
    await power(api, owner, "power off")
    assert (await patched(api, path, type="ip", connector_id="10.0.0.1")).body["connector_id"] == "10.0.0.1"
    assert (await api.call("DELETE", path)).status == 204
    assert (await api.call("GET", path)).status == 404


async def test_a_targets_secrets_are_sealed_masked_and_kept(api: Api, tmp_path: Path) -> None:
    owner = await api.node(name="n1")
    made = await make(api, "targets", owner, **TARGET, properties=PROPERTIES)
    path = f"/v1/volume/targets/{made['uuid']}"
    assert made["properties"] == {**PROPERTIES, "auth_password": "******"}
    await power(api, owner, "power off")
    reply = await patched(api, path, **{"properties/target_lun": 1, "properties/auth_username": "v"})
    assert reply.body["properties"]["auth_password"] == "******"
    kept = await api.deps.store.read(_properties, api, made["uuid"])
    assert kept == {**PROPERTIES, "target_lun": 1, "auth_username": "v"}
    await patched(api, path, **{"properties/auth_password": "another"})
    assert (await api.deps.store.read(_properties, api, made["uuid"]))["auth_password"] == "another"
    assert (await api.get("/v1/volume/targets?fields=properties"))["targets"][0]["properties"]["target_lun"] == 1
    api.deps.store.close()
    files = b"".join(file.read_bytes() for file in tmp_path.glob("ingot.db*"))
    assert SECRET.encode() not in files
    assert b"iqn.t" in files


def _properties(connection: Any, api: Api, uuid: str) -> dict[str, Any]:
    from ingot.store import volumes

    return volumes.TARGETS.get(connection, api.deps.sealer, uuid).properties


async def test_power_and_state_decide_what_may_change(api: Api) -> None:
    owner = await api.node(name="n1")
    made = await make(api, "targets", owner, **TARGET)
    other = await make(api, "targets", owner, **{**TARGET, "boot_index": 1})
    path = f"/v1/volume/targets/{made['uuid']}"
    await power(api, owner, "power on", provision_state="active")
    reply = await patched(api, path, boot_index=3)
    expected = 'The requested action "volume target update" can not be performed on node'
    assert (reply.status, expected in reply.fault["faultstring"]) == (400, True)
    assert (await api.call("DELETE", path)).status == 400
    await power(api, owner, "power off", reservation="here")
    assert (await api.call("DELETE", path)).status == 409
    await power(api, owner, "power off", reservation=None)
    assert (await patched(api, path, boot_index=1)).status == 409
    assert (await patched(api, path, boot_index=2)).body["boot_index"] == 2
    assert (await api.call("DELETE", path)).status == 204
    await power(api, owner, "power on", provision_state="manageable")
    assert (await api.call("DELETE", f"/v1/volume/targets/{other['uuid']}")).status == 204


@pytest.mark.parametrize(
    ("word", "fields", "status"),
    [
        ("connectors", {"type": "iqn"}, 400),
        ("connectors", {"type": "iqn", "connector_id": "q", "odd": 1}, 400),
        ("connectors", {"type": "iqn", "connector_id": "q", "node_uuid": "n1"}, 400),
        ("connectors", {"type": "iqn", "connector_id": "q", "node_uuid": "1" * 32}, 400),
        ("connectors", {"type": "bogus", "connector_id": "q"}, 201),
        ("targets", {**TARGET, "boot_index": "2"}, 400),
        ("targets", {**TARGET, "boot_index": 2**40}, 400),
        ("targets", {**TARGET, "volume_id": None}, 400),
        ("targets", {**TARGET, "properties": None}, 201),
    ],
)
async def test_bodies(api: Api, word: str, fields: dict[str, Any], status: int) -> None:
    owner = await api.node()
    reply = await api.call("POST", f"/v1/volume/{word}", {"node_uuid": owner["uuid"], **fields})
    assert reply.status == status, reply.raw


async def test_what_is_answered_to_other_questions(api: Api) -> None:
    owner = await api.node(name="n1")
    root = await api.get("/v1/volume")
    assert root["targets"][0]["href"].endswith("/v1/volume/targets")
    assert (await api.get("/v1/nodes/n1/volume"))["links"][1]["href"].endswith("/nodes/n1/volume/")
    for method, path, version, status in (
        ("GET", "/v1/volume/connectors", "1.31", 404),
        ("GET", "/v1/volume/connectors/zz", "1.32", 400),
        ("GET", "/v1/volume/targets?node=nobody", "1.32", 404),
        ("GET", "/v1/volume/targets?sort_key=properties", "1.32", 400),
        ("GET", "/v1/volume/targets?fields=uuid&detail=true", "1.32", 400),
        ("GET", f"/v1/volume/targets?marker={owner['uuid']}", "1.32", 404),
        ("POST", "/v1/nodes/n1/volume/targets", "1.32", 400),
        ("DELETE", f"/v1/nodes/n1/volume/targets/{owner['uuid']}", "1.32", 400),
        ("GET", f"/v1/nodes/n1/ports/{owner['uuid']}", "1.32", 400),
    ):
        assert (await api.call(method, path, version=version)).status == status, path


EVENT = {"event": "network.bind_port", "port_id": "1" * 32, "mac_address": "52:54:00:00:00:01", "status": "ACTIVE"}


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, 204),
        ({"device_id": None, "binding:host_id": None, "binding:vnic_type": "baremetal"}, 204),
        ({"event": "network.bogus"}, 400),
        ({"port_id": "x"}, 400),
        ({"mac_address": "zz"}, 400),
        ({"device_id": "x"}, 400),
        ({"odd": 1}, 400),
    ],
)
async def test_events(api: Api, changes: dict[str, Any], status: int) -> None:
    assert (await api.call("POST", "/v1/events", {"events": [{**EVENT, **changes}]})).status == status
    assert (await api.call("POST", "/v1/events", {"events": []})).status == 400
    assert (await api.call("POST", "/v1/events", {"events": [EVENT]}, version="1.53")).status == 404


@pytest.mark.peer
@pytest.mark.timeout(300)
async def test_the_baremetal_cli_manages_volumes(api: Api, tmp_path: Path) -> None:
    cli = peers.Cli(api, tmp_path)
    node = await cli("node", "create", "--driver", "fake-hardware", "--name", "n1")
    await power(api, node, "power off")
    words = ("volume", "connector")
    made = await cli(*words, "create", "--node", node["uuid"], "--type", "iqn", "--connector-id", "iqn.a")
    await cli.plain(*words, "set", made["uuid"], "--connector-id", "iqn.b", "--extra", "a=1")
    assert (await cli(*words, "show", made["uuid"]))["connector_id"] == "iqn.b"
    assert len(await cli(*words, "list", "--node", "n1", "--long")) == 1
    await cli.plain(*words, "delete", made["uuid"])
    words = ("volume", "target")
    what = ("--node", node["uuid"], "--type", "iscsi", "--volume-id", "v", "--boot-index", "0")
    made = await cli(*words, "create", *what, "--property", "auth_password=secret")
    assert made["properties"] == {"auth_password": "******"}
    await cli.plain(*words, "set", made["uuid"], "--boot-index", "1", "--property", "target_lun=2")
    await cli.plain(*words, "unset", made["uuid"], "--property", "auth_password")
    assert (await cli(*words, "show", made["uuid"]))["properties"] == {"target_lun": 2}
    await cli.plain(*words, "delete", made["uuid"])
    assert await cli(*words, "list") == []


SDK = """
import sys
import openstack
metal = openstack.connect(auth_type="none", endpoint=sys.argv[1], baremetal_endpoint_override=sys.argv[1]).baremetal
node = metal.create_node(driver="fake-hardware")
connector = metal.create_volume_connector(node_id=node.id, type="iqn", connector_id="iqn.a")
assert [each.id for each in metal.volume_connectors(details=True, node=node.id)] == [connector.id]
assert metal.find_volume_connector(connector.id).connector_id == "iqn.a"
metal.delete_volume_connector(connector)
target = metal.create_volume_target(node_id=node.id, volume_type="iscsi", volume_id="v", boot_index=0)
assert metal.get_volume_target(target.id).boot_index == 0
metal.delete_volume_target(target)
assert list(metal.volume_targets()) == []
print("done")
"""


@pytest.mark.peer
@pytest.mark.timeout(300)
async def test_openstacksdk_manages_volumes(api: Api, tmp_path: Path) -> None:
    code, out, err = await peers.run(programs.peer(), "-c", SDK, api.url, HOME=str(tmp_path))
    assert (code, out.strip()) == (0, "done"), err
