"""Web pages of other origins: https://dashboard.example is allowed on both sides, others are not."""

from __future__ import annotations

from upstream.call import Call, flat, get, post

_OURS, _OTHER = "https://dashboard.example", "https://other.example"


def _preflight(path: str, origin: str, method: str, asked: str = "") -> Call:
    headers = {"Origin": origin, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": asked}
    return Call("OPTIONS", path, headers=headers, version=None)


CALLS: list[Call] = flat(
    [
        get(path, headers={"Origin": origin})
        for path in ("/", "/v1", "/v1/nodes", "/v1/nodes/none", "/v1/nothing")
        for origin in (_OURS, _OTHER, "null", _OURS + "/", _OURS.upper())
    ],
    get("/v1/nodes", headers={"Origin": _OURS}).at("1.999", "x", None),
    post("/v1/nodes", {}, headers={"Origin": _OURS}),
    Call("HEAD", "/v1/nodes", headers={"Origin": _OURS}),
    [_preflight("/v1/nodes", origin, "GET") for origin in (_OURS, _OTHER, "null")],
    [
        _preflight("/v1/nodes", _OURS, method)
        for method in ("POST", "PATCH", "PUT", "DELETE", "HEAD", "TRACE", "get", "")
    ],
    [_preflight(path, _OURS, "GET") for path in ("/v1", "/v1/nothing", "/nothing", "/v1/nodes/none/states")],
    [
        _preflight("/v1/nodes", _OURS, "PATCH", asked)
        for asked in (
            "X-Auth-Token",
            "x-auth-token, content-type",
            "X-OpenStack-Ironic-API-Version",
            "X-Other",
            ",",
            "a,b",
        )
    ],
    Call("OPTIONS", "/v1/nodes", headers={"Origin": _OURS}),
)
