"""Who is let in by a token, and what everybody else reads."""

from __future__ import annotations

from collections.abc import Mapping

from upstream.call import Call, flat, get, post, put
from upstream.identity import DOMAIN, NOWHERE

_READER, _SERVICE = "system reader", "system service"


def _with(token: str, helper: str = "") -> dict[str, str]:
    return {"X-Auth-Token": token, **({"X-Service-Token": helper} if helper else {})}


def calls(projects: Mapping[str, str]) -> list[Call]:
    """The scenario."""
    del projects
    strangers = (*(_with(token) for token in ("", "nonsense", "gAAAAABnonsense", "x y")), _with("", _SERVICE))
    helped = (
        _with(_READER, _SERVICE),
        _with(_READER, "nonsense"),
        _with(_READER, "owner member"),
        _with("nonsense", _SERVICE),
        _with("gone", _SERVICE),
        _with("gone", "owner admin"),
        _with("gone"),
    )
    return flat(
        *([get(path, headers=headers) for path in ("/", "/v1", "/v1/")] for headers in strangers),
        get("/v1/lookup?addresses=52:54:00:00:00:01", headers=_with("")),
        post("/v1/heartbeat/none", {"callback_url": "http://a"}, headers=_with("")),
        *(get("/v1/nodes", headers=headers) for headers in (*strangers, *helped)),
        *(
            get(path, headers=_with(""))
            for path in ("/v1/nothing", "/v1/drivers", "/v1/nodes/none/nothing", "/nothing")
        ),
        post("/v1/nodes", b"{", headers=_with("")),
        put("/v1/nodes", {}, headers=_with("nonsense")),
        get("/v1/nodes", headers=_with(""), version="1.999"),
        *(get(path, headers=_with(who)) for who in (DOMAIN, NOWHERE) for path in ("/v1/nodes", "/v1/drivers")),
        get("/v1/nodes", headers={**_with(_READER), "Authorization": "Basic eDp5"}),
    )
