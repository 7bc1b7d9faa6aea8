"""Discovery documents, versions, both error bodies, headers: byte for byte where clients depend on it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from ingot.api import server, versions

if TYPE_CHECKING:
    from tests.api.conftest import Api

RANGE = {"X-OpenStack-Ironic-API-Minimum-Version": "1.1", "X-OpenStack-Ironic-API-Maximum-Version": "1.115"}
USED = "X-OpenStack-Ironic-API-Version"


async def test_the_root_names_the_version_range(api: Api) -> None:
    body = await api.get("/", version=None)
    version = {
        "id": "v1",
        "links": [{"href": f"{api.url}/v1/", "rel": "self"}],
        "status": "CURRENT",
        "min_version": "1.1",
        "version": "1.115",
    }
    assert body["default_version"] == version
    assert body["versions"] == [version]


@pytest.mark.parametrize(
    ("version", "present", "absent"),
    [
        (None, {"nodes", "ports", "chassis", "drivers"}, {"lookup", "conductors", "continue_inspection"}),
        ("1.22", {"lookup", "heartbeat"}, {"conductors"}),
        ("1.49", {"conductors"}, {"continue_inspection"}),
        ("latest", {"conductors", "continue_inspection"}, set[str]()),
    ],
)
async def test_v1_links_what_the_version_knows(
    api: Api, version: str | None, present: set[str], absent: set[str]
) -> None:
    body = await api.get("/v1", version=version)
    assert present <= set(body)
    assert not absent & set(body)
    assert body["nodes"] == [
        {"href": f"{api.url}/v1/nodes/", "rel": "self"},
        {"href": f"{api.url}/nodes/", "rel": "bookmark"},
    ]


@pytest.mark.parametrize(
    ("headers", "status", "used", "text"),
    [
        ({}, 200, "1.1", None),
        ({USED: "1.30"}, 200, "1.30", None),
        ({USED: "latest"}, 200, "1.115", None),
        ({"OpenStack-API-Version": "baremetal 1.20"}, 200, "1.20", None),
        ({"OpenStack-API-Version": "compute 2.1, baremetal latest"}, 200, "1.115", None),
        ({"OpenStack-API-Version": "compute 2.1"}, 200, "1.1", None),
        ({"OpenStack-API-Version": "baremetal 1.20", USED: "1.20"}, 200, "1.20", None),
        ({USED: "1.116"}, 406, None, "Version 1.116 was requested"),
        ({USED: "1.0"}, 406, None, "Version 1.0 was requested"),
        ({USED: "2.1"}, 406, None, "Mutually exclusive versions requested. Version 2.1"),
    ],
)
async def test_version_negotiation(
    api: Api, headers: dict[str, str], status: int, used: str | None, text: str | None
) -> None:
    reply = await api.call("GET", "/v1/nodes", version=None, headers=headers)
    assert reply.status == status
    assert {name: reply.headers[name] for name in RANGE} == RANGE
    assert reply.headers.get(USED) == used
    if text:
        assert reply.fault["code"] == 406
        assert reply.fault["title"] == "Not Acceptable"
        assert reply.fault["description"].startswith(text)


async def test_an_unreadable_version_is_refused_without_version_headers(api: Api) -> None:
    reply = await api.call("GET", "/v1/nodes", version="one")
    assert reply.status == 406
    assert reply.fault["description"] == "Invalid value for X-OpenStack-Ironic-API-Version header"
    assert not set(RANGE) & set(reply.headers)


async def test_unknown_paths_answer_in_the_routing_form(api: Api) -> None:
    for path in ("/nosuch", "/v1/nosuch", "/v2", "/v2/nodes"):
        reply = await api.call("GET", path)
        assert reply.raw == b'{"error_message":"{\\"code\\":404,\\"title\\":\\"Not Found\\",\\"description\\":\\"\\"}"}'
        assert not set(RANGE) & set(reply.headers)


async def test_resources_answer_in_the_fault_form_with_version_headers(api: Api) -> None:
    reply = await api.call("GET", "/v1/nodes/zzz")
    assert reply.status == 404
    assert reply.fault == {
        "faultcode": "Client",
        "faultstring": "Node zzz could not be found. Check the name or UUID.",
        "debuginfo": None,
    }
    assert reply.headers[USED] == "1.115"


async def test_each_answer_has_a_request_id_under_both_names(api: Api) -> None:
    seen: set[str] = set()
    for path in ("/", "/nosuch", "/v1/nodes/x"):
        reply = await api.call("GET", path)
        assert re.fullmatch(r"req-[0-9a-f-]{36}", reply.headers["openstack-request-id"])
        assert reply.headers["x-openstack-request-id"] == reply.headers["openstack-request-id"]
        seen.add(reply.headers["openstack-request-id"])
    assert len(seen) == 3


async def test_paths_work_without_v1_and_with_a_trailing_slash(api: Api) -> None:
    await api.node(name="n1")
    for path in ("/v1/nodes/n1", "/nodes/n1", "/v1/nodes/n1/", "/nodes/n1/"):
        assert (await api.get(path))["name"] == "n1"


async def test_the_json_suffix_means_nothing_before_1_91_and_is_a_name_after(api: Api) -> None:
    await api.node(name="n1")
    assert (await api.get("/v1/nodes/n1.json", version="1.90"))["name"] == "n1"
    assert (await api.get("/v1/nodes.json", version="1.90"))["nodes"]
    assert (await api.call("GET", "/v1/nodes/n1.json", version="1.91")).status == 404
    await api.node(name="n1.json")
    assert (await api.get("/v1/nodes/n1.json", version="1.91"))["name"] == "n1.json"
    await api.node(name="only.json")
    change = [{"op": "add", "path": "/extra/a", "value": 1}]
    changed = await api.call("PATCH", "/v1/nodes/only.json", change, version="1.90")
    assert (changed.status, changed.body["name"], changed.body["extra"]) == (200, "only.json", {"a": 1})
    assert (await api.call("GET", "/v1/nodes/none.json", version="1.90")).status == 404
    assert (await api.call("GET", "/v1/nodes/none/states.json", version="1.90")).status == 404


async def test_methods_that_do_not_exist(api: Api) -> None:
    reply = await api.call("PUT", "/v1/nodes", {})
    assert (reply.status, reply.headers["Allow"]) == (405, "GET, POST")
    assert reply.fault["code"] == 405
    assert (await api.call("HEAD", "/v1/nodes")).status == 405
    reply = await api.call("OPTIONS", "/v1/nodes")
    assert (reply.status, reply.raw) == (200, b"")


async def test_unknown_arguments_are_named(api: Api) -> None:
    reply = await api.call("GET", "/v1/nodes?odd=1")
    assert reply.status == 400
    assert reply.fault["faultstring"].startswith("Unexpected arguments: odd")


def test_the_version_table_has_a_row_for_every_microversion() -> None:
    assert len(versions.TABLE) == versions.MAX == 115
    since = versions.since("node")
    known = {"name": 5, "clean_step": 7, "network_interface": 20, "traits": 37, "fault": 42, "owner": 50, "health": 109}
    assert {name: since[name] for name in known} == known
    assert versions.since("port")["physical_network"] == 34
    assert versions.filters_since("node")["shard"] == 82


COUNTS = {1: 22, 5: 24, 12: 29, 31: 41, 44: 48, 61: 58, 82: 63, 115: 69}
"""Counted on Ironic 39.0.0."""


async def test_how_many_node_fields_each_version_shows(api: Api) -> None:
    made = await api.node()
    for number, count in COUNTS.items():
        body = await api.get(f"/v1/nodes/{made['uuid']}", version=f"1.{number}")
        assert (number, len(body)) == (number, count)


def test_every_route_has_a_known_policy_rule() -> None:
    from ingot.api import policy

    assert {route.rule for route in server.ROUTES} <= set(policy.TABLE)
    assert len({(route.method, route.path) for route in server.ROUTES}) == len(server.ROUTES)
    public = {route.path for route in server.ROUTES if route.public}
    agents = {"/v1/lookup", "/v1/heartbeat/{node}", "/v1/continue_inspection"}
    console = {"/ingot/v1/console/{ticket}", "/ingot/v1/static/{file}"}  # the ticket is what proves the caller
    assert public == {"/", "/v1", "/ingot/v1/health", "/ingot/v1/ready", "/ingot/v1/openapi.json", *agents, *console}
