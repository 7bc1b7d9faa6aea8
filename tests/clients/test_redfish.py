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
from ingot.clients.redfish import bios, complaints, logs, quirks, systems
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


class Odd:
    """A service with the manners of difficult firmware, told by ``answers``: (method, path) -> responses in turn."""

    def __init__(self) -> None:
        self.answers: dict[tuple[str, str], list[web.Response]] = {}
        self.seen: list[tuple[str, str, dict[str, str], Any]] = []

    async def serve(self, request: web.Request) -> web.Response:
        body = await request.json() if request.can_read_body else None
        self.seen.append((request.method, request.path, dict(request.headers), body))
        turn = self.answers.get((request.method, request.path))
        if not turn:
            return web.json_response({"error": {"code": "Base.1.0.NoSuch", "message": "No such thing."}}, status=404)
        answer = turn.pop(0) if len(turn) > 1 else turn[0]
        return web.Response(status=answer.status, body=answer.body, headers=answer.headers)

    def give(self, method: str, path: str, *answers: web.Response) -> None:
        self.answers[method, path] = list(answers)


@pytest.fixture
async def odd() -> AsyncIterator[tuple[Odd, Target]]:
    service = Odd()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", service.serve)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield service, Target(f"http://127.0.0.1:{runner.addresses[0][1]}", "/s/1")
    await runner.cleanup()


SYSTEM = {
    "PowerState": "On",
    "Manufacturer": "Supermicro",
    "Actions": {"#ComputerSystem.Reset": {"target": "/s/1/reset", "@Redfish.ActionInfo": "/s/1/info"}},
    "Boot": {"BootSourceOverrideTarget@Redfish.AllowableValues": ["Pxe", "Cd", "UsbCd"]},
}


async def test_action_info_and_substitute(pool: RedfishPool, odd: tuple[Odd, Target]) -> None:
    service, one = odd
    service.give("GET", "/s/1", web.json_response(SYSTEM))
    info = {"Parameters": [{"Name": "ResetType", "AllowableValues": ["ForceOff", "PowerCycle"]}]}
    service.give("GET", "/s/1/info", web.json_response(info))
    service.give("POST", "/s/1/reset", web.Response(status=204))
    assert await systems.reset(pool, one, ResetType.FORCE_RESTART) is ResetType.POWER_CYCLE
    assert service.seen[-1][3] == {"ResetType": "PowerCycle"}
    with pytest.raises(errors.NotSupported, match="ForceOff, PowerCycle"):
        await systems.reset(pool, one, ResetType.NMI)


async def test_reset_as_a_failing_task(pool: RedfishPool, odd: tuple[Odd, Target]) -> None:
    service, one = odd
    service.give("GET", "/s/1", web.json_response(SYSTEM))
    service.give("GET", "/s/1/info", web.json_response({}))
    service.give("POST", "/s/1/reset", web.Response(status=202, headers={"Location": "/tasks/7"}))
    running, failed = {"TaskState": "Running"}, {"TaskState": "Exception"}
    service.give("GET", "/tasks/7", web.json_response(running, status=202), web.json_response(failed))
    with pytest.raises(errors.Misbehaved, match="Exception"):
        await systems.reset(pool, one, ResetType.FORCE_OFF)


async def test_etags(pool: RedfishPool, odd: tuple[Odd, Target]) -> None:
    """Weak, then strong, then none: until the service likes what it gave us."""
    service, one = odd
    service.give("GET", "/s/1", web.json_response(SYSTEM, headers={"ETag": 'W/"5"'}))
    refused = web.Response(status=412)
    service.give("PATCH", "/s/1", refused, refused, web.Response(status=204))
    await systems.set_boot(pool, one, Boot("Cd", BootEnabled.ONCE))
    patches = [(headers.get("If-Match"), body) for method, _, headers, body in service.seen if method == "PATCH"]
    change = {"Boot": {"BootSourceOverrideTarget": "UsbCd", "BootSourceOverrideEnabled": "Once"}}
    assert patches == [('W/"5"', change), ('"5"', change), (None, change)]


async def test_a_boot_override_may_show_late(pool: RedfishPool, odd: tuple[Odd, Target]) -> None:
    service, one = odd
    shown = {**SYSTEM, "Boot": {"BootSourceOverrideTarget": "Pxe"}}
    late = [web.json_response({**SYSTEM, "Boot": {"BootSourceOverrideTarget": "None"}})] * len(systems.CHECK_PAUSES)
    service.give("GET", "/s/1", web.json_response(SYSTEM), *late, web.json_response(shown))
    service.give("PATCH", "/s/1", web.Response(status=204))
    await systems.set_boot(pool, one, Boot("Pxe", BootEnabled.ONCE))


@pytest.mark.parametrize(("members", "count"), [([], 0), ([{"Id": "1"}], logs.MOST_ENTRIES), ([{}] * 3000, 2000)])
async def test_an_event_log_without_an_end_is_read_in_bounds(
    pool: RedfishPool, odd: tuple[Odd, Target], members: list[dict[str, str]], count: int
) -> None:
    service, one = odd
    service.give("GET", "/s/1", web.json_response({"LogServices": {"@odata.id": "/logs"}}))
    service.give("GET", "/redfish/v1/", web.json_response({}))
    service.give("GET", "/logs", web.json_response({"Members": [{"@odata.id": "/logs/sel"}]}))
    service.give("GET", "/logs/sel", web.json_response({"Id": "sel", "Entries": {"@odata.id": "/logs/sel/1"}}))
    page = {"Members": members, "Members@odata.nextLink": "/logs/sel/1"}
    service.give("GET", "/logs/sel/1", web.json_response(page))
    async with asyncio.timeout(30):
        assert len(await logs.read(pool, one)) == count


async def test_a_bios_setting_of_another_type_is_refused_without_a_registry(
    pool: RedfishPool, odd: tuple[Odd, Target]
) -> None:
    service, one = odd
    service.give("GET", "/s/1", web.json_response({"Bios": {"@odata.id": "/s/1/bios"}}))
    service.give("GET", "/s/1/bios", web.json_response({"Attributes": {"Cores": 8}}))
    with pytest.raises(errors.Invalid, match='A BIOS setting that is 8 cannot be "many"'):
        await bios.change(pool, one, {"Cores": "many"})


async def test_settings_object(pool: RedfishPool, odd: tuple[Odd, Target]) -> None:
    service, one = odd
    settings = {"@Redfish.Settings": {"SettingsObject": {"@odata.id": "/s/1/sd"}}}
    service.give("GET", "/s/1", web.json_response(SYSTEM | settings))
    service.give("GET", "/s/1/sd", web.json_response({"Boot": {"BootSourceOverrideTarget": "None"}}))
    service.give("PATCH", "/s/1/sd", web.Response(status=204))
    await systems.set_boot(pool, one, Boot("Pxe"))
    assert service.seen[-1][:2] == ("PATCH", "/s/1/sd")


async def test_refusal_is_a_sentence(pool: RedfishPool, odd: tuple[Odd, Target]) -> None:
    service, one = odd
    infos = [{"MessageId": "Base.1.8.PropertyValueNotInList", "Message": "The value Foo is not in the list."}]
    service.give("GET", "/s/1", web.json_response({"error": {"@Message.ExtendedInfo": infos}}, status=400))
    with pytest.raises(errors.Misbehaved, match="answered 400 to GET /s/1: The value Foo is not in the list"):
        await systems.power_state(pool, one)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"PowerState": 7}', b"\xff\xfe", b"{" * 5000])
async def test_nonsense(pool: RedfishPool, odd: tuple[Odd, Target], body: bytes) -> None:
    service, one = odd
    service.give("GET", "/s/1", web.Response(body=body))
    with pytest.raises(errors.Misbehaved):
        await systems.power_state(pool, one)


async def test_token_does_not_follow_a_redirect_elsewhere(pool: RedfishPool, odd: tuple[Odd, Target]) -> None:
    service, one = odd
    service.give("GET", "/s/1", web.Response(status=302, headers={"Location": "http://127.0.0.2:1/s/1"}))
    with pytest.raises(errors.Misbehaved, match="redirects to another server"):
        await systems.power_state(pool, one)
    service.give("GET", "/s/1", web.Response(status=302, headers={"Location": "/s/1/"}))
    service.give("GET", "/s/1/", web.json_response(SYSTEM))
    assert await systems.power_state(pool, one) is PowerState.ON


@pytest.mark.parametrize("path", [".example.org/s/1", "@127.0.0.2:1/s/1", "http://127.0.0.2:1/s/1", "s/1"])
async def test_token_does_not_follow_a_link_elsewhere(pool: RedfishPool, odd: tuple[Odd, Target], path: str) -> None:
    service, one = odd
    service.give("GET", "/redfish/v1/", web.json_response({"Systems": {"@odata.id": "/s"}}))
    service.give("GET", "/s", web.json_response({"Members": [{"@odata.id": path}]}))
    with pytest.raises(errors.Misbehaved, match="names a resource by what is no path"):
        await systems.power_state(pool, Target(one.address))


async def test_locations_that_are_none(pool: RedfishPool, odd: tuple[Odd, Target]) -> None:
    service, one = odd
    nowhere = {"Location": "http://["}
    service.give("GET", "/s/1", web.Response(status=302, headers=nowhere))
    with pytest.raises(errors.Misbehaved, match="redirects to what is no address"):
        await systems.power_state(pool, one)
    service.give("GET", "/s/1", web.json_response(SYSTEM))
    service.give("GET", "/s/1/info", web.json_response({}))
    service.give("POST", "/s/1/reset", web.Response(status=202, headers=nowhere))
    assert await systems.reset(pool, one, ResetType.ON) is ResetType.ON, "a task that cannot be followed"


async def test_several_systems(pool: RedfishPool, odd: tuple[Odd, Target]) -> None:
    service, one = odd
    service.give("GET", "/redfish/v1/", web.json_response({"Systems": {"@odata.id": "/s"}}))
    service.give("GET", "/s", web.json_response({"Members": [{"@odata.id": "/s/1"}, {"@odata.id": "/s/2"}]}))
    with pytest.raises(errors.Invalid, match="/s/1, /s/2"):
        await systems.power_state(pool, Target(one.address))


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
