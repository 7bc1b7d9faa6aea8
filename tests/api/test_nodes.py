"""Nodes over the wire: create, list, show, patch, delete."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.api.conftest import Api

UUID = "11111111-1111-1111-1111-111111111111"


async def test_a_new_node_shows_everything_its_microversion_knows(api: Api) -> None:
    reply = await api.call(
        "POST", "/v1/nodes", {"driver": "fake-hardware", "name": "n1", "uuid": UUID, "driver_info": {"a": 1}}
    )
    assert reply.status == 201
    assert reply.headers["Location"] == f"{api.url}/v1/nodes/{UUID}"
    body = reply.body
    assert (body["uuid"], body["name"], body["provision_state"]) == (UUID, "n1", "enroll")
    assert body["power_interface"] == "fake"
    assert body["bios_interface"] == "no-bios"
    assert body["driver_info"] == {"a": 1}
    assert body["traits"] == []
    assert body["conductor"] == "here"
    assert body["volume"][0] == {"href": f"{api.url}/v1/nodes/{UUID}/volume", "rel": "self"}
    assert len(body) == 69
    assert (await api.get("/v1/nodes/n1")) == body


async def test_the_oldest_microversion_sees_no_name_and_starts_available(api: Api) -> None:
    reply = await api.call("POST", "/v1/nodes", {"driver": "fake-hardware"}, version=None)
    assert reply.status == 201
    assert reply.headers["X-OpenStack-Ironic-API-Version"] == "1.1"
    assert reply.body["provision_state"] is None
    assert "name" not in reply.body
    assert len(reply.body) == 22
    assert (await api.get(f"/v1/nodes/{reply.body['uuid']}"))["provision_state"] == "available"
