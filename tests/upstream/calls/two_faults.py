"""What is told first where two things are wrong, and filters beside a path that is a filter itself."""

from __future__ import annotations

import itertools
from typing import Any

from upstream.call import Call, add, flat, get, gets, patch, patches, post, posts, put, swap, uuid

_N, _M, _P, _Q, _G = uuid(1, 1), uuid(1, 2), uuid(3, 1), uuid(3, 2), uuid(4, 1)
_MAC, _OTHER = "52:54:00:00:00:01", "52:54:00:00:00:02"
_FILTERS = (
    "node=one",
    f"node_uuid={_N}",
    f"portgroup={_G}",
    "portgroup=bond0",
    "portgroup=none",
    "shard=left",
    "shard=none",
    "shard=",
    f"address={_MAC}",
    "address=none",
    "conductor_groups=a",
    "description_contains=ar",
    "limit=1",
    "limit=0",
    "sort_dir=up",
    "fields=uuid",
    "x=1",
)
_BELOW = (*_FILTERS, f"address={_OTHER}", "detail=true", "node=none", "node=a b")
_SCHEMA: tuple[dict[str, Any], ...] = ({"uuid": "none"}, {"extra": []}, {"nothing": 1}, {"name": 1})


def _twice(path: str, base: dict[str, Any], newer: dict[str, tuple[int, Any]]) -> list[Call]:
    """Each field one microversion too early, together with each fault of form."""
    return [
        post(path, {**base, name: value, **fault}, version=f"1.{first - 1}")
        for name, (first, value) in newer.items()
        for fault in _SCHEMA
    ]


CALLS: list[Call] = flat(
    post("/v1/nodes", {"uuid": _N, "driver": "fake-hardware", "name": "one", "shard": "left"}),
    post("/v1/nodes", {"uuid": _M, "driver": "fake-hardware", "name": "two"}),
    post("/v1/portgroups", {"uuid": _G, "node_uuid": _N, "name": "bond0"}),
    post("/v1/ports", {"uuid": _P, "node_uuid": _N, "address": _MAC, "portgroup_uuid": _G, "description": "bare"}),
    post("/v1/ports", {"uuid": _Q, "node_uuid": _N, "address": _OTHER}),
    # the form of a body before its microversion
    _twice(
        "/v1/nodes", {"driver": "fake-hardware"}, {"resource_class": (21, "a"), "owner": (50, "p"), "shard": (82, "a")}
    ),
    _twice("/v1/nodes", {}, {"lessee": (65, "p")}),
    _twice(
        "/v1/ports",
        {"node_uuid": _N, "address": "52:54:00:00:00:03"},
        {"pxe_enabled": (19, True), "physical_network": (34, "net"), "name": (88, "eth0"), "vendor": (100, "acme")},
    ),
    _twice("/v1/ports", {"node_uuid": _N}, {"is_smartnic": (53, False)}),
    _twice("/v1/portgroups", {"node_uuid": _N}, {"mode": (26, "802.3ad"), "properties": (26, {"a": 1})}),
    _twice("/v1/portgroups", {}, {"mode": (26, "802.3ad")}),
    # filters that exclude one another
    [
        get(f"/v1/ports?{first}&{second}")
        for first, second in itertools.combinations(_FILTERS, 2)
        if first.partition("=")[0] != second.partition("=")[0]
    ],
    gets(f"/v1/nodes/{_N}/ports?", *_BELOW),
    gets(f"/v1/nodes/{_N}/ports/detail?", *_BELOW),
    gets(f"/v1/nodes/{_N}/portgroups?", *_BELOW),
    gets(f"/v1/nodes/{_N}/portgroups/detail?", *_BELOW),
    gets(f"/v1/portgroups/{_G}/ports?", *_BELOW),
    gets(f"/v1/portgroups/{_G}/ports/detail?", *_BELOW),
    get(f"/v1/nodes/{_N}/ports?description_contains=ar").around(97),
    get(f"/v1/nodes/{_N}/ports?shard=left").around(82),
    # drivers
    gets("/v1/drivers?type=classic&fields=", "bad", "name", "default_boot_interface", "default_none_interface"),
    gets("/v1/drivers?", "fields=bad&detail=true", "type=other&fields=bad", "type=other&detail=true"),
    [
        one
        for end in ("detail=true&fields=name", "type=other&fields=name")
        for one in get(f"/v1/drivers?{end}").at(29, 76)
    ],
    gets("/v1/drivers/none?fields=", "bad", "name"),
    get("/v1/drivers/none?fields=name").at(76),
    get("/v1/drivers?type=classic&fields=default_firmware_interface").around(86),
    # a parent that cannot be one, and a name, while the node is on its way and at rest
    patches(f"/v1/nodes/{_N}", swap("/parent_node", "none"), add("/parent_node", uuid(1, 99))),
    put(f"/v1/nodes/{_N}/states/provision", {"target": "manage"}, until=_N),
    patch(f"/v1/nodes/{_N}", swap("/inspect_interface", "agent")),
    put(f"/v1/nodes/{_N}/states/provision", {"target": "inspect"}, until=_N),
    patches(f"/v1/nodes/{_N}", swap("/parent_node", "none"), swap("/name", "a b"), swap("/driver", "none")),
    put(f"/v1/nodes/{_N}/states/provision", {"target": "abort"}, until=_N),
    posts("/v1/nodes", {"driver": "none", "uuid": "none"}, {"driver": "none", "nothing": 1}),
)
