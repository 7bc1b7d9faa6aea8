"""Port groups: create, show, list, patch, delete, their ports, and what they mean for ports."""

from __future__ import annotations

from typing import Any

from upstream.call import Call, add, delete, flat, get, gets, patch, patches, post, posts, put, remove, swap, uuid

_N, _M, _G, _H, _P = uuid(1, 901), uuid(1, 902), uuid(4, 1), uuid(4, 2), uuid(3, 901)
_PATH = f"/v1/portgroups/{_G}"
_SINCE: tuple[tuple[str, int, Any], ...] = (
    ("extra", 23, {"a": 1}),
    ("standalone_ports_supported", 23, False),
    ("mode", 26, "802.3ad"),
    ("properties", 26, {"miimon": 100}),
    ("physical_network", 102, "physnet"),
    ("category", 103, "fast"),
)
_BAD: tuple[dict[str, Any], ...] = (
    {"address": "none"},
    {"address": None},
    {"address": 1},
    {"node_uuid": "none"},
    {"node_uuid": uuid(1, 99)},
    {"node_uuid": None},
    {"uuid": "none"},
    {"uuid": _G},
    {"uuid": None},
    {"extra": []},
    {"extra": None},
    {"properties": "x"},
    {"mode": 1},
    {"mode": "bogus"},
    {"mode": None},
    {"standalone_ports_supported": "maybe"},
    {"standalone_ports_supported": "no"},
    {"physical_network": "x" * 65},
    {"category": "x" * 81},
    {"name": "a b"},
    {"name": ""},
    {"name": "bond0"},
    {"internal_info": {}},
    {"dynamic_portgroup": True},
    {"nothing": 1},
)
_READ_ONLY = ("uuid", "created_at", "links", "internal_info", "dynamic_portgroup", "ports", "nothing")


def _made(number: int, version: str | None = "1.115", **fields: Any) -> Call:
    return post("/v1/portgroups", {"uuid": uuid(4, number), "node_uuid": _N, **fields}, version=version)


def _port(number: int, **fields: Any) -> Call:
    body = {"uuid": uuid(3, 900 + number), "node_uuid": _N, "address": f"52:54:00:09:00:{number:02x}"}
    return post("/v1/ports", {**body, **fields})


CALLS: list[Call] = flat(
    post("/v1/nodes", {"uuid": _N, "driver": "fake-hardware", "name": "bonded", "shard": "bonds"}),
    post("/v1/nodes", {"uuid": _M, "driver": "fake-hardware", "name": "unbonded"}),
    _made(1, name="bond0", address="52:54:00:09:00:AA"),
    _made(2, node_uuid=_M),
    _made(3, address="52:54:00:09:00:aa"),
    get(_PATH).around(23, 26, 102, 103, 111),
    gets("/v1/portgroups/", "bond0", "none", uuid(4, 99), "a b", _G.upper()),
    gets(f"{_PATH}?", "fields=uuid", "fields=uuid,ports", "fields=nothing", "fields=", "x=1", "fields=created_at"),
    get(f"{_PATH}?fields=mode").around(26),
    get(f"{_PATH}?fields=dynamic_portgroup").around(111),
    [
        one
        for at, (name, first, value) in enumerate(_SINCE)
        for one in (
            _made(100 + 2 * at, f"1.{max(23, first - 1)}", **{name: value}),
            _made(101 + 2 * at, f"1.{first}", **{name: value}),
        )
    ],
    [_made(200 + at, **fields) for at, fields in enumerate(_BAD)],
    posts("/v1/portgroups", {}, []),
    _made(300, "1.22"),
    [delete(f"/v1/portgroups/{uuid(4, number)}") for number in (*range(100, 112), *range(200, 225), 300)],
    gets("/v1/portgroups", "", "/detail", "/detail?limit=1", "?detail=true", "?detail=true&fields=uuid"),
    get("/v1/portgroups").around(23),
    get("/v1/portgroups?detail=true").around(43),
    get("/v1/portgroups/detail").around(23, 26, 102),
    gets("/v1/portgroups?", f"node={_N}", "node=bonded", "node=none", f"node={uuid(1, 99)}", "node=bonded&shard=x"),
    gets("/v1/portgroups?", "address=52:54:00:09:00:aa", "address=52:54:00:09:00:99", "address=none"),
    get("/v1/portgroups?shard=bonds").around(106),
    gets("/v1/portgroups?", "shard=bonds,x", "conductor_groups=a", "x=1", "node_uuid=x", "portgroup=x"),
    gets("/v1/portgroups?", "limit=1", "limit=0", "limit=x", f"limit=1&marker={_G}", f"marker={uuid(4, 99)}"),
    gets("/v1/portgroups?", *(f"sort_key={name}" for name in ("uuid", "mode", "extra", "nothing", "properties"))),
    get("/v1/portgroups?sort_key=mode").at("1.25"),
    get("/v1/portgroups?sort_key=node_uuid", crash=200),
    gets("/v1/portgroups?", "sort_key=name&sort_dir=desc", "sort_dir=up", "fields=uuid,nothing", "fields=address"),
    gets(f"/v1/nodes/{_N}/portgroups", "", "/detail", "?fields=uuid", "?detail=true", "?x=1", f"/{_G}"),
    get(f"/v1/nodes/{uuid(1, 99)}/portgroups"),
    post(f"/v1/nodes/{_N}/portgroups", {"node_uuid": _N}),
    [patch(f"/v1/nodes/{_N}/portgroups/{_G}", add("/extra/a", 1)), delete(f"/v1/nodes/{_N}/portgroups/{_G}")],
    _port(1, portgroup_uuid=_G),
    _port(2, portgroup_uuid=_H),
    _port(3, portgroup_uuid=_G, physical_network="other"),
    gets(f"{_PATH}/ports", "", "/detail", "?fields=uuid", "?detail=true", "?x=1", f"/{_P}"),
    gets("/v1/portgroups/", f"{uuid(4, 99)}/ports", "none/ports"),
    gets("/v1/ports?", "portgroup=bond0", f"portgroup={_G}&node=bonded", "portgroup=none"),
    delete(_PATH),
    [
        one
        for name, first, value in _SINCE
        for one in (
            *patch(_PATH, swap(f"/{name}", value)).at(max(23, first - 1), first),
            patch(_PATH, add(f"/{name}", value)),
        )
    ],
    patches(_PATH, swap("/extra", None), remove("/extra"), swap("/properties", None), remove("/properties")),
    patches(_PATH, swap("/category", None), remove("/category"), remove("/mode")),
    patch(_PATH, remove("/physical_network"), crash=200),
    patch(_PATH, swap("/physical_network", "physnet")),
    get(f"/v1/ports/{_P}"),
    patches(_PATH, *(swap(f"/{name}", "x") for name in _READ_ONLY)),
    patches(_PATH, swap("/address", "52:54:00:09:00:ab"), swap("/address", "none"), remove("/address")),
    patches(_PATH, swap("/name", "a b"), swap("/standalone_ports_supported", "maybe"), swap("/mode", None)),
    patches(_PATH, swap("/node_uuid", _M), swap("/node_uuid", "none"), swap("/node_uuid", uuid(1, 99))),
    patch(_PATH, swap("/name", "bond9")),
    patch("/v1/portgroups/bond9", swap("/name", None)),
    patch(_PATH, add("/name", "bond0")),
    patch(_PATH),
    patch(f"/v1/ports/{_P}", swap("/physical_network", "new")),
    patches(f"/v1/ports/{_P}", swap("/portgroup_uuid", uuid(4, 99)), swap("/portgroup_uuid", None)),
    patches(f"/v1/ports/{_P}", add("/portgroup_uuid", _G), remove("/portgroup_uuid")),
    put(_PATH, {}),
    delete(f"{_PATH}?x=1", crash=400),
    delete(_PATH),
    delete(_PATH),
    delete(f"/v1/portgroups/{_H}"),
    delete("/v1/portgroups/none"),
)
