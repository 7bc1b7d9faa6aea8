"""What the ramdisk calls: lookup, heartbeat, inspection data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiohttp

if TYPE_CHECKING:
    from tests.api.conftest import Api

from ingot.store import nodes as node_store

UUID = "11111111-1111-1111-1111-111111111111"
VERSION = {"X-OpenStack-Ironic-API-Version": "1.115"}
MAC = "52:54:00:12:34:56"
INVENTORY: dict[str, Any] = {"interfaces": [{"mac_address": MAC.upper()}], "cpu": {"count": 4}}


async def waiting_node(api: Api, state: str) -> None:
    await api.node(name="n1", uuid=UUID)
    reply = await api.call("POST", "/v1/ports", {"address": MAC, "node_uuid": UUID})
    assert reply.status == 201
    await api.deps.store.run(node_store.change, UUID, provision_state=state)


async def lookup_from(api: Api, address: str) -> dict[str, Any]:
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(local_addr=(address, 0))) as elsewhere,
        elsewhere.get(f"{api.url}/v1/lookup?node_uuid={UUID}", headers=VERSION) as answer,
    ):
        return (await answer.json())["config"]


async def test_lookup_gives_the_token_to_one_address_until_it_is_proved(api: Api) -> None:
    await waiting_node(api, "wait call-back")
    body = await api.get(f"/v1/lookup?addresses={MAC},aa:bb", version="1.68")
    assert set(body["node"]) == {"uuid", "properties", "instance_info", "driver_internal_info", "links"}
    assert body["config"]["heartbeat_timeout"] == 300
    assert body["config"]["agent_token_required"] is True
    assert len(body["config"]["agent_token"]) >= 32
    again = await api.get(f"/v1/lookup?node_uuid={UUID}")
    assert again["config"]["agent_token"] == body["config"]["agent_token"], "the first answer may have been lost"
    assert (await lookup_from(api, "127.0.0.2"))["agent_token"] == "******"
    proof = {"callback_url": "https://10.0.0.9:9999", "agent_token": again["config"]["agent_token"]}
    assert (await api.call("POST", f"/v1/heartbeat/{UUID}", proof)).status == 202
    proved = await api.get(f"/v1/lookup?node_uuid={UUID}")
    assert proved["config"]["agent_token"] == "******"
    [line] = (await api.get("/v1/nodes/n1/history"))["history"]
    assert line["event"].startswith("Two addresses looked this node up")
    shown = await api.get("/v1/nodes/n1")
    assert shown["driver_internal_info"]["agent_secret_token"] == "******"


async def test_lookup_refusals_do_not_tell_why(api: Api) -> None:
    await waiting_node(api, "active")
    unknown = await api.call("GET", "/v1/lookup?addresses=52:54:00:00:00:99")
    resting = await api.call("GET", f"/v1/lookup?addresses={MAC}")
    assert unknown.status == resting.status == 404
    assert (await api.call("GET", "/v1/lookup")).status == 400
    assert (await api.call("GET", "/v1/lookup?addresses=x")).status == 400
    assert (await api.call("GET", f"/v1/lookup?addresses={MAC}", version="1.21")).status == 404


async def test_heartbeat(api: Api) -> None:
    rung: list[str] = []
    api.deps.bus.listen(rung.append)
    await waiting_node(api, "wait call-back")
    token = (await api.get(f"/v1/lookup?addresses={MAC}"))["config"]["agent_token"]
    path = f"/v1/heartbeat/{UUID}"
    good = {"callback_url": "https://10.0.0.9:9999", "agent_token": token, "agent_version": "1.0"}
    for body, version, status in (
        ({}, "1.115", 400),
        ({**good, "agent_token": "wrong"}, "1.115", 400),
        ({**good, "agent_token": None}, "1.115", 400),
        ({**good, "callback_url": "ftp://x"}, "1.115", 400),
        ({**good, "odd": 1}, "1.115", 400),
        (good, "1.61", 400),
        (good, "1.68", 202),
        ({**good, "callback_url": "https://10.0.0.66:9999"}, "1.68", 400),
    ):
        reply = await api.call("POST", path, body, version=version)
        assert (body, version, reply.status) == (body, version, status), reply.raw
        assert token.encode() not in reply.raw
    assert rung == [UUID]
    internal = (await api.get("/v1/nodes/n1"))["driver_internal_info"]
    assert (internal["agent_url"], internal["agent_version"]) == ("https://10.0.0.9:9999", "1.0")
    events = [entry["event"] for entry in (await api.get("/v1/nodes/n1/history"))["history"]]
    assert events == ["A heartbeat with a wrong agent token was refused."]


async def test_inspection_data_at_exactly_1_1_and_from_1_84(api: Api) -> None:
    await waiting_node(api, "inspect wait")
    path = "/v1/continue_inspection"
    body = {"inventory": INVENTORY, "error": None, "logs": "x"}
    assert (await api.call("POST", path, body, version="1.83")).status == 404
    reply = await api.call("POST", path, body, version=None)
    assert (reply.status, reply.body) == (202, {"uuid": UUID})
    found = await api.get("/v1/nodes/n1/inventory")
    assert found == {"inventory": INVENTORY, "plugin_data": {"error": None, "logs": "x"}}
    reply = await api.call("POST", path, body)
    assert (reply.status, set(reply.body)) == (202, {"node", "config"})
    assert (await api.call("POST", path, {})).status == 400
    many = {**INVENTORY, "interfaces": [{"name": "x", "mac_address": MAC}] * 5000}
    refused = await api.call("POST", path, {"inventory": many})
    assert (refused.status, "5000 interfaces" in str(refused.body)) == (400, True)


async def test_inspection_data_is_refused_for_a_node_nobody_inspects(api: Api) -> None:
    await waiting_node(api, "wait call-back")
    reply = await api.call("POST", "/v1/continue_inspection", {"inventory": INVENTORY})
    assert reply.status == 404
    assert (await api.call("GET", "/v1/nodes/n1/inventory")).status == 404


async def test_agents_calls_are_limited_per_address_and_node(api: Api) -> None:
    await waiting_node(api, "wait call-back")
    path = f"/v1/lookup?addresses={MAC}"
    seen = [(await api.call("GET", path)).status for _ in range(12)]
    assert seen == [200] * 10 + [429] * 2
    assert (await api.call("GET", "/v1/lookup?addresses=52:54:00:00:00:99")).status == 404, "another machine"
    beat = {"callback_url": "https://10.0.0.9:9999", "agent_token": "wrong"}
    replies = [await api.call("POST", f"/v1/heartbeat/{UUID}", beat) for _ in range(40)]
    assert {one.status for one in replies} == {400, 429}
    last = next(one for one in replies if one.status == 429)
    assert int(last.headers["Retry-After"]) >= 1
    assert last.fault["faultstring"].startswith("Too many heartbeats of this node from this address. Try again")
