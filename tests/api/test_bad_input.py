"""Hostile and clumsy requests: always a 4xx with one of the two error bodies, never a 5xx, and the server lives on."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from ingot.api import wire
from ingot.domain import errors

if TYPE_CHECKING:
    from tests.api.conftest import Api

UUID = "11111111-1111-1111-1111-111111111111"
DEEP = b'{"driver":"fake-hardware","extra":{"a":' + b"[" * 30 + b"]" * 30 + b"}}"
BODIES: list[bytes] = [
    b"{bad",
    b"\xff\xfe",
    b"null",
    b"[]",
    b"5",
    b'"text"',
    b"true",
    b'{"driver":',
    b'{"driver":NaN}',
    b'{"driver":1e999}',
    b'{"driver":"fake-hardware","name":"\\ud800"}',
    b'{"driver":"fake-hardware","name":"\xed\xa0\x80"}',
    b'{"driver":"fake-hardware","name":"a\\u0000b"}',
    b'{"driver":"fake-hardware","owner":"a\\u0000b"}',
    b'{"driver":"fake-hardware","driver":["x"]}',
    b'{"driver":"fake-hardware","extra":{"a":' + b"9" * 5000 + b"}}",
    b'{"driver":"fake-hardware","extra":{"a":1e-999}}',
    b'{"driver":"fake-hardware","extra":{"\\udfff":"\\ud800\\u0041"}}',
    b'{"driver":"fake-hardware","extra":{"":{"":""}}}',
    b'\xef\xbb\xbf{"driver":"fake-hardware"}',
    b'{"driver":"fake-hardware","uuid":"x"}',
    b'{"driver":"fake-hardware","maintenance":[]}',
    b'{"driver":"fake-hardware","maintenance":"perhaps"}',
    b'{"driver":"fake-hardware","properties":[]}',
    b'{"driver":"fake-hardware","name":{"a":1}}',
    b'{"driver":"fake-hardware","chassis_uuid":"' + UUID.encode() + b'"}',
    b'{"driver":"fake-hardware","parent_node":"nobody"}',
    b'{"driver":"fake-hardware","resource_class":"' + b"x" * 81 + b'"}',
    b'{"driver":"fake-hardware","instance_name":""}',
    b'{"driver":["fake-hardware"]}',
    b'{"driver":null}',
    b'{"driver":"../../etc/passwd"}',
    b'{"target":[]}',
    b'{"target":"clean","clean_steps":[{}]}',
    b'{"target":"clean","clean_steps":[{"interface":"deploy"}]}',
    b'{"target":"active","deploy_steps":[{"interface":"deploy","step":"x"}]}',
    b'{"target":"active","configdrive":5}',
    b'{"target":"active","configdrive":{"odd":1}}',
    b'{"target":"power on","timeout":{}}',
    b'{"id":{}}',
    b'{"traits":{}}',
    b'{"traits":[null]}',
    b'{"boot_device":[]}',
    b'{"reason":{}}',
    b'{"callback_url":7}',
    b'{"inventory":{}}',
    b'{"inventory":{"interfaces":[{"mac_address":7}]}}',
    b'{"address":"52:54:00:12:34:56","node_uuid":7}',
    b'{"address":{},"node_uuid":"' + UUID.encode() + b'"}',
    b'[{"op":"add"}]',
    b'[{"op":"add","path":"/extra"}]',
    b'[{"op":"move","path":"/extra","from":"/name"}]',
    b'[{"op":"replace","path":"/driver_info","value":7}]',
    b'[{"op":"replace","path":"/extra","value":null},{"op":"add","path":"/extra/a","value":1}]',
    b'[{"op":"add","path":"/extra' + b"/a" * 40 + b'","value":1}]',
    b'[{"op":"remove","path":"/extra/-"}]',
    b'[{"op":"replace","path":"/name/x","value":1}]',
    b"[null]",
    b'[["op"]]',
    DEEP,
]
PLACES = [
    ("POST", "/v1/nodes"),
    ("PATCH", "/v1/nodes/n1"),
    ("PUT", "/v1/nodes/n1/states/power"),
    ("PUT", "/v1/nodes/n1/states/provision"),
    ("PUT", "/v1/nodes/n1/maintenance"),
    ("PUT", "/v1/nodes/n1/management/boot_device"),
    ("PUT", "/v1/nodes/n1/traits"),
    ("POST", "/v1/nodes/n1/vifs"),
    ("POST", "/v1/ports"),
    ("PATCH", f"/v1/ports/{UUID}"),
    ("POST", "/v1/chassis"),
    ("PATCH", f"/v1/chassis/{UUID}"),
    ("POST", f"/v1/heartbeat/{UUID}"),
    ("POST", "/v1/continue_inspection"),
]


@pytest.mark.parametrize(("method", "path"), PLACES)
async def test_no_body_is_a_server_error(api: Api, method: str, path: str) -> None:
    await api.node(name="n1", uuid=UUID)
    replies = await asyncio.gather(*(api.call(method, path, body) for body in BODIES))
    for body, reply in zip(BODIES, replies, strict=True):
        assert reply.status < 500, (body, reply.raw)
        if reply.status >= 400:
            assert "error_message" in reply.body or reply.body["faultcode"] == "Client"
        if body.startswith((b"{bad", b"\xff", b'{"driver":NaN')):
            assert reply.status == 400, (body, reply.raw)
    assert (await api.get("/v1/nodes"))["nodes"]


@pytest.mark.parametrize(
    "path",
    [
        "/v1/nodes/%ff",
        "/v1/nodes/%00",
        "/v1/nodes/a%2Fb",
        "/v1/nodes/'%20OR%201=1--",
        "/v1/nodes/%22;DROP%20TABLE%20nodes;--",
        "/v1/nodes/" + "x" * 5000,
        "/v1/nodes/..%2f..%2fetc%2fpasswd",
        "/v1/nodes/n1%0d%0aX-Evil:%201",
        "/v1/nodes/.",
        "/v1/nodes/..",
        "/v1/nodes/%2e%2e/%2e%2e/ingot/v1/health",
        "/v1/nodes/n1/..;/n2",
        "/v1/nodes/n1%3Fdetail=1",
        "/v1/nodes/n1%23",
        "/v1/nodes/%ed%a0%80",
        "/v1/nodes/%c0%af",
        "/ingot/v1/static/..%2f..%2fserver.py",
        "/ingot/v1/static/%2fetc%2fpasswd",
        "/ingot/v1/nodes/n1/runs?limit=0",
        "/ingot/v1/nodes/n1/runs?marker=x",
        "/ingot/v1/nodes/n1/runs/%00",
        "/ingot/v1/openapi.json?x=1",
        "/v1/nodes/n1/states/provision/x",
        "/v1/nodes/n1/states/nothing",
        "/v1/nodes/n1/management/boot_device/nothing",
        "/v1//nodes",
        "/v1/v1/nodes",
        "//",
        "/v1/ports/%27",
        "/v1/chassis/%F0%9F%98%80",
        "/v1/drivers/%00",
        "/v1/conductors/%00",
        "/v1/heartbeat/x",
        "/v1/lookup?addresses=zz",
        "/v1/lookup?node_uuid=x",
        "/v1/nodes?fields=uuid,nope",
        "/v1/nodes?fields=",
        "/v1/nodes?sort_key=secrets",
        "/v1/nodes?sort_key=agent_token",
        "/v1/nodes?sort_key=driver_info",
        "/v1/nodes?sort_key=id;drop",
        "/v1/nodes?limit=-1",
        "/v1/nodes?limit=9999999999999999999999999",
        "/v1/nodes?limit=1&limit=2",
        "/v1/nodes?marker=%27",
        "/v1/nodes?owner=%ff",
        "/v1/nodes?shard=%00",
        "/v1/nodes?description_contains=%25%27",
        "/v1/nodes?" + "&".join(f"a{number}=1" for number in range(300)),
        "/v1/ports?sort_key=node_uuid",
        "/v1/ports?address=52-54",
        "/v1/ports?node=nobody",
        "/v1/nodes/n1?fields=links",
        "/v1/nodes/n1/history?limit=x",
        "/v1/nodes/n1/history/%27",
        "/ingot/v1/nodes/%27/run",
        "/ingot/v2",
        "/ingot",
    ],
)
async def test_no_path_is_a_server_error(api: Api, path: str) -> None:
    from yarl import URL

    await api.node(name="n1", uuid=UUID)
    async with api.session.get(
        URL(f"{api.url}{path}", encoded=True), headers={"X-OpenStack-Ironic-API-Version": "latest"}
    ) as answer:
        text = await answer.read()
        assert answer.status < 500, text
        assert "X-Evil" not in answer.headers
        if answer.status >= 400:
            assert json.loads(json.loads(text)["error_message"])


@pytest.mark.parametrize("path", ["/ingot/v1/console/%ff/socket", "/%c0%af", "/ingot/v1/console//socket", "//"])
async def test_no_path_of_a_websocket_is_a_server_error(api: Api, path: str) -> None:
    from yarl import URL

    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await api.session.ws_connect(URL(f"{api.url}{path}", encoded=True))
    assert refused.value.status == 403


async def test_sql_in_names_finds_nothing_and_harms_nothing(api: Api) -> None:
    await api.node(name="n1")
    reply = await api.call("GET", "/v1/nodes/x'%20OR%20'1'='1")
    assert reply.status == 400
    reply = await api.call("POST", "/v1/nodes", {"driver": "fake-hardware", "name": "x'; DROP TABLE nodes;--"})
    assert reply.status == 400
    found = await api.get("/v1/nodes?owner=x'%20OR%20'1'='1")
    assert found["nodes"] == []
    assert len((await api.get("/v1/nodes"))["nodes"]) == 1


async def test_too_deep_and_too_large_are_refused_unwrapped(api: Api) -> None:
    reply = await api.call("POST", "/v1/nodes", DEEP)
    assert (reply.status, reply.body["faultcode"]) == (400, "Client")
    assert "X-OpenStack-Ironic-API-Version" not in reply.headers
    reply = await api.call("POST", "/v1/nodes", b'{"driver":"' + b"a" * (1024 * 1024) + b'"}')
    assert (reply.status, reply.body["faultcode"]) == (413, "Client")
    reply = await api.call("POST", "/v1/nodes", b"[" * 100_000)
    assert reply.status == 400


async def test_a_large_config_drive_is_within_the_limit_of_its_route(api: Api) -> None:
    await api.node(name="n1")
    body = {"target": "active", "configdrive": "A" * (8 * 1024 * 1024)}
    reply = await api.call("PUT", "/v1/nodes/n1/states/provision", body)
    assert reply.status == 400
    assert "can not be performed" in reply.fault["faultstring"]


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/xml", "multipart/form-data", "", "a/b; charset=\xff", "x" * 3000]
)
async def test_a_body_of_another_content_type_is_read_as_json_or_refused(api: Api, kind: str) -> None:
    for body in (b"<xml/>", b"driver=fake-hardware", b'{"driver":"fake-hardware"}'):
        reply = await api.call("POST", "/v1/nodes", body, headers={"Content-Type": kind})
        assert reply.status == (201 if body.startswith(b"{") else 400), (kind, body, reply.raw)


async def test_of_keys_given_twice_the_last_counts_and_nothing_is_left_over(api: Api) -> None:
    reply = await api.call(
        "POST", "/v1/nodes", b'{"driver":"fake-hardware","name":"first","name":"second","extra":{"a":1,"a":2}}'
    )
    assert (reply.status, reply.body["name"], reply.body["extra"]) == (201, "second", {"a": 2})


async def test_large_numbers_come_back_as_they_went(api: Api) -> None:
    reply = await api.call(
        "POST", "/v1/nodes", b'{"driver":"fake-hardware","extra":{"a":123456789012345678901234567890}}'
    )
    assert b'"a":123456789012345678901234567890' in reply.raw


@pytest.mark.parametrize(
    "name", ["X-Auth-Token", "Authorization", "X-OpenStack-Ironic-API-Version", "Accept", "Host", "X-Forwarded-Host"]
)
async def test_no_header_value_splits_an_answer(api: Api, name: str) -> None:
    for value in (
        "a%0d%0aX-Evil: 1",
        "\t\t",
        "'; DROP TABLE users;--",
        "\xe9" * 500,
        "Basic " + "A" * 6000,
        "Bearer " + "\xff",
    ):
        answer = await api.raw(
            b"GET /v1/nodes HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
            + f"{name}: {value}".encode("latin-1")
            + b"\r\n\r\n"
        )
        assert answer.split(b" ", 2)[1][:1] in {b"2", b"4"}, (value, answer)
        assert b"\r\nX-Evil" not in answer


async def test_chunked_bodies_are_counted(api: Api) -> None:
    async def chunks():
        for _ in range(40):
            yield b"[" * 65_536

    async with api.session.post(f"{api.url}/v1/nodes", data=chunks()) as answer:
        assert answer.status == 413


async def test_a_body_that_stops_coming_is_not_waited_for() -> None:
    pieces = [{"type": "http.request", "body": b"[", "more_body": True}]

    async def receive() -> dict[str, Any]:
        if not pieces:
            await asyncio.Event().wait()
        return pieces.pop()

    with pytest.raises(errors.Invalid, match="stopped coming"):
        await wire.read_body(receive, {}, 100, patience=0.05)


async def test_a_body_that_comes_drop_by_drop_is_not_waited_for() -> None:
    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0.02)
        return {"type": "http.request", "body": b"[", "more_body": True}

    with pytest.raises(errors.Invalid, match="at less than"):
        await wire.read_body(receive, {}, 1000, patience=0.2)


@pytest.mark.parametrize(
    "head",
    [
        b"GET /v1/nodes HTTP/1.1\r\nHost: evil.example/x\r\n\r\n",
        b"GET /v1/nodes HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET /v1/nodes HTTP/1.1\r\nHost: h\r\nOpenStack-API-Version: \xff\xfe\r\n\r\n",
        b"POST /v1/nodes HTTP/1.1\r\nHost: h\r\nContent-Length: -5\r\n\r\n",
        b"POST /v1/nodes HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: h\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"GET http://other/v1/nodes HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET v1/nodes HTTP/1.1\r\nHost: h\r\n\r\n",
    ],
)
async def test_odd_heads_never_reach_a_server_error(api: Api, head: bytes) -> None:
    answer = await api.raw(head.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    assert answer.split(b" ", 2)[1][:1] in {b"2", b"4"}, answer
    assert b"evil.example/x" not in answer


async def test_a_hostile_host_header_is_not_repeated_in_links(api: Api) -> None:
    async with api.session.get(f"{api.url}/", headers={"Host": 'a"><script>'}) as answer:
        assert b"<script" not in await answer.read()
