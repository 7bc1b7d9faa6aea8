"""Shards, events, inspection rules; what proxies, browsers and huge or deep bodies bring."""

from __future__ import annotations

from typing import Any

from upstream.call import Call, add, delete, flat, get, gets, patches, post, posts, put, remove, swap, uuid

_N, _R = uuid(1, 1), uuid(12, 1)
_RULE = f"/v1/inspection_rules/{_R}"
_ACTION: dict[str, Any] = {"op": "set-attribute", "args": {"path": "/extra/a", "value": "b"}}
_CONDITION: dict[str, Any] = {"op": "eq", "args": {"values": [1, 1]}}
_EVENT: dict[str, Any] = {
    "event": "network.bind_port",
    "port_id": uuid(7, 1),
    "mac_address": "52:54:00:00:00:01",
    "status": "ACTIVE",
}


def _nested(levels: int) -> bytes:
    return b'{"driver":' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"


CALLS: list[Call] = flat(
    [
        post("/v1/nodes", {"uuid": uuid(1, number), "driver": "fake-hardware", **more})
        for number, more in enumerate(({"shard": "a"}, {"shard": "a"}, {"shard": "b"}, {}), 1)
    ],
    get("/v1/shards").around(82),
    gets("/v1/shards", "/", "/a", "?x=1"),
    [post("/v1/shards", {}), delete("/v1/shards/a")],
    post("/v1/events", {"events": [_EVENT]}).around(54),
    posts("/v1/events", {}, {"events": []}, [], {"events": [{}]}, {"events": [{**_EVENT, "event": "none"}]}, {"x": 1}),
    posts("/v1/events", {"events": [{**_EVENT, "mac_address": "x"}]}, {"events": [{**_EVENT, "port_id": "x"}]}),
    posts("/v1/events", {"events": [{**_EVENT, "nothing": "x"}]}, {"events": [_EVENT], "x": 1}),
    get("/v1/events"),
    # inspection rules
    get("/v1/inspection_rules").around(96),
    post("/v1/inspection_rules", {"uuid": _R, "actions": [_ACTION], "conditions": [_CONDITION], "description": "one"}),
    post("/v1/inspection_rules", {"uuid": _R, "actions": [_ACTION], "conditions": [_CONDITION]}),
    post("/v1/inspection_rules", {"uuid": uuid(12, 2), "actions": [_ACTION], "conditions": []}).at(95, 96),
    [
        post("/v1/inspection_rules", {"uuid": uuid(12, 10 + at), "actions": [_ACTION], "conditions": [], **more})
        for at, more in enumerate(
            (
                {"priority": 5},
                {"priority": -1},
                {"priority": 10000},
                {"priority": "x"},
                {"sensitive": True},
                {"sensitive": "maybe"},
                {"phase": "main"},
                {"phase": "none"},
                {"actions": []},
                {"actions": [{"op": "none"}]},
                {"actions": "x"},
                {"conditions": [{"op": "none", "args": {}}]},
                {"conditions": "x"},
                {"description": "x" * 256},
                {"nothing": 1},
            )
        )
    ],
    gets(
        "/v1/inspection_rules",
        "",
        "?detail=true",
        "?limit=1",
        "?limit=x",
        "?sort_key=priority",
        "?sort_key=none",
        "?x=1",
    ),
    gets(
        "/v1/inspection_rules", "?fields=uuid", "?fields=nothing", f"?marker={uuid(12, 99)}", "?detail=true&fields=uuid"
    ),
    gets(_RULE, "", "?fields=uuid,actions", "?fields=nothing", "?x=1", "/nothing"),
    gets("/v1/inspection_rules/", "none", uuid(12, 99), uuid(12, 14)),
    patches(_RULE, swap("/description", "new"), swap("/priority", 7), swap("/priority", -1), add("/nothing", 1)),
    patches(_RULE, remove("/description"), swap("/uuid", uuid(12, 3)), swap("/actions", []), swap("/sensitive", True)),
    [Call("PATCH", _RULE, {}), put(_RULE, {}), delete(_RULE, version="1.95"), delete(_RULE), delete(_RULE)],
    # proxies and browsers, with nothing set for them
    get(f"/v1/nodes/{_N}", headers={"X-Forwarded-Proto": "https", "X-Forwarded-Host": "other.example"}),
    get(f"/v1/nodes/{_N}", headers={"Forwarded": "proto=https;host=other.example", "X-Forwarded-Prefix": "/baremetal"}),
    get(f"/v1/nodes/{_N}", headers={"Origin": "https://dashboard.example"}),
    Call("OPTIONS", "/v1/nodes", headers={"Origin": "https://other.example", "Access-Control-Request-Method": "GET"}),
    # bodies
    [post("/v1/nodes", _nested(levels)) for levels in (2, 25, 26, 200)],
    [put(f"/v1/nodes/{_N}/states/provision", _nested(levels)) for levels in (25, 26)],
    post("/v1/nodes", {"driver": "x" * 1_048_576}),
    put(f"/v1/nodes/{_N}/states/provision", {"target": "none", "configdrive": "x" * 1_100_000}),
)
