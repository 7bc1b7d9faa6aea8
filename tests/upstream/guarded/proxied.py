"""Links behind a proxy that is believed."""

from __future__ import annotations

from upstream.call import Call, flat, get, post, uuid

_N = uuid(1, 1)
_PATH = f"/v1/nodes/{_N}"
CALLS: list[Call] = flat(
    post("/v1/nodes", {"driver": "fake-hardware", "uuid": _N}, headers={"X-Forwarded-Proto": "https"}),
    *(
        get(_PATH, headers=headers)
        for headers in (
            {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "other.example"},
            {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "other.example:443", "X-Forwarded-Prefix": "/baremetal"},
            {"X-Forwarded-Host": "other.example:8443"},
            {"X-Forwarded-Prefix": "/a/b"},
            {"Forwarded": "proto=https;host=other.example;for=192.0.2.1", "X-Forwarded-Host": "not.this"},
            {"Forwarded": "for=192.0.2.1, proto=https;host=second.example"},
            {"X-Forwarded-Host": "other.example", "X-Forwarded-Port": "8443"},
        )
    ),
    get("/v1", headers={"X-Forwarded-Proto": "https", "X-Forwarded-Prefix": "/baremetal"}),
    get("/v1/nodes?limit=1", headers={"X-Forwarded-Proto": "https"}),
)
