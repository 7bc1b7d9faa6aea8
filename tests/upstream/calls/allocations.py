"""Allocations: asked for, refused, found, changed, given back; shards; parents and children."""

from __future__ import annotations

from typing import Any

from upstream.call import Call, add, delete, flat, get, gets, patch, patches, post, posts, put, remove, swap, uuid
from upstream.sides import ALLOCATIONS

_PATH = "/v1/allocations"
_FREE = uuid(1, 1)
_ONE = uuid(6, 1)


def _node(number: int, resource_class: str, *traits: str) -> list[Call]:
    """A node that is available, and whose power is known."""
    path = f"/v1/nodes/{uuid(1, number)}"
    return [
        post("/v1/nodes", {"driver": "fake-hardware", "uuid": uuid(1, number), "name": f"a{number}"}, version="1.10"),
        patch(path, add("/resource_class", resource_class)),
        put(f"{path}/traits", {"traits": list(traits)}),
        put(f"{path}/states/power", {"target": "power off"}, until=uuid(1, number)),
    ]


def _ask(number: int, **fields: Any) -> Call:
    """An allocation whose node is looked for before the next call."""
    return post(_PATH, {"uuid": uuid(6, number), "resource_class": "gold", **fields}, until=ALLOCATIONS)


_WRONG: tuple[dict[str, Any], ...] = (
    {},
    {"resource_class": None},
    {"resource_class": ""},
    {"resource_class": 3},
    {"resource_class": "x" * 81},
    {"resource_class": "gold", "bogus": 1},
    {"resource_class": "gold", "state": "active"},
    {"resource_class": "gold", "name": "a b"},
    {"resource_class": "gold", "name": 3},
    {"resource_class": "gold", "owner": 3},
    {"resource_class": "gold", "traits": ["x"]},
    {"resource_class": "gold", "traits": "CUSTOM_A"},
    {"resource_class": "gold", "candidate_nodes": "a1"},
    {"resource_class": "gold", "candidate_nodes": ["nope"]},
    {"resource_class": "gold", "candidate_nodes": ["a 1"]},
    {"resource_class": "gold", "candidate_nodes": [uuid(1, 99)]},
    {"resource_class": "gold", "extra": []},
    {"resource_class": "gold", "node": 3},
    {"node": "nope"},
    {"node": uuid(1, 99)},
)
_LISTS = (
    "?bogus=1",
    "?node=nope",
    "?node=a%201",
    "?fields=bogus",
    "?fields=uuid,name",
    "?fields=name&limit=1",
    "?limit=-1",
    "?limit=x",
    "?sort_key=extra",
    "?sort_key=traits",
    "?sort_key=node_uuid",
    "?sort_key=bogus",
    "?sort_key=state&sort_dir=up",
    "?sort_key=name&sort_dir=desc",
    "?sort_key=resource_class&fields=name",
    "?marker=zz",
    f"?marker={uuid(6, 99)}",
    "?state=bogus",
    "?detail=true",
    "/detail",
)
_FOUND = (
    "",
    "?state=active",
    "?state=error&fields=name,last_error,state",
    "?owner=them",
    "?node=a1",
    f"?node={_FREE}&fields=uuid",
    "?resource_class=lead",
    f"?marker={_ONE}&fields=name&limit=2",
)


CALLS: list[Call] = flat(
    _node(1, "gold", "CUSTOM_A"),
    _node(2, "silver", "CUSTOM_B", "HW_CPU_X86_VMX"),
    _node(3, "bronze"),
    get(_PATH).around(52, 60),
    post(_PATH, {"resource_class": "g"}).at(51),
    delete(f"{_PATH}/none").around(52),
    patch(f"{_PATH}/none").around(57),
    get(f"{_PATH}/none").around(52),
    gets(_PATH, *_LISTS),
    get(f"{_PATH}?owner=x").around(60),
    get(f"{_PATH}?fields=owner").around(60),
    posts(_PATH, *_WRONG),
    post(_PATH, {"resource_class": "g", "node": "a1"}).at(57),
    post(_PATH, {"resource_class": "g", "owner": "them"}).at(59),
    post(_PATH, b"{bad", crash=400),
    [Call(method, _PATH) for method in ("PUT", "HEAD")],
    [Call(method, _PATH, crash=405) for method in ("DELETE", "PATCH")],
    get("/v1/nodes/a1/allocation").around(52),
    delete("/v1/nodes/a1/allocation").around(52),
    gets("/v1/nodes/", "none/allocation", "a1/allocation?fields=uuid", "a1/allocation?bogus=1"),
    [Call(method, "/v1/nodes/a1/allocation", {}) for method in ("POST", "PUT", "PATCH")],
    delete("/v1/nodes/none/allocation"),
    delete("/v1/nodes/a1/allocation?bogus=1", crash=400),
    # found
    _ask(1, name="one", traits=["CUSTOM_A"], extra={"k": [1, {"l": None}]}),
    get(f"{_PATH}/one").around(52, 60),
    gets(f"{_PATH}/", _ONE, "one?fields=uuid,owner", "one?fields=bogus", "one?bogus=1", "ONE", "a%20b"),
    get(f"{_PATH}/one.json").around(91),
    gets("/v1/nodes/a1/allocation", "", "?fields=uuid,name", "?fields=bogus", "?limit=1"),
    get("/v1/nodes/a1/allocation?fields=owner").around(60),
    get("/v1/nodes/a1"),
    get(f"/v1/nodes?instance_uuid={_ONE}&fields=name"),
    post(_PATH, {"resource_class": "gold", "name": "one"}),
    post(_PATH, {"resource_class": "gold", "uuid": _ONE}),
    # not found
    _ask(2, name="two"),
    _ask(3, candidate_nodes=["a1", _FREE]),
    _ask(4, resource_class="silver", traits=["CUSTOM_Z"]),
    _ask(5, resource_class="silver", owner="them"),
    _ask(6, resource_class="lead", extra=None, traits=None, candidate_nodes=None, owner=None),
    _ask(7, resource_class="silver", candidate_nodes=["a2"], name=""),
    [get(f"{_PATH}/{uuid(6, number)}") for number in range(2, 8)],
    gets(_PATH, *_FOUND),
    # changed
    patches(
        f"{_PATH}/two",
        add("/extra/a", 1),
        add("/extra/b", {"c": "d"}),
        add("/extra/l", [1]),
        remove("/extra/a"),
        remove("/extra/none"),
        swap("/extra", {"z": "y"}),
        swap("/extra", 4),
        swap("/extra", None),
        remove("/extra"),
        swap("/name", "a b"),
        swap("/name", "one"),
        swap("/name", 4),
        swap("/state", "active"),
        add("/owner", "them"),
        add("/bogus", 1),
        {"op": "test", "path": "/name", "value": "two"},
        {"op": "add", "path": "/extra/x", "value": 1, "more": 2},
        swap("/name", "deux"),
    ),
    patch(f"{_PATH}/deux"),
    patch(f"{_PATH}/deux", swap("/name", "zwei"), add("/extra/n", 1)),
    patch(f"{_PATH}/zwei", remove("/name")),
    Call("PATCH", f"{_PATH}/{uuid(6, 2)}", {}),
    # what a node's allocation forbids
    patches("/v1/nodes/a1", swap("/instance_uuid", uuid(7, 1)), add("/allocation_uuid", uuid(7, 1))),
    delete("/v1/nodes/a1"),
    patch("/v1/nodes/a1", remove("/instance_uuid")),
    get(f"{_PATH}/one"),
    gets("/v1/nodes/a1?fields=", "allocation_uuid,instance_uuid,instance_info"),
    delete(f"{_PATH}/{uuid(6, 7)}"),
    delete(f"{_PATH}/{uuid(6, 7)}"),
    get("/v1/nodes/a2?fields=allocation_uuid,instance_uuid,instance_info"),
    # deployed and recorded
    _ask(8, resource_class="bronze", name="eight"),
    put("/v1/nodes/a3/states/provision", {"target": "active"}, until=uuid(1, 3)),
    delete(f"{_PATH}/eight"),
    delete("/v1/nodes/a3/allocation"),
    patch("/v1/nodes/a3", remove("/instance_uuid")),
    put("/v1/nodes/a3/maintenance", {}),
    delete(f"{_PATH}/eight"),
    delete("/v1/nodes/a3/maintenance"),
    post(_PATH, {"node": "a2", "uuid": uuid(6, 10)}, crash=409),
    get(f"{_PATH}/{uuid(6, 10)}"),
    post(_PATH, {"node": "a3", "uuid": uuid(6, 11), "resource_class": "gold"}, crash=409),
    post(_PATH, {"node": "a3", "uuid": uuid(6, 12), "candidate_nodes": ["a1"]}, crash=409),
    post(_PATH, {"node": "a3", "uuid": uuid(6, 13), "candidate_nodes": ["a3"], "name": "back"}),
    get("/v1/nodes/a3?fields=allocation_uuid,instance_uuid,instance_info"),
    post(_PATH, {"node": "a3"}),
    post(_PATH, {"node": "a3", "uuid": uuid(6, 14)}),
    get(f"{_PATH}/{uuid(6, 14)}"),
    put("/v1/nodes/a3/states/provision", {"target": "deleted"}, until=uuid(1, 3)),
    get(f"{_PATH}/back"),
    # shards, children
    get("/v1/shards").around(82),
    post("/v1/shards", {}),
    [patch(f"/v1/nodes/a{number}", add("/shard", shard)) for number, shard in ((1, "s1"), (2, "s1"), (3, "s2"))],
    get("/v1/shards"),
    gets("/v1/nodes?fields=name&", "shard=s1", "shard=s1,s2", "shard=s1&shard=s2", "shard=", "sharded=no", "sharded=x"),
    get("/v1/nodes?shard=s1").around(82),
    get("/v1/nodes?sharded=true").around(82),
    patch("/v1/nodes/a2", add("/parent_node", "a1")),
    patch("/v1/nodes/a3", add("/parent_node", _FREE)),
    patches("/v1/nodes/a1", add("/parent_node", "none"), add("/parent_node", uuid(1, 99))),
    gets("/v1/nodes/", "a1/children", "none/children", "a3/children"),
    get("/v1/nodes/a1/children", version="1.82", crash=404),
    gets("/v1/nodes?fields=name&", "include_children=true", "include_children=false", "include_children=x"),
    gets("/v1/nodes?fields=name&", f"parent_node={_FREE}", "parent_node=a1", "shard=s1"),
    get(f"/v1/nodes?fields=name&include_children=true&parent_node={_FREE}"),
    get("/v1/nodes?include_children=true").around(83),
    get("/v1/nodes/a2?fields=parent_node").around(83),
    _ask(20, resource_class="silver"),
    get(f"{_PATH}/{uuid(6, 20)}"),
)
