"""Roots, versions, unknown paths, methods, suffixes, content types, bodies that are none."""

from __future__ import annotations

from upstream.call import Call, delete, flat, get, gets, post, posts, put, uuid

_N = uuid(1, 1)
_LEGACY = "X-OpenStack-Ironic-API-Version"
_STANDARD = "OpenStack-API-Version"

_BAD_VERSIONS = ("1.0", "1.116", "1.9999", "2.1", "0.9", "1", "1.1.1", "", "abc", "1.x", "-1.5", "Latest", "LATEST")
_ODD_VERSIONS = (
    "1.20,1.30",
    "1.20, 1.30",
    ",1.20",
    "1.20,",
    "1.20,abc",
    "latest,1.20",
    "+1.20",
    "01.020",
    "1. 20",
    "1_0.2",
)
_METHODS = ("HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "POST", "TRACE", "BREW")
_BAD_BODIES = (b"{", b"[]", b"null", b'"text"', b"1", b"", b" ", b"\xff\xfe", b"{'a': 1}", b'{"a": NaN}')


CALLS: list[Call] = flat(
    gets("", "/", "/v1", "/v1/", "//", "/v2", "/v1/v1", "/v1/nothing", "/nothing", "/nothing/at/all", "/v1/nodes//"),
    gets("", "/v1?x=1", "/?x=1", crash=400),
    gets("", "/favicon.ico", "/v1.json", "/V1", "/v1/NODES", "/nodes", "/nodes/", "/ports"),
    get("/v1").around(22, 23, 32, 49, 52, 54, 55, 82, 84, 92, 96),
    get("/v1").at(None, "latest"),
    get("/").at(None, 1, 5),
    post("/v1/nodes", {"driver": "fake-hardware", "uuid": _N, "name": "wire.json"}),
    get("/v1/nodes").at(None, "latest", *_BAD_VERSIONS),
    get("/v1").at(*_BAD_VERSIONS),
    get("/").at(*_BAD_VERSIONS),
    get("/v1/nothing").at(*_BAD_VERSIONS[:5]),
    [get("/v1/nodes", version=None, headers={_STANDARD: value}) for value in ("baremetal 1.20", "baremetal latest")],
    [
        get("/v1/nodes", version=None, headers={_STANDARD: value})
        for value in ("1.20", "compute 2.1", "baremetal", "baremetal 1.20, compute 2.1", "baremetal 9", "BAREMETAL 1.5")
    ],
    [get("/v1/nodes", version=None, headers={_LEGACY: value}) for value in _ODD_VERSIONS],
    [
        get("/v1/nodes", version="1.30", headers={_STANDARD: value})
        for value in ("baremetal 1.20 x", "baremetal 1.5,baremetal 1.20", "baremetal 1.20, baremetal", "baremetal")
    ],
    gets("/v1/nodes?", "limit=x&conductor=a", "limit=0&shard=a", version="1.40"),
    [get("/v1/nodes", headers={_STANDARD: "baremetal 1.20", _LEGACY: "1.30"})],
    [get("/v1/nodes", headers={_STANDARD: "baremetal 1.20", _LEGACY: "1.20"})],
    [Call(method, "/v1/nodes") for method in _METHODS if method != "POST"],
    [Call(method, f"/v1/nodes/{_N}") for method in _METHODS if method not in {"DELETE", "PATCH"}],
    [Call(method, "/") for method in _METHODS],
    [Call(method, "/v1") for method in _METHODS],
    [Call(method, "/v1/nodes/detail") for method in _METHODS],
    [Call(method, f"/v1/nodes/{_N}/states") for method in _METHODS],
    [Call(method, f"/v1/nodes/{_N}/states/power") for method in ("POST", "DELETE", "HEAD")],
    [Call(method, f"/v1/nodes/{_N}/traits") for method in ("HEAD", "POST", "PATCH")],
    [Call(method, "/v1/drivers") for method in _METHODS],
    [Call(method, "/v1/nothing") for method in _METHODS],
    [Call(method, "/v1/lookup") for method in ("POST", "PUT", "HEAD")],
    gets(f"/v1/nodes/{_N}", "/", ".json", "/states/", "/nothing", "?", "?x=1"),
    gets(f"/v1/nodes/{_N}", "/states/nothing", "/states/power/x", crash=404),
    get(f"/v1/nodes/{_N}/states/power", crash=405),
    get("/v1/nodes/wire.json").around(5, 10, 91),
    [get(path, version="1.30") for path in ("/v1.json", "/.json", "/v1/nodes/.json", f"/v1/nodes/{_N}/states.json/")],
    get(f"/v1/nodes/{_N}.json", version=None),
    get(f"/v1/nodes/{_N}.json", version=None, headers={_STANDARD: "baremetal 1.20"}),
    get("/v1/nodes.json").at(None, 30),
    get("/v1/nodes/wire.json.json").around(91),
    get(f"/v1/nodes/{_N}.json").around(91),
    gets("/v1/nodes/", "%2e%2e", "a%2Fb", "%00", "%ff", "..", "a%20b", "a+b", "%F0%9F%92%A9", "x" * 300),
    get("/v1/nodes", headers={"Accept": ""}),
    [get("/v1/nodes", headers={"Accept": kind}) for kind in ("*/*", "text/html", "application/xml", "text/plain")],
    get("/v1/nothing", headers={"Accept": "text/html"}),
    get("/v1/nodes/none", headers={"Accept": "text/html"}),
    [
        post("/v1/nodes", {"driver": "none"}, headers={"Content-Type": kind})
        for kind in ("application/json; charset=utf-8", "text/plain", "application/x-www-form-urlencoded", "a", "")
    ],
    posts("/v1/nodes", *_BAD_BODIES[:1], crash=400),
    [put(f"/v1/nodes/{_N}/maintenance", body) for body in _BAD_BODIES],
    [put(f"/v1/nodes/{_N}/states/power", body) for body in _BAD_BODIES],
    [put(f"/v1/nodes/{_N}/states/provision", body) for body in _BAD_BODIES],
    post("/v1/nodes?driver=fake-hardware"),
    delete("/v1/nodes"),
    delete("/v1/nodes/"),
)
