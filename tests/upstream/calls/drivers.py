"""Drivers, conductors, and their methods."""

from __future__ import annotations

from upstream.call import Call, delete, flat, get, gets, patch, post, put

_PATH = "/v1/drivers/fake-hardware"

CALLS: list[Call] = flat(
    get("/v1/drivers").around(14, 30, 31),
    get("/v1/drivers").at(None),
    gets("/v1/drivers?", "type=dynamic", "type=classic", "type=other", "type=", "detail=true", "detail=false", "x=1"),
    gets("/v1/drivers?", "detail=maybe", "type=classic&detail=true", "type=dynamic&detail=true", "limit=1"),
    get("/v1/drivers?type=dynamic").around(30),
    get("/v1/drivers?detail=true").around(30, 33, 38, 40, 86),
    get("/v1/drivers?fields=name").around(77),
    gets("/v1/drivers?", "fields=name,hosts", "fields=nothing", "fields=name&detail=true", "fields=", "fields=links"),
    get(_PATH).around(14, 30, 33, 38, 40, 77, 86),
    get(_PATH).at(None),
    gets(f"{_PATH}?", "fields=name", "fields=name,hosts,type", "fields=nothing", "fields=properties", "x=1", "fields="),
    get(f"{_PATH}?fields=name").around(77),
    gets("/v1/drivers/", "none", "fake", "fake%20hardware", "fake-hardware/", "fake-hardware/nothing"),
    get(f"{_PATH}/properties").at(1, 115),
    gets("/v1/drivers/", "none/properties", "fake-hardware/properties?x=1", "fake-hardware/properties/"),
    get(f"{_PATH}/raid/logical_disk_properties").around(12),
    gets("/v1/drivers/", "none/raid/logical_disk_properties", "fake-hardware/raid", "fake-hardware/raid/nothing"),
    get(f"{_PATH}/vendor_passthru/methods"),
    get("/v1/drivers/none/vendor_passthru/methods"),
    gets(f"{_PATH}/vendor_passthru", "", "/other", "/methods?x=1"),
    post(f"{_PATH}/vendor_passthru/other", {}),
    [Call(method, f"{_PATH}/vendor_passthru?method=other", crash=400) for method in ("GET", "PUT")],
    [post("/v1/drivers", {}), put(_PATH, {}), delete(_PATH), patch(_PATH)],
    get("/v1/conductors").around(49),
    gets(
        "/v1/conductors?", "detail=true", "detail=false", "fields=hostname", "fields=hostname,alive", "fields=nothing"
    ),
    gets("/v1/conductors?", "limit=1", "limit=0", "limit=x", "limit=1&marker=here", "marker=nowhere", "x=1"),
    gets("/v1/conductors?", "sort_key=hostname", "sort_key=alive", "sort_key=drivers", "sort_key=nothing"),
    gets("/v1/conductors?", "sort_dir=up", "detail=true&fields=alive", "fields=drivers", "sort_key=conductor_group"),
    get("/v1/conductors/here").around(49),
    gets("/v1/conductors/", "nowhere", "here?fields=hostname", "here?fields=nothing", "here?x=1", "here/", "here/x"),
    [post("/v1/conductors", {}), put("/v1/conductors/here", {}), delete("/v1/conductors/here")],
)
