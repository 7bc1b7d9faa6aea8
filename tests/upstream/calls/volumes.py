"""Volume connectors and targets."""

from __future__ import annotations

from typing import Any

from upstream.call import Call, add, delete, flat, get, gets, patch, patches, post, posts, put, remove, swap, uuid

_N = uuid(1, 1)
_CONNECTOR: dict[str, Any] = {"node_uuid": _N, "type": "iqn", "connector_id": "iqn.2026-11.example:1"}
_TARGET: dict[str, Any] = {"node_uuid": _N, "volume_type": "iscsi", "boot_index": 0, "volume_id": "vol-1"}


def _both(word: str, kind: int, body: dict[str, Any], other: dict[str, Any]) -> list[Call]:
    path, one = f"/v1/volume/{word}", f"/v1/volume/{word}/{uuid(kind, 1)}"
    required = list(body)
    bad: tuple[dict[str, Any], ...] = (
        {"node_uuid": "none"},
        {"node_uuid": uuid(1, 99)},
        {"extra": []},
        {"extra": {"a": 1}},
        {"uuid": "none"},
        {"nothing": 1},
        {"links": []},
    )
    return flat(
        post(path, {**body, "uuid": uuid(kind, 1)}),
        post(path, {**body, "uuid": uuid(kind, 2)}),
        post(path, {**body, **other, "uuid": uuid(kind, 2)}),
        get(path).around(32),
        post(path, {**body, **other, "uuid": uuid(kind, 9)}).at(31),
        [post(path, {key: body[key] for key in body if key != name}) for name in required],
        [post(path, {**body, **other, "uuid": uuid(kind, 20 + at), **fields}) for at, fields in enumerate(bad)],
        posts(path, {}, [], "x"),
        get(one).around(32),
        gets(f"{path}/", "none", uuid(kind, 99), "a b", f"{uuid(kind, 1)}/nothing"),
        gets(f"{one}?", "fields=uuid", "fields=node_uuid,extra", "fields=nothing", "fields=links", "x=1"),
        gets(
            path,
            "?detail=true",
            "?fields=uuid",
            "?detail=true&fields=uuid",
            "?fields=nothing",
            f"?node={_N}",
            "?node=none",
        ),
        gets(
            path,
            "?limit=1",
            "?limit=x",
            f"?marker={uuid(kind, 1)}",
            f"?marker={uuid(kind, 99)}",
            "?sort_key=uuid",
            "?x=1",
        ),
        gets(path, "?sort_key=extra", "?sort_key=nothing", "?sort_dir=up", "?limit=1&detail=true", "?node=volumes"),
        gets(f"/v1/nodes/{_N}/volume/{word}", "", "?detail=true", "?fields=uuid"),
        patches(one, swap("/extra", {"b": 1}), add("/extra/c", 1), remove("/extra/c"), remove("/extra/c")),
        patches(one, *(swap(f"/{name}", other[name]) for name in other)),
        patches(one, *(remove(f"/{name}") for name in required)),
        patches(one, *(swap(f"/{name}", "x") for name in ("uuid", "links", "created_at", "nothing", "node_uuid"))),
        patch(one, swap("/extra", {})).at(31),
        [Call("PATCH", one, {}), put(one, {}), patch(f"{path}/{uuid(kind, 99)}", add("/extra/a", 1))],
        get(one),
        [delete(f"{one}?x=1"), delete(one), delete(one), delete(f"{path}/none"), delete(f"{path}/{uuid(kind, 2)}")],
    )


CALLS: list[Call] = flat(
    post("/v1/nodes", {"uuid": _N, "driver": "fake-hardware", "name": "volumes"}),
    put(f"/v1/nodes/{_N}/states/power", {"target": "power off"}, until=_N),
    get("/v1/volume").around(32),
    get("/v1/volume?x=1"),
    get(f"/v1/nodes/{_N}/volume").around(32),
    gets("/v1/volume/", "nothing", ""),
    _both("connectors", 10, _CONNECTOR, {"connector_id": "iqn.2026-11.example:2"}),
    _both("targets", 11, _TARGET, {"boot_index": 1, "volume_id": "vol-2"}),
    post("/v1/volume/targets", {**_TARGET, "uuid": uuid(11, 60), "properties": {"auth_password": "x", "iqn": "y"}}),
    get(f"/v1/volume/targets/{uuid(11, 60)}"),
    posts(
        "/v1/volume/targets",
        {**_TARGET, "boot_index": -1},
        {**_TARGET, "boot_index": "x"},
        {**_TARGET, "volume_type": 1},
    ),
)
