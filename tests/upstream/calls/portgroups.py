"""Port groups, their ports, and those of a node."""

from __future__ import annotations

from typing import Any

from upstream.call import Call, add, delete, flat, get, gets, patch, patches, post, posts, put, remove, swap, uuid

_N, _G, _H = uuid(1, 1), uuid(4, 1), uuid(4, 2)
_PATH = f"/v1/portgroups/{_G}"
_SINCE: tuple[tuple[str, int, Any], ...] = (
    ("address", 23, "52:54:00:00:0b:01"),
    ("extra", 23, {"a": 1}),
    ("name", 23, "bond1"),
    ("standalone_ports_supported", 23, False),
    ("mode", 26, "802.3ad"),
    ("properties", 26, {"miimon": 100}),
    ("physical_network", 102, "net"),
    ("category", 103, "fast"),
)
_BAD: tuple[dict[str, Any], ...] = (
    {"address": "none"},
    {"address": None},
    {"address": "52-54-00-00-0a-09"},
    {"address": "52:54:00:00:0a:01"},
    {"name": "bond0"},
    {"name": "a b"},
    {"name": 1},
    {"uuid": "none"},
    {"node_uuid": "none"},
    {"node_uuid": uuid(1, 99)},
    {"extra": []},
    {"mode": 1},
    {"mode": "any"},
    {"properties": []},
    {"standalone_ports_supported": "maybe"},
    {"internal_info": {}},
    {"links": []},
    {"nothing": 1},
    {"category": "x" * 81},
    {"physical_network": ""},
)
_READ_ONLY = ("uuid", "created_at", "links", "internal_info", "ports", "nothing", "dynamic_portgroup")


def _made(number: int, version: str = "1.115", **fields: Any) -> Call:
    return post("/v1/portgroups", {"uuid": uuid(4, number), "node_uuid": _N, **fields}, version=version)


CALLS: list[Call] = flat(
    post("/v1/nodes", {"uuid": _N, "driver": "fake-hardware", "name": "one"}),
    _made(1, name="bond0", address="52:54:00:00:0a:01"),
    _made(2),
    _made(1),
    get("/v1/portgroups").around(23),
    get(_PATH).around(23, 24, 26, 102, 103, 111),
    [
        one
        for at, (name, first, value) in enumerate(_SINCE)
        for one in (
            _made(50 + 2 * at, f"1.{first - 1}", **{name: value}),
            _made(51 + 2 * at, f"1.{first}", **{name: value}),
        )
    ],
    [_made(100 + at, **fields) for at, fields in enumerate(_BAD)],
    [delete(f"/v1/portgroups/{uuid(4, number)}") for number in (*range(50, 66), *range(100, 120))],
    posts("/v1/portgroups", {}, [], {"node_uuid": _N, "uuid": None}),
    gets("/v1/portgroups/", "bond0", "none", uuid(4, 99), "a b", "bond0/nothing"),
    gets(f"{_PATH}?", "fields=uuid", "fields=mode,name", "fields=nothing", "fields=links", "fields=ports", "x=1"),
    gets(
        "/v1/portgroups", "/detail", "?detail=true", "?detail=true&fields=uuid", "?fields=uuid,mode", "?fields=nothing"
    ),
    gets("/v1/portgroups?", f"node={_N}", "node=one", "node=none", "address=52:54:00:00:0a:01", "address=none", "x=1"),
    gets("/v1/portgroups?", "address=52-54-00-00-0a-01", "shard=", "conductor_groups=", "shard=none"),
    gets("/v1/portgroups?", "sort_key=name", "sort_key=extra", "sort_key=nothing", "sort_key=mode", "sort_dir=up"),
    gets("/v1/portgroups?", "limit=x", "limit=0", f"marker={uuid(4, 99)}", f"marker={_G}&fields=uuid", "marker=bond0"),
    gets(f"/v1/nodes/{_N}/portgroups", "?fields=uuid", "/detail?fields=uuid", "?x=1", "/nothing"),
    gets(f"{_PATH}/ports", "", "/detail", "?fields=uuid", "?x=1"),
    get(f"{_PATH}/ports").around(24),
    get("/v1/portgroups/bond0/ports"),
    post("/v1/ports", {"uuid": uuid(3, 1), "node_uuid": _N, "address": "52:54:00:00:00:01", "portgroup_uuid": _G}),
    post(
        "/v1/ports",
        {"uuid": uuid(3, 2), "node_uuid": _N, "address": "52:54:00:00:00:02", "portgroup_uuid": uuid(4, 99)},
    ),
    gets(f"{_PATH}/ports", "", "/detail"),
    patches(f"/v1/ports/{uuid(3, 1)}", swap("/physical_network", "a"), swap("/physical_network", None)),
    patch(f"/v1/ports/{uuid(3, 1)}", remove("/physical_network")).around(102),
    gets("/v1/ports?", f"portgroup={_G}", "portgroup=bond0", "portgroup=none"),
    [
        one
        for name, first, value in _SINCE
        for one in (
            *patch(_PATH, swap(f"/{name}", value)).at(first - 1, first),
            patch(_PATH, add(f"/{name}", value)),
        )
    ],
    patches(_PATH, *(swap(f"/{name}", "x") for name in _READ_ONLY)),
    patches(_PATH, swap("/name", None), remove("/name"), swap("/mode", 1), remove("/extra"), swap("/address", "none")),
    patches(
        _PATH, swap("/properties/miimon", 5), add("/properties/x", 1), remove("/properties/x"), remove("/properties/x")
    ),
    patches(_PATH, swap("/node_uuid", uuid(1, 99)), swap("/standalone_ports_supported", "maybe"), remove("/category")),
    [put(_PATH, {}), Call("PATCH", _PATH, {}), patch("/v1/portgroups/none", add("/extra/a", 1)), delete(_PATH)],
    [
        delete(f"/v1/ports/{uuid(3, 1)}"),
        delete(f"{_PATH}?x=1"),
        delete(_PATH),
        delete(_PATH),
        delete("/v1/portgroups/none"),
    ],
    delete(f"/v1/portgroups/{_H}", version="1.22"),
)
