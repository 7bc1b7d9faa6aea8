"""What the ramdisk's agent calls: lookup, heartbeat, continue_inspection, at nodes that expect nobody."""

from __future__ import annotations

from upstream.call import Call, delete, flat, get, gets, patch, post, posts, swap, uuid

_N = uuid(1, 1)
_MAC = "52:54:00:00:00:01"
_INVENTORY = {"inventory": {"interfaces": [{"mac_address": _MAC, "name": "eth0"}]}}

CALLS: list[Call] = flat(
    post("/v1/nodes", {"uuid": _N, "driver": "fake-hardware", "name": "agent"}),
    post("/v1/ports", {"uuid": uuid(3, 1), "node_uuid": _N, "address": _MAC}),
    get("/v1/lookup").around(22),
    get(f"/v1/lookup?addresses={_MAC}").around(22),
    gets(
        "/v1/lookup?", f"node_uuid={_N}", "node_uuid=none", f"node_uuid={uuid(1, 99)}", "addresses=", "addresses=none"
    ),
    gets("/v1/lookup?", f"addresses={_MAC},52:54:00:00:00:02", f"addresses={_MAC}&node_uuid={_N}", "x=1", "node=agent"),
    gets("/v1/lookup/", "", "x"),
    post(f"/v1/heartbeat/{_N}", {"callback_url": "http://10.0.0.1:9999"}).around(22, 36, 62),
    posts(f"/v1/heartbeat/{_N}", {}, {"callback_url": 1}, {"callback_url": "x"}, {"callback_url": "http://a", "x": 1}),
    post(f"/v1/heartbeat/{_N}", {"callback_url": "http://a", "agent_version": "9"}).around(36),
    post(f"/v1/heartbeat/{_N}", {"callback_url": "http://a", "agent_token": "x"}).around(62),
    post(f"/v1/heartbeat/{_N}", {"callback_url": "http://a", "agent_token": "x", "agent_verify_ca": "x"}).around(68),
    post(f"/v1/heartbeat/{_N}", {"callback_url": "http://a", "agent_token": "x", "agent_status": "start"}).around(72),
    post(f"/v1/heartbeat/{_N}", {"callback_url": "http://a", "agent_token": "x", "agent_status_message": "m"}).around(
        72
    ),
    [
        post(f"/v1/heartbeat/{ident}", {"callback_url": "http://a", "agent_token": "x"})
        for ident in ("agent", "none", uuid(1, 99), "a b")
    ],
    post("/v1/heartbeat", {"callback_url": "http://a", "agent_token": "x"}),
    [get(f"/v1/heartbeat/{_N}"), get("/v1/heartbeat"), delete(f"/v1/heartbeat/{_N}")],
    post("/v1/continue_inspection", _INVENTORY).at(None, 1, 2, 83, 84, 115),
    posts("/v1/continue_inspection", {}, [], {"inventory": {}}, {"inventory": {"interfaces": []}}, {"inventory": 1}),
    posts("/v1/continue_inspection", {"inventory": {"interfaces": [{"mac_address": "52:54:00:00:00:99"}]}}),
    [post(f"/v1/continue_inspection?node_uuid={one}", _INVENTORY) for one in (_N, uuid(1, 99), "none", "")],
    get("/v1/continue_inspection"),
    patch(f"/v1/nodes/{_N}", swap("/inspect_interface", "agent")),
    post("/v1/continue_inspection", _INVENTORY).at(None, 115),
)
