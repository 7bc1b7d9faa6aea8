"""``/v1/allocations``: what clients see, with the conductor's own search for nodes running beside the API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import pytest

from ingot.conductor.placements import Placements
from ingot.domain import ids
from ingot.store import nodes

if TYPE_CHECKING:
    from tests.api.conftest import Api, Reply

    from ingot.deps import Deps

PATH = "/v1/allocations"
RULED = ("instance_uuid", "allocation_uuid", "instance_info")


@pytest.fixture
async def placing(deps: Deps) -> AsyncIterator[None]:
    task = asyncio.create_task(Placements(deps).run())
    yield
    task.cancel()
    await asyncio.wait({task})


async def free(api: Api, name: str, *traits: str, power: str | None = "power off", **fields: Any) -> str:
    """An available node; its uuid."""
    uuid = (await api.node(name=name, **{"resource_class": "gold", **fields}))["uuid"]
    await api.deps.store.run(nodes.change, uuid, provision_state="available", power_state=power)
    await api.deps.store.run(nodes.set_traits, uuid, traits)
    return uuid


async def ask(api: Api, **fields: Any) -> Reply:
    return await api.call("POST", PATH, {"resource_class": "gold", **fields})


async def settled(api: Api, **fields: Any) -> dict[str, Any]:
    """A new allocation once the search for its node has ended."""
    reply = await ask(api, **fields)
    assert reply.status == 201, reply.raw
    assert (reply.body["state"], reply.body["node_uuid"]) == ("allocating", None)
    async with asyncio.timeout(10):
        while True:
            found = await api.get(f"{PATH}/{reply.body['uuid']}")
            if found["state"] != "allocating":
                return found
            await asyncio.sleep(0.01)


async def shown(api: Api, node: str) -> tuple[Any, ...]:
    found = await api.get(f"/v1/nodes/{node}")
    return tuple(found[name] for name in RULED)


@pytest.mark.usefixtures("placing")
async def test_a_free_node_is_found_and_marked(api: Api) -> None:
    node = await free(api, "n1", "CUSTOM_A", "CUSTOM_B")
    found = await settled(api, name="mine", traits=["CUSTOM_A"], extra={"k": 1})
    assert found["state"] == "active"
    assert (found["node_uuid"], found["last_error"], found["extra"]) == (node, None, {"k": 1})
    assert await shown(api, "n1") == (found["uuid"], found["uuid"], {"traits": ["CUSTOM_A"]})
    assert await api.get("/v1/nodes/n1/allocation") == found == await api.get(f"{PATH}/mine")
    assert (await api.get("/v1/nodes/n1/allocation?fields=name"))["name"] == "mine"
    again = await settled(api)
    assert (again["state"], again["node_uuid"]) == ("error", None)
    assert again["last_error"] == (
        f"Failed to process allocation {again['uuid']}: no available nodes match the resource class gold."
    )
    assert (await api.call("DELETE", f"{PATH}/mine")).status == 204
    assert await shown(api, "n1") == (None, None, {"traits": ["CUSTOM_A"]})
    assert (await settled(api))["node_uuid"] == node


@pytest.mark.usefixtures("placing")
@pytest.mark.parametrize(
    "fields",
    [
        {"power": None},
        {"maintenance": True},
        {"resource_class": "lead"},
        {"instance_uuid": "11111111-2222-4333-8444-555555555555"},
        {"owner": "p2", "lessee": "p3"},
    ],
    ids=["power unknown", "maintenance", "other class", "in use", "others'"],
)
async def test_unfit_nodes_are_passed_by(api: Api, fields: dict[str, Any]) -> None:
    await free(api, "unfit", **fields)
    fit = await free(api, "fit", owner="p1")
    assert (await settled(api, owner="p1"))["node_uuid"] == fit
    assert (await settled(api, owner="p1"))["state"] == "error"


@pytest.mark.usefixtures("placing")
async def test_what_was_asked_for_decides(api: Api) -> None:
    ones = [await free(api, f"n{number}", "CUSTOM_A") for number in range(3)]
    leased = await free(api, "leased", lessee="p1", resource_class="silver")
    child = await free(api, "child", parent_node="n0")
    assert (await settled(api, resource_class="silver", owner="p1"))["node_uuid"] == leased
    assert (await settled(api, candidate_nodes=["n2", ones[2]]))["node_uuid"] == ones[2]
    taken = await settled(api, candidate_nodes=["n2"])
    assert "none of the requested nodes are available" in taken["last_error"]
    assert (await settled(api, name="n1"))["node_uuid"] == ones[1]
    lacking = await settled(api, traits=["CUSTOM_Z"])
    assert "no suitable nodes have the requested traits CUSTOM_Z" in lacking["last_error"]
    assert (await settled(api))["node_uuid"] == ones[0]
    assert (await settled(api, candidate_nodes=[child]))["state"] == "error"


@pytest.mark.usefixtures("placing")
async def test_an_instance_that_another_node_serves_is_not_placed(api: Api) -> None:
    used = ids.new()
    await free(api, "used", instance_uuid=used)
    await free(api, "n1")
    found = await settled(api, uuid=used)
    assert found["state"] == "error"
    assert "already associated" in found["last_error"]


async def test_bodies_are_checked(api: Api) -> None:
    wrong: tuple[tuple[dict[str, Any], str], ...] = (
        ({"resource_class": None}, "mandatory"),
        ({"resource_class": 3}, "resource_class"),
        ({"resource_class": "x" * 81}, "resource_class"),
        ({"bogus": 1}, "bogus"),
        ({"state": "active"}, "state"),
        ({"name": "a b"}, "invalid name 'a b'"),
        ({"uuid": "zz"}, "UUID"),
        ({"traits": ["x"]}, "CUSTOM_"),
        ({"traits": "CUSTOM_A"}, "traits"),
        ({"candidate_nodes": ["nope"]}, "Nodes cannot be found: nope"),
        ({"extra": []}, "extra"),
        ({"node": "nope"}, "Node nope could not be found"),
    )
    for body, word in wrong:
        reply = await ask(api, **body)
        assert (reply.status, word in reply.fault["faultstring"]) == (400, True), (body, reply.raw)
    assert (await api.call("POST", PATH, b"{bad")).status == 400
    assert (await api.get(PATH)) == {"allocations": []}


async def test_names_and_uuids_are_unique(api: Api) -> None:
    made = (await ask(api, name="one")).body
    for body in ({"name": "one"}, {"uuid": made["uuid"]}, {"uuid": made["uuid"].upper()}):
        assert (await ask(api, **body)).status == 409
    assert (await ask(api, name=made["uuid"])).status == 201


async def test_microversions(api: Api) -> None:
    uuid = (await ask(api, name="a", owner="p")).body["uuid"]
    answers = {
        ("GET", PATH, "1.51"): 404,
        ("POST", PATH, "1.51"): 405,
        ("GET", f"{PATH}/a", "1.51"): 404,
        ("DELETE", f"{PATH}/a", "1.51"): 405,
        ("PATCH", f"{PATH}/a", "1.56"): 405,
        ("PATCH", f"{PATH}/a", "1.57"): 200,
        ("GET", f"{PATH}?owner=p", "1.59"): 406,
        ("GET", f"{PATH}?fields=owner", "1.59"): 400,
        ("GET", f"{PATH}?fields=owner", "1.60"): 200,
        ("GET", f"{PATH}/a.json", "1.90"): 200,
        ("GET", f"{PATH}/a.json", "1.91"): 404,
        ("GET", "/v1/nodes/n/allocation", "1.51"): 404,
    }
    for (method, path, version), status in answers.items():
        body: Any = [] if method == "PATCH" else {} if method == "POST" else None
        assert (await api.call(method, path, body, version=version)).status == status, (method, path, version)
    assert "owner" not in await api.get(f"{PATH}/{uuid}", version="1.59")
    assert (await api.call("POST", PATH, {"node": "n"}, version="1.57")).status == 400
    assert (await api.call("POST", PATH, {"resource_class": "g", "owner": "p"}, version="1.59")).status == 406


@pytest.mark.usefixtures("placing")
async def test_lists(api: Api) -> None:
    node = await free(api, "n1")
    made = [await settled(api, name=name) for name in ("b", "a", "c")]
    await ask(api, resource_class="lead", owner="p1", name="d")

    async def names(query: str) -> list[str]:
        return [each["name"] for each in (await api.get(f"{PATH}?{query}"))["allocations"]]

    assert await names("sort_key=name&sort_dir=desc&limit=2") == ["d", "c"]
    assert await names(f"marker={made[0]['uuid']}&fields=name") == ["a", "c", "d"]
    assert await names("state=active") == ["b"] == await names("node=n1") == await names(f"node={node}")
    assert await names("owner=p1") == ["d"] == await names("resource_class=lead")
    page = await api.get(f"{PATH}?limit=1&state=error&fields=name&sort_key=name")
    rest = page["next"].removeprefix(api.url)
    assert [each["name"] for each in (await api.get(rest))["allocations"]] == ["c"]
    for query, status in {
        "bogus=1": 400,
        "detail=true": 400,
        "node=nope": 400,
        "fields=bogus": 400,
        "limit=-1": 400,
        "sort_key=extra": 400,
        "sort_dir=up": 400,
        "marker=zz": 400,
        f"marker={ids.new()}": 404,
    }.items():
        assert (await api.call("GET", f"{PATH}?{query}")).status == status, query


async def test_patches(api: Api) -> None:
    await ask(api, name="other")
    uuid = (await ask(api, name="a", extra={"x": 1})).body["uuid"]

    async def patch(*operations: dict[str, Any]) -> Reply:
        return await api.call("PATCH", f"{PATH}/{uuid}", list(operations))

    changed = await patch(
        {"op": "add", "path": "/extra/y", "value": {"z": 2}}, {"op": "replace", "path": "/name", "value": "b"}
    )
    assert (changed.body["name"], changed.body["extra"]) == ("b", {"x": 1, "y": {"z": 2}})
    assert (await patch({"op": "remove", "path": "/extra"}, {"op": "remove", "path": "/name"})).body["extra"] == {}
    for operation, status in (
        ({"op": "replace", "path": "/state", "value": "active"}, 400),
        ({"op": "add", "path": "/owner", "value": "p"}, 400),
        ({"op": "add", "path": "/name", "value": "a b"}, 400),
        ({"op": "add", "path": "/name", "value": 4}, 400),
        ({"op": "add", "path": "/extra", "value": 4}, 400),
        ({"op": "add", "path": "/extra/l", "value": [1]}, 400),
        ({"op": "remove", "path": "/extra/nope"}, 400),
        ({"op": "add", "path": "/name", "value": "other"}, 409),
        ({"op": "add", "path": "/name"}, 400),
    ):
        assert (await patch(operation)).status == status, operation
    assert (await api.call("PATCH", f"{PATH}/nope", [])).status == 404


@pytest.mark.usefixtures("placing")
async def test_a_node_in_use_keeps_its_allocation(api: Api) -> None:
    node = await free(api, "n1", owner="p1")
    made = await settled(api, owner="p1", name="a")

    async def patch(op: str, path: str, *value: str) -> int:
        operation = {"op": op, "path": path, **({"value": value[0]} if value else {})}
        return (await api.call("PATCH", "/v1/nodes/n1", [operation])).status

    assert await patch("replace", "/instance_uuid", ids.new()) == 409
    assert await patch("replace", "/owner", "p2") == 409
    await api.deps.store.run(nodes.change, node, provision_state="active")
    assert await patch("remove", "/instance_uuid") == 409
    for path in (f"{PATH}/a", "/v1/nodes/n1/allocation"):
        assert (await api.call("DELETE", path)).status == 409
    await api.deps.store.run(nodes.change, node, provision_state="deploying", target_provision_state="active")
    assert (await api.call("DELETE", f"{PATH}/a")).status == 409
    await api.deps.store.run(nodes.change, node, provision_state="deploy failed")
    assert (await api.call("DELETE", f"{PATH}/a")).status == 204
    await api.deps.store.run(nodes.change, node, provision_state="available", target_provision_state=None)
    made = await settled(api, owner="p1")
    assert await patch("remove", "/instance_uuid") == 200
    assert (await api.call("GET", f"{PATH}/{made['uuid']}")).status == 404
    assert await shown(api, "n1") == (None, None, {"traits": []})


@pytest.mark.usefixtures("placing")
async def test_allocations_of_deleted_nodes_and_no_nodes(api: Api) -> None:
    node = await free(api, "n1")
    made = await settled(api)
    assert (await api.call("DELETE", "/v1/nodes/n1")).status == 409
    await api.deps.store.run(nodes.change, node, maintenance=True)
    assert (await api.call("DELETE", "/v1/nodes/n1")).status == 204
    assert (await api.call("GET", f"{PATH}/{made['uuid']}")).status == 404
    await free(api, "n2")
    for method, path, status in (
        ("GET", "/v1/nodes/n2/allocation", 404),
        ("DELETE", "/v1/nodes/n2/allocation", 404),
        ("GET", "/v1/nodes/nope/allocation", 400),
        ("DELETE", "/v1/nodes/nope/allocation", 404),
        ("PUT", "/v1/nodes/n2/allocation", 405),
        ("GET", f"{PATH}/nope", 404),
        ("GET", f"{PATH}/a%20b", 400),
        ("DELETE", f"{PATH}/nope", 404),
    ):
        assert (await api.call(method, path)).status == status, (method, path)


async def test_deployed_nodes_are_recorded(api: Api) -> None:
    node = await free(api, "n1", "CUSTOM_A")
    idle = await ask(api, resource_class=None, node="n1", name="idle")
    assert (idle.status, 'Node must be in the "active" state' in idle.fault["faultstring"]) == (409, True)
    assert (await api.get(f"{PATH}/idle"))["state"] == "error"
    await api.deps.store.run(nodes.change, node, provision_state="active", instance_uuid=ids.new())
    for name, body in {
        "class": {"resource_class": "silver"},
        "traits": {"traits": ["CUSTOM_B"]},
        "nodes": {"candidate_nodes": [(await api.node(name="n2"))["uuid"]]},
        "uuid": {"uuid": ids.new()},
    }.items():
        assert (await ask(api, node=node, **{"uuid": ids.new(), **body}, name=name)).status == 409, body
    instance = (await shown(api, "n1"))[0]
    made = (await ask(api, resource_class=None, node="n1", traits=["CUSTOM_A"], candidate_nodes=["n1"])).body
    assert (made["state"], made["uuid"], made["node_uuid"]) == ("active", instance, node)
    assert made["resource_class"] == "gold"
    assert await shown(api, "n1") == (instance, instance, {"traits": ["CUSTOM_A"]})


async def test_shards_and_children(api: Api) -> None:
    for name, shard in (("a", "s1"), ("b", "s1"), ("c", "s2"), ("d", None)):
        await api.node(name=name, shard=shard)
    counts = (await api.get("/v1/shards"))["shards"]
    assert counts[0] == {"name": "s1", "count": 2}
    assert sorted(each["name"] for each in counts[1:]) == ["None", "s2"]
    assert (await api.call("GET", "/v1/shards", version="1.81")).status == 404
    assert (await api.call("GET", "/v1/shards/s1")).status == 404

    async def names(query: str) -> str:
        return "".join(each["name"] for each in (await api.get(f"/v1/nodes?fields=name&{query}"))["nodes"])

    assert await names("shard=s1,s2") == "abc"
    assert (await names("sharded=true"), await names("sharded=false")) == ("abc", "d")
    parent = (await api.get("/v1/nodes/a"))["uuid"]
    child = await api.node(name="k", parent_node="a")
    assert (await api.get("/v1/nodes/a/children"))["children"] == [child["uuid"]]
    assert await names("include_children=true") == "abcdk"
    assert (await names(f"parent_node={parent}"), await names("parent_node=a")) == ("k", "")
    assert await names(f"include_children=true&parent_node={parent}") == "abcdk"
    for name, wanted in (("b", "nope"), ("b", ids.new()), ("a", "a"), ("a", "k")):
        operation = {"op": "add", "path": "/parent_node", "value": wanted}
        assert (await api.call("PATCH", f"/v1/nodes/{name}", [operation])).status == 400, (name, wanted)
    await api.node(name="o", owner="p1")
    body = {"driver": "fake-hardware", "parent_node": "o"}
    assert (await api.call("POST", "/v1/nodes", body)).status == 400
    assert (await api.call("POST", "/v1/nodes", {**body, "owner": "p1"})).status == 201


@pytest.mark.usefixtures("placing")
async def test_an_absurd_wish_is_answered_and_stops_nobody(api: Api) -> None:
    await free(api, "n1", "CUSTOM_A")
    assert (await ask(api, candidate_nodes=["n1"] * 10_001)).status == 400
    assert (await ask(api, candidate_nodes=["n1"] * 10_000, resource_class="lead")).status == 201
    assert (await ask(api, traits=[f"CUSTOM_{number}" for number in range(40_000)])).status == 201
    found = await settled(api, traits=["CUSTOM_A"] * 200, candidate_nodes=["n1"] * 3)
    assert found["state"] == "active", found["last_error"]
    states = [each["state"] for each in (await api.get(PATH))["allocations"]]
    assert states == ["error", "error", "active"]
