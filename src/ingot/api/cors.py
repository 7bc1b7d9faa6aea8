"""Cross-origin requests: which web pages a browser may let read this API's answers.

May not: authenticate or refuse anything; a browser does that, by the headers given here. Invariant: without the
setting ``cors_origins`` no answer has such a header. Source: the behaviour of Ironic's API with its [cors] settings.
"""

from __future__ import annotations

from collections.abc import Iterable

_Headers = tuple[tuple[bytes, bytes], ...]
_METHODS = frozenset({"GET", "PUT", "POST", "DELETE", "PATCH"})
_VERSIONS = (
    "X-OpenStack-Ironic-API-Maximum-Version",
    "X-OpenStack-Ironic-API-Minimum-Version",
    "X-OpenStack-Ironic-API-Version",
)
_EXPOSED = ",".join(_VERSIONS).encode()
_ASKED = frozenset(
    name.lower()
    for name in (
        *("Accept", "Accept-Language", "Content-Type", "Cache-Control", "Content-Language", "Expires", "Last-Modified"),
        *("Pragma", "X-Auth-Token", "Authorization"),
        *_VERSIONS,
    )
)
_MAX_AGE = b"3600"


def headers(origins: tuple[str, ...], method: str, given: Iterable[tuple[bytes, bytes]]) -> _Headers:
    """What an answer says to browsers; ``origins``: the setting; ``given``: the request's headers."""
    asked = {name: value.decode("latin-1") for name, value in given} if origins else {}
    origin = asked.get(b"origin")
    if origin is None or not ({origin, "*"} & set(origins)):
        return ()
    shown = origin if origin in origins else "*"
    common = (
        (b"vary", b"Origin"),
        (b"access-control-allow-origin", shown.encode()),
        (b"access-control-allow-credentials", b"true"),
    )
    if method != "OPTIONS":
        return (*common, (b"access-control-expose-headers", _EXPOSED))
    return _preflight(common, asked)


def _preflight(common: _Headers, asked: dict[bytes, str]) -> _Headers:
    """What a browser reads before it sends a request that could change something; nothing when it may not."""
    method = asked.get(b"access-control-request-method")
    names = [name.strip() for name in asked.get(b"access-control-request-headers", "").split(",") if name.strip()]
    if method not in _METHODS or any(name.lower() not in _ASKED for name in names):
        return ()
    more: _Headers = (
        (b"access-control-max-age", _MAX_AGE),
        (b"access-control-allow-methods", method.encode()),
    )
    if names:
        more = (*more, (b"access-control-allow-headers", ",".join(names).encode("latin-1")))
    return (*common, *more)
