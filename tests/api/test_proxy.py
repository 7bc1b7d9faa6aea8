"""Links and callers behind a proxy. What upstream makes of the same headers: tests/upstream/calls/proxied.py."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from ingot.api import origin
from ingot.domain import errors
from ingot.settings import Settings

from .conftest import Api

_SAID = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "cloud.example", "X-Forwarded-Prefix": "/baremetal"}


async def _link(api: Api, **headers: str) -> str:
    return (await api.get("/v1/nodes/n1", headers=headers))["links"][0]["href"].rpartition("/v1/")[0]


async def test_without_the_setting_no_such_header_is_believed(api: Api) -> None:
    await api.node(name="n1")
    assert await _link(api, **_SAID, Forwarded="proto=https;host=other.example") == api.url


class TestBehindAProxy:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return msgspec.structs.replace(settings, proxy_headers=True, public_url="https://not.this.example")

    @pytest.mark.parametrize(
        ("headers", "expected"),
        [
            (_SAID, "https://cloud.example/baremetal"),
            ({"X-Forwarded-Proto": "https", "X-Forwarded-Host": "cloud.example:443"}, "https://cloud.example"),
            ({"X-Forwarded-Host": "cloud.example", "X-Forwarded-Port": "8443"}, "http://cloud.example:8443"),
            ({"X-Forwarded-Host": "cloud.example:1, inner"}, "http://cloud.example:1"),
            ({"Forwarded": 'proto=https;host="c.example";for=1.2.3.4, proto=http;host=inner'}, "https://c.example"),
            ({"X-Forwarded-Proto": "javascript", "X-Forwarded-Host": "cloud.example"}, "http://cloud.example"),
            ({"X-Forwarded-Host": "cloud.example", "X-Forwarded-Prefix": "/a b/<script>"}, "http://cloud.example"),
        ],
    )
    async def test_links_are_those_of_the_proxy(self, api: Api, headers: dict[str, str], expected: str) -> None:
        await api.node(name="n1")
        assert await _link(api, **headers) == expected
        reply = await api.call("POST", "/v1/nodes", {"driver": "fake-hardware", "name": "n2"}, headers=headers)
        assert reply.headers["Location"] == f"{expected}/v1/nodes/{reply.body['uuid']}"

    async def test_a_host_that_is_none_is_not_repeated(self, api: Api) -> None:
        await api.node(name="n1")
        assert await _link(api, **{"X-Forwarded-Host": "evil.example/path"}) == "http://127.0.0.1:6385"

    @pytest.mark.parametrize(
        ("headers", "address"),
        [
            ({}, "10.0.0.1"),
            ({"x-forwarded-for": "6.6.6.6, 192.0.2.7"}, "192.0.2.7"),
            ({"forwarded": 'for=6.6.6.6, for="[2001:db8::1]";proto=https'}, "2001:db8::1"),
            ({"forwarded": 'for="[2001:db8::1]:4711"'}, "2001:db8::1"),
            ({"forwarded": 'for="192.0.2.7:4711"'}, "192.0.2.7"),
            ({"x-forwarded-for": "2001:db8::1"}, "2001:db8::1"),
            ({"x-forwarded-for": "6.6.6.6, 192.0.2.7:4711"}, "192.0.2.7"),
            ({"forwarded": "proto=https", "x-forwarded-for": "192.0.2.7"}, "192.0.2.7"),
            ({"forwarded": "for=6.6.6.6", "x-forwarded-for": "192.0.2.7"}, "192.0.2.7"),
        ],
    )
    def test_the_caller_is_whom_the_proxy_itself_names(
        self, settings: Settings, headers: dict[str, Any], address: str
    ) -> None:
        trusting = msgspec.structs.replace(settings, proxies=("10.0.0.0/8",))
        assert origin.Origins(trusting).client("10.0.0.1", headers) == address
        assert origin.Origins(settings).client("10.0.0.1", headers) == "10.0.0.1", "this host's proxies alone"
        if headers:
            assert origin.Origins(settings).client("127.0.0.1", headers) == address

    def test_what_is_no_network_is_refused_at_the_start(self, settings: Settings) -> None:
        with pytest.raises(errors.Invalid, match="The setting proxies has 'nonsense'"):
            origin.Origins(msgspec.structs.replace(settings, proxies=("nonsense",)))
