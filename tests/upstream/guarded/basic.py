"""HTTP basic authentication: who is let in, and what everybody else reads."""

from __future__ import annotations

import base64

from upstream.call import Call, delete, flat, get, gets, post, put, uuid

_N = uuid(1, 1)


def _basic(pair: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


_NOBODY = {"Authorization": ""}
_STRANGERS = (
    _NOBODY,
    _basic("admin:wrong"),
    _basic("nobody:secret-of-admin"),
    _basic("admin"),
    _basic(""),
    {"Authorization": "Basic !!!"},
    {"Authorization": "Basic"},
    {"Authorization": "Bearer x"},
    {"Authorization": "x"},
)
CALLS: list[Call] = flat(
    # open to all
    *([get(path, headers=headers) for path in ("/", "/v1", "/v1/")] for headers in (_NOBODY, _STRANGERS[1])),
    get("/v1/lookup?addresses=52:54:00:00:00:01", headers=_NOBODY),
    post(f"/v1/heartbeat/{_N}", {"callback_url": "http://a"}, headers=_NOBODY),
    post("/v1/continue_inspection", {"inventory": {}}, headers=_NOBODY),
    # closed
    *(get("/v1/nodes", headers=headers) for headers in _STRANGERS),
    *(get(path, headers=_NOBODY) for path in ("/v1/nothing", "/v1/drivers", f"/v1/nodes/{_N}/nothing", "/nothing")),
    post("/v1/nodes", b"{", headers=_NOBODY),
    put("/v1/nodes", {}, headers=_NOBODY),
    get("/v1/nodes", headers=_NOBODY, version="1.999"),
    get("/v1/nodes", headers={**_NOBODY, "Accept": "text/html"}),
    # let in
    post("/v1/nodes", {"driver": "fake-hardware", "uuid": _N, "name": "one"}),
    get("/v1/nodes/one", headers={"Authorization": f"basic {base64.b64encode(b'admin:secret-of-admin').decode()}"}),
    gets("/v1/nodes", "", "/one", "/two", "?owner=x"),
    get("/v1/nothing"),
    delete("/v1/nodes/one"),
)
