"""Chassis: all of it is 1.1."""

from __future__ import annotations

from upstream.call import Call, add, delete, flat, get, gets, patch, patches, post, posts, put, remove, swap, uuid

_C, _D, _N = uuid(2, 1), uuid(2, 2), uuid(1, 1)
_PATH = f"/v1/chassis/{_C}"

CALLS: list[Call] = flat(
    post("/v1/chassis", {"uuid": _C, "description": "first", "extra": {"a": 1}}),
    post("/v1/chassis", {"uuid": _D}, version=None),
    posts("/v1/chassis", {"uuid": _C}, {"uuid": "none"}, {"uuid": 1}, [], "x", {"description": "x" * 256}),
    posts("/v1/chassis", {"description": 1}, {"extra": []}, {"nothing": 1}, {"created_at": "x"}, {"links": []}),
    posts("/v1/chassis", {"uuid": uuid(2, 3), "extra": None, "description": None}, {"uuid": None, "extra": "x"}),
    post(_PATH, {}),
    get(_PATH).at(None, 1, 8, 115),
    gets("/v1/chassis/", "none", uuid(2, 99), _C.upper(), "a b", f"{_C}/", f"{_C}.json", f"{_C}/nothing"),
    gets(f"{_PATH}?", "fields=uuid", "fields=nothing", "fields=links", "fields=nodes", "fields=extra,uuid", "x=1"),
    get(f"{_PATH}?fields=uuid").around(8),
    gets("/v1/chassis", "", "/", "/detail", "?detail=true", "?detail=false", "?detail=true&fields=uuid", "?x=1"),
    get("/v1/chassis?detail=true").around(43),
    gets("/v1/chassis?", "limit=1", "limit=0", "limit=x", f"limit=1&marker={_C}", f"marker={uuid(2, 99)}", "marker=x"),
    gets("/v1/chassis?", "limit=1&detail=true", "limit=1&fields=uuid", "fields=uuid,extra", "fields=nothing"),
    gets("/v1/chassis?", "sort_key=uuid", "sort_key=description&sort_dir=desc", "sort_key=extra", "sort_key=nothing"),
    gets("/v1/chassis?", "sort_key=created_at", "sort_key=links", "sort_key=nodes", "sort_dir=up", "uuid=x"),
    gets("/v1/chassis/detail?", "limit=1", "fields=uuid", "detail=true", "x=1", f"marker={_C}", "sort_key=nothing"),
    post("/v1/nodes", {"uuid": _N, "driver": "fake-hardware", "chassis_uuid": _C}),
    gets(f"{_PATH}/nodes", "", "/", "/detail", "?maintenance=false", "?associated=true", "?x=1", "?fields=uuid"),
    gets(f"/v1/chassis/{_D}/nodes", "", "/detail"),
    gets(f"/v1/chassis/{uuid(2, 99)}/nodes", "", "/detail"),
    [put(f"{_PATH}/nodes", {}), post(f"{_PATH}/nodes", {}), delete(f"{_PATH}/nodes")],
    patches(_PATH, swap("/description", "new"), add("/description", "new"), swap("/description", None)),
    patches(_PATH, remove("/description"), swap("/description", 1), swap("/description", "x" * 256)),
    patches(
        _PATH, swap("/extra", {"b": 1}), add("/extra/c", 2), remove("/extra/c"), remove("/extra/c"), swap("/extra", 1)
    ),
    patches(_PATH, swap("/extra", None), remove("/extra"), add("/extra", {}), swap("/uuid", _D), remove("/uuid")),
    patches(
        _PATH, *(swap(f"/{name}", "x") for name in ("nodes", "links", "created_at", "updated_at", "id", "nothing"))
    ),
    patch(_PATH),
    patch(f"/v1/chassis/{uuid(2, 99)}", add("/extra/a", 1)),
    patch("/v1/chassis/none", add("/extra/a", 1)),
    [Call("PATCH", _PATH, body) for body in ({}, "x", [1])],
    put(_PATH, {}),
    delete(_PATH),
    delete(f"/v1/nodes/{_N}"),
    delete(f"{_PATH}?x=1"),
    delete(_PATH),
    delete(_PATH),
    delete("/v1/chassis/none"),
    delete("/v1/chassis"),
)
