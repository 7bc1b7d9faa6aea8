"""The Redfish client against the rack's BMCs (sessions, faults, TLS) and against sushy-tools."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from ingot.clients import fence
from ingot.clients.http.client import Reply
from ingot.clients.redfish import complaints, quirks, systems
from ingot.clients.redfish.client import RedfishPool
from ingot.clients.redfish.systems import Boot, BootEnabled, BootMode, PowerState, ResetType
from ingot.clients.redfish.target import AuthType, Target
from ingot.domain import errors
from ingot_rack import fleet as fleets
from ingot_rack.redfish import tls

PASSWORD = "rack-password"


@pytest.fixture
async def pool() -> AsyncIterator[RedfishPool]:
    pool = RedfishPool()
    yield pool
    await pool.close()


@pytest.fixture
async def fleet() -> AsyncIterator[Any]:
    fleet = fleets.Fleet(fleets.Plan(redfish=2, first="127.35.0.1", password=PASSWORD))
    await fleet.start()
    yield fleet
    await fleet.close()


def target(fleet: Any, index: int = 0, **changes: Any) -> Target:
    address = list(fleet.addresses.values())[index]
    values: dict[str, Any] = {"username": "admin", "password": PASSWORD} | changes
    return Target(f"http://{address}:{fleet.ports['redfish']}", **values)


def bmc(fleet: Any, index: int = 0) -> Any:
    return list(fleet.bmcs.values())[index]


@pytest.mark.parametrize("auth", [AuthType.AUTO, AuthType.SESSION, AuthType.BASIC])
async def test_power(pool: RedfishPool, fleet: Any, auth: AuthType) -> None:
    one = target(fleet, auth_type=auth)
    assert await systems.power_state(pool, one) is PowerState.OFF
    assert await systems.reset(pool, one, ResetType.ON) is ResetType.ON
    assert await systems.power_state(pool, one) is PowerState.ON
    await systems.reset(pool, one, ResetType.FORCE_RESTART)
    await systems.reset(pool, one, ResetType.FORCE_OFF)
    assert await systems.power_state(pool, one) is PowerState.OFF


async def test_boot(pool: RedfishPool, fleet: Any) -> None:
    one = target(fleet)
    for wanted in (
        Boot("Pxe", BootEnabled.ONCE, BootMode.UEFI),
        Boot("Hdd", BootEnabled.CONTINUOUS, BootMode.UEFI),
    ):
        await systems.set_boot(pool, one, wanted)
        assert await systems.get_boot(pool, one) == wanted
    await systems.set_boot(pool, one, Boot(enabled=BootEnabled.DISABLED))
    assert (await systems.get_boot(pool, one)).enabled is BootEnabled.DISABLED
    with pytest.raises(errors.NotSupported, match="it offers"):
        await systems.set_boot(pool, one, Boot("SDCard"))


async def test_wrong_credentials(pool: RedfishPool, fleet: Any) -> None:
    for auth in AuthType:  # "none" sends no login at all
        with pytest.raises(errors.AccessDenied) as caught:
            await systems.power_state(pool, target(fleet, password="not-this-one", auth_type=auth))
        assert "not-this-one" not in caught.value.sentence()


async def test_lost_session_is_opened_again(pool: RedfishPool, fleet: Any) -> None:
    one = target(fleet)
    await systems.power_state(pool, one)
    for table in fleet._servers[0]._sessions.values():
        table._table.clear()
    assert await systems.power_state(pool, one) is PowerState.OFF


async def test_session_is_deleted_at_close(fleet: Any) -> None:
    pool = RedfishPool()
    await systems.power_state(pool, target(fleet))
    tables = list(fleet._servers[0]._sessions.values())
    assert sum(len(table._table) for table in tables) == 1
    await pool.close()
    assert sum(len(table._table) for table in tables) == 0


async def test_a_full_session_table_is_gone_round_and_tried_again(pool: RedfishPool, fleet: Any) -> None:
    bmc(fleet).faults.sessions_full = True
    one = target(fleet)
    assert await asyncio.wait_for(systems.power_state(pool, one), 5) is PowerState.OFF
    bmc(fleet).faults.sessions_full = False
    await systems.power_state(pool, one)
    tables = list(fleet._servers[0]._sessions.values())
    assert not any(table._table for table in tables), "basic stands in for some minutes"
    service = pool._services[one.origin]
    service._basic_until = 0.0
    await systems.power_state(pool, one)
    assert sum(len(table._table) for table in tables) == 1


async def test_nodes_of_one_service_share_its_session(pool: RedfishPool, fleet: Any) -> None:
    front, named = target(fleet), target(fleet, system_id="1")
    await systems.power_state(pool, front)
    before = fleet.messages()["redfish"]
    for one in (named, front, named):
        await systems.power_state(pool, one)
    assert fleet.messages()["redfish"] - before == 3 + 1, "a read each, and the service root once; no login"


async def test_who_lost_its_lease_during_the_login_sends_nothing_more(pool: RedfishPool, fleet: Any) -> None:
    async def question() -> None:
        if fleet.sessions()["all"]:
            raise errors.LostLease

    with fence.asking(question), pytest.raises(errors.LostLease):
        await pool.post(target(fleet), "/redfish/v1/Systems/1/Actions/ComputerSystem.Reset", {"ResetType": "On"})
    assert await systems.power_state(pool, target(fleet)) is PowerState.OFF


async def test_basic_needs_no_session_slot(pool: RedfishPool, fleet: Any) -> None:
    bmc(fleet).faults.sessions_full = True
    waiting = asyncio.create_task(systems.power_state(pool, target(fleet, auth_type=AuthType.BASIC)))
    assert await asyncio.wait_for(waiting, 5) is PowerState.OFF


async def test_busy_and_broken_connections(pool: RedfishPool, fleet: Any) -> None:
    one = target(fleet)
    await systems.power_state(pool, one)
    bmc(fleet).faults.unavailable_next = 2
    assert await systems.power_state(pool, one) is PowerState.OFF
    bmc(fleet).faults.reset_next = 2
    assert await systems.power_state(pool, one) is PowerState.OFF
    assert bmc(fleet).faults.unavailable_next == bmc(fleet).faults.reset_next == 0


async def test_nobody_there(pool: RedfishPool) -> None:
    started = time.monotonic()
    with pytest.raises(errors.Unreachable, match=r"127\.0\.0\.1:1"):
        await systems.power_state(pool, Target("http://127.0.0.1:1", username="a", password="hush"))
    assert time.monotonic() - started < 5


async def test_unknown_system(pool: RedfishPool, fleet: Any) -> None:
    with pytest.raises(errors.NotFound, match="404"):
        await systems.power_state(pool, target(fleet, system_id="nope"))


@pytest.fixture
async def tls_rack(tmp_path: Path) -> AsyncIterator[tuple[str, Path]]:
    context, pem = tls.context(["127.0.0.1"])

    async def root(_: web.Request) -> web.Response:
        return web.json_response({"Id": "RootService"})

    app = web.Application()
    app.router.add_get("/redfish/v1/", root)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    authority = tmp_path / "ca.pem"
    authority.write_bytes(pem)
    yield f"https://127.0.0.1:{runner.addresses[0][1]}", authority
    await runner.cleanup()


async def test_tls(pool: RedfishPool, tls_rack: tuple[str, Path], tmp_path: Path) -> None:
    address, authority = tls_rack
    with pytest.raises(errors.Misbehaved, match="not trusted") as caught:
        await pool.get(Target(address), "/redfish/v1/")
    assert "verify_ca" in caught.value.sentence()
    for verify in (str(authority), False):
        assert await get_once(Target(address, verify_ca=verify)) == {"Id": "RootService"}
    with pytest.raises(errors.Invalid, match="CA file"):
        await pool.get(Target(address, verify_ca=str(tmp_path / "missing.pem")), "/redfish/v1/")


async def get_once(one: Target) -> object:
    pool = RedfishPool()
    try:
        return await pool.get(one, "/redfish/v1/")
    finally:
        await pool.close()


@given(st.binary(max_size=300) | st.from_regex(r'\{"error": *(\{.*\}|\[.*\]|null|7)\}').map(str.encode))
def test_any_error_body_gives_a_sentence(body: bytes) -> None:
    error = complaints.failure(Reply(500, {}, body, "BMC x"), "GET /")
    assert error.message.startswith("BMC x answered 500 to GET /")


@pytest.mark.parametrize("address", ["", "ftp://x", "https://", "https://u:p@host", "http://host:0", "http://[::1"])
def test_impossible_addresses(address: str) -> None:
    with pytest.raises(errors.Invalid):
        Target(address)


def test_addresses() -> None:
    assert Target("bmc.example").origin == "https://bmc.example"
    assert Target("http://bmc:8000/prefix/redfish/v1").root == "/prefix/redfish/v1/"
    assert "hush" not in repr(Target("bmc", username="a", password="hush"))
    assert quirks.find(None) == quirks.find("Dell") == quirks.NONE


@pytest.mark.peer
async def test_sushy_tools(pool: RedfishPool, sushy_url: str) -> None:
    everything = await pool.get(Target(sushy_url), "/redfish/v1/Systems")
    members: Any = everything["Members"]
    one = Target(sushy_url, members[0]["@odata.id"], "admin", "password")
    for action, state in ((ResetType.FORCE_OFF, PowerState.OFF), (ResetType.ON, PowerState.ON)):
        await systems.reset(pool, one, action)
        async with asyncio.timeout(40):
            while await systems.power_state(pool, one) is not state:
                await asyncio.sleep(0.1)
    await systems.set_boot(pool, one, Boot("Pxe", BootEnabled.CONTINUOUS, BootMode.UEFI))
    found = await systems.get_boot(pool, one)
    assert (found.target, found.mode) == ("Pxe", BootMode.UEFI)
