"""Nodes over the wire: create, list, show, patch, delete."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ingot.store import nodes as node_store

if TYPE_CHECKING:
    from tests.api.conftest import Api

UUID = "11111111-1111-1111-1111-111111111111"


async def test_a_new_node_shows_everything_its_microversion_knows(api: Api) -> None:
    reply = await api.call(
        "POST", "/v1/nodes", {"driver": "fake-hardware", "name": "n1", "uuid": UUID, "driver_info": {"a": 1}}
    )
    assert reply.status == 201
    assert reply.headers["Location"] == f"{api.url}/v1/nodes/{UUID}"
    body = reply.body
    assert (body["uuid"], body["name"], body["provision_state"]) == (UUID, "n1", "enroll")
    assert body["power_interface"] == "fake"
    assert body["bios_interface"] == "no-bios"
    assert body["driver_info"] == {"a": 1}
    assert body["traits"] == []
    assert body["conductor"] == "here"
    assert body["volume"][0] == {"href": f"{api.url}/v1/nodes/{UUID}/volume", "rel": "self"}
    assert len(body) == 69
    assert (await api.get("/v1/nodes/n1")) == body


async def test_the_oldest_microversion_sees_no_name_and_starts_available(api: Api) -> None:
    reply = await api.call("POST", "/v1/nodes", {"driver": "fake-hardware"}, version=None)
    assert reply.status == 201
    assert reply.headers["X-OpenStack-Ironic-API-Version"] == "1.1"
    assert reply.body["provision_state"] is None
    assert "name" not in reply.body
    assert len(reply.body) == 22
    assert (await api.get(f"/v1/nodes/{reply.body['uuid']}"))["provision_state"] == "available"


async def test_fields_and_defaults_of_the_list(api: Api) -> None:
    first = await api.node(name="a")
    second = await api.node(name="b")
    body = await api.get("/v1/nodes")
    assert [node["uuid"] for node in body["nodes"]] == [first["uuid"], second["uuid"]]
    short = {"uuid", "name", "instance_uuid", "maintenance", "power_state", "provision_state", "links"}
    assert set(body["nodes"][0]) == short
    assert "next" not in body
    chosen = await api.get("/v1/nodes?fields=uuid,driver&fields=traits")
    assert set(chosen["nodes"][0]) == {"uuid", "driver", "traits", "links"}
    assert (await api.get("/v1/nodes?detail=true"))["nodes"][0] == await api.get("/v1/nodes/a")
    assert (await api.get("/v1/nodes/detail"))["nodes"] == (await api.get("/v1/nodes?detail=true"))["nodes"]
    assert (await api.call("GET", "/v1/nodes?fields=uuid,created_at")).status == 400
    assert (await api.call("GET", "/v1/nodes?fields=uuid,owner", version="1.20")).status == 406
    assert (await api.call("GET", "/v1/nodes?fields=uuid", version="1.7")).status == 406
    assert (await api.call("GET", "/v1/nodes?detail=true&fields=uuid")).status == 400


async def test_paging_follows_next_to_the_end(api: Api) -> None:
    made = {(await api.node(name=f"n{number}", owner="o"))["uuid"] for number in range(5)}
    seen: list[str] = []
    path = "/v1/nodes?limit=2&sort_key=name&sort_dir=desc&fields=uuid,name"
    while path:
        body = await api.get(path)
        seen += [node["name"] for node in body["nodes"]]
        path = body.get("next", "").removeprefix(api.url)
    assert seen == ["n4", "n3", "n2", "n1", "n0"]
    assert len(made) == 5
    reply = await api.get("/v1/nodes?limit=1&owner=o&maintenance=false")
    marker = reply["nodes"][0]["uuid"]
    assert reply["next"] == (
        f"{api.url}/v1/nodes?sort_key=id&sort_dir=asc"
        f"&fields=instance_uuid,maintenance,power_state,provision_state,uuid,name&limit=1&marker={marker}"
    )
    without_uuid = await api.get("/v1/nodes?limit=1&fields=name")
    assert set(without_uuid["nodes"][0]) == {"name", "links"}
    assert without_uuid["next"].endswith(f"fields=name&limit=1&marker={marker}")
    assert (await api.call("GET", f"/v1/nodes?marker={UUID}")).status == 404


async def test_filters(api: Api) -> None:
    await api.node(name="a", owner="o1", lessee="o2", resource_class="gold", description="left rack", shard="s1")
    await api.node(name="b", owner="o2", conductor_group="g", instance_uuid=UUID, maintenance=True)
    await api.node(name="c", driver="acme", parent_node="a", owner="o1")

    async def names(arguments: str) -> list[str]:
        return [node["name"] for node in (await api.get(f"/v1/nodes?{arguments}"))["nodes"]]

    assert await names("owner=o1") == ["a"]
    assert await names("project=o2") == ["a", "b"]
    assert await names("resource_class=gold") == ["a"]
    assert await names("description_contains=rack") == ["a"]
    assert await names("shard=s1,s2") == ["a"]
    assert await names("sharded=false") == ["b"]
    assert await names("conductor_group=g") == ["b"]
    assert await names("associated=True") == ["b"]
    assert await names(f"instance_uuid={UUID}") == ["b"]
    assert await names("maintenance=yes") == ["b"]
    assert await names("provision_state=enroll") == ["a", "b"]
    assert await names("driver=acme&include_children=true") == ["c"]
    assert await names("include_children=true") == ["a", "b", "c"]
    assert await names("conductor=here") == ["a", "b"]
    assert await names("conductor=elsewhere") == []
    parent = await api.get("/v1/nodes/a")
    assert await names(f"parent_node={parent['uuid']}") == ["c"]
    children = await api.get("/v1/nodes/a/children")
    assert len(children["children"]) == 1


async def test_secrets_are_masked_sealed_and_survive_a_rewrite(api: Api) -> None:
    made = await api.node(driver_info={"acme_password": "geheim", "acme_address": "bmc"})
    assert made["driver_info"] == {"acme_password": "******", "acme_address": "bmc"}
    uuid = made["uuid"]
    sealed, _ = await api.deps.store.read(node_store.get_secrets, uuid)
    assert sealed is not None
    assert "geheim" not in sealed
    assert api.deps.sealer.open(uuid, sealed) == {"driver_info": {"acme_password": "geheim"}}
    whole = [{"op": "replace", "path": "/driver_info", "value": {**made["driver_info"], "acme_address": "bmc2"}}]
    reply = await api.call("PATCH", f"/v1/nodes/{uuid}", whole)
    assert reply.body["driver_info"] == {"acme_password": "******", "acme_address": "bmc2"}
    sealed, _ = await api.deps.store.read(node_store.get_secrets, uuid)
    assert api.deps.sealer.open(uuid, sealed) == {"driver_info": {"acme_password": "geheim"}}
    new = [{"op": "add", "path": "/driver_info/acme_password", "value": "neu"}]
    assert (await api.call("PATCH", f"/v1/nodes/{uuid}", new)).body["driver_info"]["acme_password"] == "******"
    sealed, _ = await api.deps.store.read(node_store.get_secrets, uuid)
    assert api.deps.sealer.open(uuid, sealed) == {"driver_info": {"acme_password": "neu"}}
    gone = [{"op": "remove", "path": "/driver_info/acme_password"}]
    assert (await api.call("PATCH", f"/v1/nodes/{uuid}", gone)).body["driver_info"] == {"acme_address": "bmc2"}
    assert await api.deps.store.read(node_store.get_secrets, uuid) == (None, None)


def replace(path: str, value: object) -> list[dict[str, object]]:
    return [{"op": "replace", "path": path, "value": value}]


async def test_what_a_patch_may_do(api: Api) -> None:
    await api.node(name="n1")
    for operations in (
        [],
        [{"op": "add", "path": "/extra/list", "value": [1]}, {"op": "add", "path": "/extra/list/-", "value": 2}],
        [{"op": "remove", "path": "/conductor_group"}, {"op": "remove", "path": "/automated_clean"}],
        replace("/network_interface", "flat"),
        [{"op": "remove", "path": "/network_interface"}],
        replace("/maintenance", "yes"),
    ):
        reply = await api.call("PATCH", "/v1/nodes/n1", operations)
        assert reply.status == 200, reply.raw
        assert reply.body["updated_at"] is not None
    assert (reply.body["extra"], reply.body["network_interface"]) == ({"list": [1, 2]}, "noop")
    assert reply.body["maintenance"] is True
    reply = await api.call("PATCH", "/v1/nodes/n1", [{"op": "remove", "path": "/name"}])
    assert reply.body["name"] is None


async def test_what_a_patch_may_not_do(api: Api) -> None:
    await api.node(name="n1", instance_uuid=UUID)
    for operations, status in (
        (replace("/name", None), 400),
        (replace("/provision_state", "active"), 400),
        (replace("/odd", 1), 400),
        (replace("/extra/a", 1), 400),
        ([{"op": "remove", "path": "/driver"}], 400),
        (replace("/driver", "nobody"), 400),
        (replace("/power_interface", "odd"), 400),
        (replace("/instance_uuid", "22222222-2222-2222-2222-222222222222"), 409),
        (replace("/protected", True), 409),
        (replace("/protected_reason", "x"), 400),
        (replace("/extra", "text"), 400),
        ([{"op": "add", "path": "extra", "value": 1}], 400),
    ):
        reply = await api.call("PATCH", "/v1/nodes/n1", operations)
        assert (operations, reply.status) == (operations, status)
    newer = await api.call("PATCH", "/v1/nodes/n1", replace("/owner", "x"), version="1.49")
    assert newer.status == 406
    shown = await api.get("/v1/nodes/n1")
    assert (shown["instance_uuid"], shown["extra"]) == (UUID, {})


async def test_the_driver_changes_with_its_interfaces(api: Api) -> None:
    await api.node(name="n1")
    reply = await api.call("PATCH", "/v1/nodes/n1", replace("/driver", "acme"))
    assert reply.status == 400
    reply = await api.call("PATCH", "/v1/nodes/n1?reset_interfaces=true", replace("/driver", "acme"))
    assert (reply.body["driver"], reply.body["power_interface"]) == ("acme", "acme")
    assert (await api.call("PATCH", "/v1/nodes/n1?reset_interfaces=true", replace("/extra", {}))).status == 400


async def test_a_moving_node_or_one_a_conductor_holds_is_not_changed(api: Api) -> None:
    made = await api.node(name="n1")
    store = api.deps.store
    await store.run(node_store.change, made["uuid"], reservation="here")
    for method, path, body in (
        ("PATCH", "/v1/nodes/n1", replace("/extra", {})),
        ("DELETE", "/v1/nodes/n1", None),
        ("PUT", "/v1/nodes/n1/maintenance", {}),
        ("PUT", "/v1/nodes/n1/traits", {"traits": ["CUSTOM_A"]}),
        ("POST", "/v1/nodes/n1/vifs", {"id": "v"}),
        ("POST", "/v1/ports", {"address": "52:54:00:00:00:01", "node_uuid": made["uuid"]}),
    ):
        reply = await api.call(method, path, body)
        assert (method, path, reply.status) == (method, path, 409)
        assert "locked by host here" in reply.fault["faultstring"]
    assert (await api.get("/v1/nodes/n1"))["reservation"] == "here"
    moving = {"reservation": None, "provision_state": "deploying", "target_provision_state": "active"}
    await store.run(node_store.change, made["uuid"], **moving)
    reply = await api.call("PATCH", "/v1/nodes/n1", replace("/extra", {}))
    assert reply.status == 409
    assert "state transition is in progress" in reply.fault["faultstring"]
    await store.run(node_store.change, made["uuid"], maintenance=True, instance_uuid=UUID)
    reply = await api.call("PATCH", "/v1/nodes/n1", [{"op": "remove", "path": "/instance_uuid"}])
    assert reply.status == 200


async def test_deleting(api: Api) -> None:
    made = await api.node(name="n1")
    await api.deps.store.run(node_store.change, made["uuid"], provision_state="active")
    assert (await api.call("DELETE", "/v1/nodes/n1")).status == 409
    await api.deps.store.run(node_store.change, made["uuid"], protected=True, maintenance=True)
    assert (await api.call("DELETE", "/v1/nodes/n1")).status == 403
    await api.deps.store.run(node_store.change, made["uuid"], protected=False)
    assert (await api.call("DELETE", "/v1/nodes/n1")).status == 204
    assert (await api.call("DELETE", "/v1/nodes/n1")).status == 404


async def test_names(api: Api) -> None:
    await api.node(name="n1")
    assert (await api.call("GET", "/v1/nodes/n1", version="1.4")).status == 404
    for name, version, status in (
        ("n1", "1.115", 409),
        ("a_b", "1.9", 400),
        ("a_b", "1.10", 201),
        ("a b", "1.115", 400),
        ("states", "1.115", 400),
        (UUID, "1.115", 400),
        ("n2", "1.4", 406),
    ):
        reply = await api.call("POST", "/v1/nodes", {"driver": "fake-hardware", "name": name}, version=version)
        assert (name, version, reply.status) == (name, version, status)


async def test_what_the_agent_said_is_shown_without_its_token(api: Api) -> None:
    made = await api.node(name="n1")
    seen = {
        "agent_url": "https://10.0.0.9:9999",
        "agent_version": "1",
        "agent_heartbeat_at": 1.5,
        "agent_token": "v1:x",
    }
    await api.deps.store.run(node_store.change, made["uuid"], **seen)
    assert (await api.get("/v1/nodes/n1"))["driver_internal_info"] == {
        "agent_url": "https://10.0.0.9:9999",
        "agent_version": "1",
        "agent_last_heartbeat": "1970-01-01T00:00:01.500000",
        "agent_secret_token": "******",
    }


async def test_states_by_version(api: Api) -> None:
    made = await api.node()
    await api.deps.store.run(node_store.change, made["uuid"], provision_state="inspect wait")
    for version, state in (("1.38", "inspecting"), ("1.39", "inspect wait")):
        assert (await api.get(f"/v1/nodes/{made['uuid']}", version=version))["provision_state"] == state
        assert (await api.get(f"/v1/nodes/{made['uuid']}/states", version=version))["provision_state"] == state


@pytest.mark.parametrize(
    ("path", "body"),
    [("provision", {"target": "manage"}), ("power", {"target": "power on"})],
)
async def test_a_node_is_locked_for_all_to_see_before_a_conductor_takes_the_work_up(
    api: Api, path: str, body: dict[str, str]
) -> None:
    made = await api.node(name="n1")
    assert (await api.call("PUT", f"/v1/nodes/n1/states/{path}", body)).status == 202
    assert (await api.get("/v1/nodes/n1"))["reservation"] == "here"
    patch = [{"op": "add", "path": "/extra/a", "value": 1}]
    for method, target, given in (("PATCH", "", patch), ("PUT", "/states/power", {"target": "power off"})):
        refused = await api.call(method, f"/v1/nodes/n1{target}", given)
        assert (refused.status, "is locked by" in refused.fault["faultstring"]) == (409, True), refused.raw
    assert (await api.call("DELETE", f"/v1/nodes/{made['uuid']}")).status == 409
