"""Volume connectors and targets: create, show, list, patch, delete; and network events."""

from __future__ import annotations

from typing import Any

from upstream.call import Call, add, delete, flat, get, gets, patch, patches, post, posts, put, remove, swap, uuid

_N, _M, _C, _T = uuid(1, 911), uuid(1, 912), uuid(5, 1), uuid(6, 1)
_CONNECTOR = {"node_uuid": _N, "type": "iqn", "connector_id": "iqn.a"}
_TARGET = {"node_uuid": _N, "volume_type": "iscsi", "volume_id": "v", "boot_index": 0}
_BAD_BOTH: tuple[dict[str, Any], ...] = (
    {"node_uuid": "none"},
    {"node_uuid": uuid(1, 99)},
    {"node_uuid": None},
    {"uuid": "none"},
    {"extra": []},
    {"extra": None},
    {"nothing": 1},
)
_BAD_CONNECTOR: tuple[dict[str, Any], ...] = (
    *_BAD_BOTH,
    {"uuid": _C},
    {"type": None},
    {"type": 1},
    {"type": "bogus"},
    {"connector_id": None},
    {"connector_id": "iqn.a"},
)
_BAD_TARGET: tuple[dict[str, Any], ...] = (
    *_BAD_BOTH,
    {"uuid": _T},
    {"volume_type": "bogus"},
    {"volume_type": None},
    {"volume_id": 1},
    {"boot_index": "2"},
    {"boot_index": None},
    {"boot_index": 0},
    {"boot_index": -1},
    {"properties": []},
    {"properties": None},
    {"properties": {"auth_password": "secret", "deep": {"auth_token": "t"}, "lun": 1}},
)
_EVENT: dict[str, Any] = {
    "event": "network.bind_port",
    "port_id": _N,
    "mac_address": "52:54:00:00:00:01",
    "status": "x",
}


def _lists(word: str, item: str) -> list[Call]:
    path = f"/v1/volume/{word}"
    return flat(
        gets(path, "", "?detail=true", "?detail=true&limit=1", "?fields=uuid", "?fields=nothing", "?fields=links"),
        gets(path, "?fields=uuid&detail=true", f"?node={_N}", "?node=stored", "?node=none", "?x=1", "?detail=maybe"),
        gets(path, "?limit=1", "?limit=0", f"?marker={item}", f"?marker={uuid(5, 99)}", "?marker=none"),
        gets(path, *(f"?sort_key={name}" for name in ("uuid", "extra", "nothing", "created_at"))),
        get(path).around(32),
        get(f"{path}/{item}").around(32),
        gets(f"{path}/", "none", uuid(5, 99), f"{item}?fields=uuid", f"{item}?fields=nothing", f"{item}?x=1"),
        gets(f"/v1/nodes/{_N}/volume/{word}", "", "?detail=true", "?fields=uuid", f"/{item}"),
        get(f"/v1/nodes/{_N}/volume/{word}").around(32),
        [
            post(f"/v1/nodes/{_N}/volume/{word}", {**_CONNECTOR, **_TARGET}),
            delete(f"/v1/nodes/{_N}/volume/{word}/{item}"),
        ],
        put(f"{path}/{item}", {}),
    )


def _connector(number: int, **fields: Any) -> Call:
    return post(
        "/v1/volume/connectors", {**_CONNECTOR, "uuid": uuid(5, number), "connector_id": f"c{number}", **fields}
    )


def _target(number: int, **fields: Any) -> Call:
    return post("/v1/volume/targets", {**_TARGET, "uuid": uuid(6, number), "boot_index": number, **fields})


CALLS: list[Call] = flat(
    post("/v1/nodes", {"uuid": _N, "driver": "fake-hardware", "name": "stored"}),
    post("/v1/nodes", {"uuid": _M, "driver": "fake-hardware", "name": "elsewhere"}),
    get("/v1/volume").around(32),
    get(f"/v1/nodes/{_N}/volume"),
    get(f"/v1/nodes/{_N}/volume?x=1", crash=400),
    get("/v1/nodes/stored/volume"),
    post("/v1/volume/connectors", {**_CONNECTOR, "uuid": _C, "extra": {"a": 1}}),
    post("/v1/volume/targets", {**_TARGET, "uuid": _T, "properties": {"auth_password": "s", "target_iqn": "t"}}),
    post("/v1/volume/connectors", _CONNECTOR).at("1.31"),
    [_connector(100 + at, **fields) for at, fields in enumerate(_BAD_CONNECTOR)],
    [_target(100 + at, **fields) for at, fields in enumerate(_BAD_TARGET)],
    posts("/v1/volume/connectors", {}, []),
    posts("/v1/volume/targets", {}, []),
    [delete(f"/v1/volume/connectors/{uuid(5, 100 + at)}") for at in range(len(_BAD_CONNECTOR))],
    [delete(f"/v1/volume/targets/{uuid(6, 100 + at)}") for at in range(len(_BAD_TARGET))],
    _lists("connectors", _C),
    _lists("targets", _T),
    patch(f"/v1/volume/connectors/{_C}", add("/extra/b", 1)),
    patch(f"/v1/volume/targets/{_T}", add("/extra/b", 1)),
    put(f"/v1/nodes/{_N}/states/power", {"target": "power off"}, until=_N),
    patches(f"/v1/volume/connectors/{_C}", add("/extra/b", 1), swap("/type", "ip"), swap("/connector_id", "c")),
    patches(f"/v1/volume/connectors/{_C}", remove("/connector_id"), swap("/uuid", _M), swap("/node_uuid", "none")),
    patches(f"/v1/volume/connectors/{_C}", swap("/node_uuid", uuid(1, 99)), swap("/node_uuid", _M), remove("/extra")),
    patches(f"/v1/volume/connectors/{_C}", add("/nothing", 1), swap("/created_at", "x"), swap("/type", None)),
    patches(f"/v1/volume/targets/{_T}", swap("/boot_index", 1), swap("/boot_index", "x"), swap("/volume_id", "w")),
    patches(f"/v1/volume/targets/{_T}", swap("/properties/auth_password", "n"), add("/properties/lun", 1)),
    patches(f"/v1/volume/targets/{_T}", remove("/properties"), swap("/properties", None), remove("/boot_index")),
    _target(2),
    patch(f"/v1/volume/targets/{_T}", swap("/boot_index", 2)),
    patch(f"/v1/volume/targets/{uuid(6, 99)}", add("/extra/a", 1)),
    put(f"/v1/nodes/{_N}/states/power", {"target": "power on"}, until=_N),
    patch(f"/v1/volume/targets/{_T}", swap("/boot_index", 3)),
    [delete(f"/v1/volume/targets/{one}") for one in (_T, uuid(6, 2), _T, "none")],
    [delete(f"/v1/volume/connectors/{one}") for one in (_C, _C, "none")],
    [
        post("/v1/events", {"events": [{**_EVENT, **fields}]})
        for fields in (
            {},
            {"event": "network.bogus"},
            {"port_id": "x"},
            {"mac_address": "zz"},
            {"status": None},
            {"device_id": None, "binding:host_id": None, "binding:vnic_type": None},
            {"device_id": "x"},
            {"nothing": 1},
        )
    ],
    posts("/v1/events", {}, {"events": []}, {"events": [], "x": 1}, []),
    post("/v1/events", {"events": [_EVENT]}).around(54),
    get("/v1/events"),
)
