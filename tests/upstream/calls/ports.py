"""Ports: create, show, list, patch, delete, and the ports of a node."""

from __future__ import annotations

from typing import Any

from upstream.call import Call, add, delete, flat, get, gets, patch, patches, post, posts, put, remove, swap, uuid

_N, _M, _P, _Q = uuid(1, 1), uuid(1, 2), uuid(3, 1), uuid(3, 2)
_PATH = f"/v1/ports/{_P}"
_LINK = {"switch_id": "0a:1b:2c:3d:4e:5f", "port_id": "eth1", "switch_info": "sw"}
_SINCE: tuple[tuple[str, int, Any], ...] = (
    ("extra", 1, {"a": 1}),
    ("local_link_connection", 19, _LINK),
    ("pxe_enabled", 19, False),
    ("physical_network", 34, "physnet"),
    ("is_smartnic", 53, False),
    ("name", 88, "eth0"),
    ("description", 97, "text"),
    ("vendor", 100, "acme"),
    ("category", 101, "fast"),
    ("available_for_dynamic_portgroup", 111, True),
)
_BAD: tuple[dict[str, Any], ...] = (
    {"address": "none"},
    {"address": None},
    {"address": 1},
    {"address": "AA-BB-CC-00-00-01"},
    {"node_uuid": "none"},
    {"node_uuid": uuid(1, 99)},
    {"node_uuid": None},
    {"uuid": "none"},
    {"uuid": _P},
    {"extra": []},
    {"extra": None},
    {"pxe_enabled": "maybe"},
    {"is_smartnic": "maybe"},
    {"is_smartnic": True},
    {"is_smartnic": True, "local_link_connection": {"port_id": "rep0", "hostname": "host"}},
    {"physical_network": "x" * 65},
    {"physical_network": ""},
    {"physical_network": 1},
    {"portgroup_uuid": "none"},
    {"portgroup_uuid": uuid(4, 99)},
    {"portgroup_uuid": None},
    {"name": "a b"},
    {"name": ""},
    {"name": "taken"},
    {"name": uuid(3, 77)},
    {"description": "x" * 256},
    {"vendor": "x" * 256},
    {"category": "x" * 81},
    {"local_link_connection": {}},
    {"local_link_connection": None},
    {"local_link_connection": "x"},
    {"local_link_connection": {"switch_id": "none", "port_id": "x"}},
    {"local_link_connection": {"switch_id": "0a:1b:2c:3d:4e:5f"}},
    {"local_link_connection": {"port_id": "x"}},
    {"local_link_connection": {**_LINK, "more": "x"}},
    {"local_link_connection": {**_LINK, "network_type": "unmanaged"}},
    {"local_link_connection": {"network_type": "unmanaged"}},
    {"local_link_connection": {"network_type": "managed"}},
    {"local_link_connection": {"port_id": "rep0", "hostname": "host"}},
    {"local_link_connection": {"switch_id": "of:0000000000000001", "port_id": "x"}},
    {"local_link_connection": {"switch_id": "0000000000000001", "port_id": "x"}},
    {"internal_info": {}},
    {"created_at": "x"},
    {"links": []},
    {"nothing": 1},
    {"node_ident": "one"},
)
_READ_ONLY = ("uuid", "created_at", "updated_at", "links", "internal_info", "id", "nothing")


def _made(number: int, version: str | None = "1.115", **fields: Any) -> Call:
    body = {"uuid": uuid(3, number), "node_uuid": _N, "address": f"52:54:00:00:{number // 256:02x}:{number % 256:02x}"}
    crash: int = fields.pop("crash", 0)
    return post("/v1/ports", {**body, **fields}, version=version, crash=crash)


CALLS: list[Call] = flat(
    post("/v1/nodes", {"uuid": _N, "driver": "fake-hardware", "name": "one", "shard": "left"}),
    post("/v1/nodes", {"uuid": _M, "driver": "fake-hardware", "name": "two"}),
    _made(1, name="taken", extra={"a": 1}),
    _made(1, uuid=uuid(3, 300)),
    _made(2, node_uuid=_M),
    get(_PATH).around(18, 19, 24, 34, 53, 88, 97, 100, 101, 111),
    get("/v1/ports/taken").around(88),
    gets("/v1/ports/", "none", uuid(3, 99), "52:54:00:00:00:01", "a b", _P.upper()),
    gets(
        f"{_PATH}?", "fields=uuid", "fields=uuid,address", "fields=nothing", "fields=links", "fields=node_uuid", "x=1"
    ),
    gets(f"{_PATH}?", "fields=", "fields=created_at", "fields=internal_info", "fields=portgroup_uuid"),
    [one for name, first, _ in _SINCE for one in get(f"{_PATH}?fields={name}").at(max(8, first - 1), max(8, first))],
    get(f"{_PATH}?fields=uuid").around(8),
    [
        one
        for at, (name, first, value) in enumerate(_SINCE)
        for one in (
            _made(100 + 2 * at, f"1.{max(1, first - 1)}", **{name: value}),
            _made(101 + 2 * at, f"1.{first}", **{name: f"{value}2" if name == "name" else value}),
        )
    ],
    [_made(200 + at, **fields) for at, fields in enumerate(_BAD)],
    _made(2, uuid=uuid(3, 299), address="52:54:00:00:02:99", pxe_enabled=None, crash=400),
    posts("/v1/ports", {}, [], {"address": "52:54:00:00:00:ff"}, {"node_uuid": _N}, {"node_ident": "one"}),
    [
        post("/v1/ports", {"uuid": uuid(3, 400 + at), "node_ident": ident, "address": f"52:54:00:01:00:{at:02x}"})
        for at, ident in enumerate(("one", _M, "none", uuid(1, 99), "", None))
    ],
    post("/v1/ports", {"node_ident": "one", "uuid": uuid(3, 410), "address": "52:54:00:01:01:01"}, version="1.93"),
    post(_PATH, {}),
    delete("/v1/ports"),
    [delete(f"/v1/ports/{uuid(3, number)}") for number in (100, 101, 200, *range(102, 120), *range(201, 260))],
    [delete(f"/v1/ports/{uuid(3, number)}") for number in (400, 401, 410)],
    gets("/v1/ports", "", "/detail", "/detail?limit=1", "?detail=true", "?detail=false", "?detail=true&fields=uuid"),
    get("/v1/ports").at(None, 1, 8),
    get("/v1/ports?detail=true").around(43),
    get("/v1/ports/detail").around(18, 19, 24, 34, 53, 88, 97, 100, 101, 111),
    gets(
        "/v1/ports?", f"node={_N}", "node=one", "node=none", f"node_uuid={_N}", "node_uuid=one", f"node={uuid(1, 99)}"
    ),
    get("/v1/ports?node=one").around(5, 6),
    gets("/v1/ports?", "address=52:54:00:00:00:01", "address=52:54:00:00:00:99", "address=none", "address="),
    gets("/v1/ports?", "address=52-54-00-00-00-01", "address=52:54:00:00:00:01&limit=1"),
    gets("/v1/ports?", f"portgroup={uuid(4, 99)}", "portgroup=none", f"portgroup={uuid(4, 99)}&node=one"),
    get("/v1/ports?shard=left").around(82),
    gets("/v1/ports?", "shard=left,right", "shard=none", "shard=left&node=one", "shard="),
    get("/v1/ports?description_contains=x").around(97),
    get("/v1/ports?conductor_groups=").around(99),
    gets("/v1/ports?", "conductor_groups=a,b", "conductor_groups=a&node=one", "x=1", "name=taken"),
    gets("/v1/ports?", "limit=1", "limit=0", "limit=-1", "limit=x", f"limit=1&marker={_P}", f"marker={uuid(3, 99)}"),
    gets("/v1/ports?", "limit=1&fields=address", "limit=1&node=one", "limit=1&detail=true", "marker=taken"),
    gets(
        "/v1/ports?", *(f"sort_key={name}" for name in ("uuid", "address", "extra", "nothing", "name", "internal_info"))
    ),
    gets("/v1/ports?", *(f"sort_key={name}" for name in ("created_at", "local_link_connection", "node_id", "links"))),
    get("/v1/ports?sort_key=node_uuid", crash=400),
    get("/v1/ports?sort_key=portgroup_uuid"),
    gets("/v1/ports?", "sort_key=address&sort_dir=desc", "sort_dir=up", "fields=uuid,nothing", "fields=node_uuid"),
    get("/v1/ports?sort_key=name").around(88),
    gets(
        f"/v1/nodes/{_N}/ports", "", "/detail", "?limit=1", "?fields=uuid", "?detail=true", "?x=1", "?sort_key=address"
    ),
    gets("/v1/nodes/", "one/ports", f"{uuid(1, 99)}/ports", f"{_N}/ports/nothing", f"{_N}/ports?limit=1&marker={_P}"),
    [post(f"/v1/nodes/{_N}/ports", {"address": "52:54:00:00:00:05"}), delete(f"/v1/nodes/{_N}/ports")],
    [
        one
        for name, first, value in _SINCE
        for one in (
            *patch(_PATH, swap(f"/{name}", value)).at(*([first - 1] if first > 1 else []), first),
            patch(_PATH, add(f"/{name}", value)),
            patch(_PATH, swap(f"/{name}", None), crash=400 if name == "pxe_enabled" else 0),
            patch(_PATH, swap(f"/{name}", value)),
            patch(_PATH, remove(f"/{name}"), crash=200 if name == "pxe_enabled" else 0),
            *([patch(_PATH, swap(f"/{name}", value))] if name in {"pxe_enabled", "is_smartnic"} else []),
        )
    ],
    get(_PATH),
    patches(_PATH, *(swap(f"/{name}", "x") for name in _READ_ONLY), *(remove(f"/{name}") for name in _READ_ONLY)),
    patches(_PATH, swap("/address", "52:54:00:00:0a:01"), swap("/address", "none"), remove("/address")),
    patches(
        _PATH, swap("/address", "52:54:00:00:00:02"), swap("/address", None), swap("/name", ""), swap("/name", "a b")
    ),
    patch(_PATH, swap("/name", "eth0")),
    patches(_PATH, swap("/extra/a", 1), add("/extra/a", 1), remove("/extra/a"), remove("/extra/a"), add("/none", 1)),
    patches(_PATH, swap("/portgroup_uuid", "none"), swap("/portgroup_uuid", uuid(4, 99)), remove("/portgroup_uuid")),
    patches(_PATH, swap("/local_link_connection", {"a": 1}), add("/local_link_connection/port_id", "x")),
    patches(_PATH, swap("/node_uuid", uuid(1, 99)), remove("/node_uuid"), swap("/pxe_enabled", "maybe")),
    patch("/v1/ports/eth0", add("/extra/a", 1)),
    patch(_PATH, swap("/name", "new")),
    patch("/v1/ports/new", add("/extra/a", 1)).at(87, 88),
    put(_PATH, {}),
    delete("/v1/ports/new"),
    delete(f"{_PATH}?x=1"),
    delete(_PATH),
    delete(_PATH),
    delete("/v1/ports/none"),
)
