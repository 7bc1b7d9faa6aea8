"""The Redfish client against a service with difficult manners: what is wrong, late, or without an end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from ingot.clients.redfish import bios, client, complaints, logs, media, systems, tasks
from ingot.clients.redfish.client import RedfishPool
from ingot.clients.redfish.systems import Boot, BootEnabled, PowerState, ResetType
from ingot.clients.redfish.target import Target
from ingot.domain import errors


@pytest.fixture
async def pool() -> AsyncIterator[RedfishPool]:
    pool = RedfishPool()
    yield pool
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


@pytest.mark.parametrize("host", ["", "http://bmc-7.example"])
async def test_a_task_that_was_begun_is_found_by_where_its_order_went(
    pool: RedfishPool, odd: tuple[Odd, Target], host: str
) -> None:
    """Some services tell URLs, by a host name of their own; a task of another server is none of theirs."""
    service, one = odd
    service.give("GET", one.root, web.json_response({"Tasks": {"@odata.id": "/tasks"}}))
    service.give("GET", "/tasks", web.json_response({"Tasks": {"@odata.id": "/tasks/all"}}))
    members = [f"{one.origin}/tasks/1", "http://192.0.2.9/tasks/2", "//192.0.2.9/tasks/3", "/tasks/4", "/tasks/5"]
    all_of_them: dict[str, Any] = {"Members": [{"@odata.id": member} for member in members]}
    service.give("GET", "/tasks/all", web.json_response(all_of_them))
    for number, order in ((1, "/volumes"), (4, "/reset"), (5, "/volumes")):
        task = {"Payload": {"TargetUri": host + order}, "TaskMonitor": f"{one.origin}/monitors/{number}"}
        service.give("GET", f"/tasks/{number}", web.json_response(task))
    assert await tasks.list_paths(pool, one) == ["/tasks/1", "/tasks/4", "/tasks/5"]
    assert await tasks.find_begun(pool, one, ["/tasks/1"], "/volumes") == "/monitors/5"
    assert await tasks.find_begun(pool, one, [], "/bios") is None
    elsewhere = {"Payload": {"TargetUri": "/bios"}, "TaskMonitor": "http://192.0.2.9/monitors/4"}
    service.give("GET", "/tasks/4", web.json_response(elsewhere))
    assert await tasks.find_begun(pool, one, [], "/bios") == "/tasks/4"


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


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"PowerState": 7}', b"\xff\xfe", b"[" * 5000])
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


async def test_a_collection_is_read_over_all_its_pages(pool: RedfishPool, odd: tuple[Odd, Target]) -> None:
    service, one = odd
    service.give("GET", "/redfish/v1/", web.json_response({}))
    first = {"Members": [{"@odata.id": "/c/1"}], "Members@odata.nextLink": "/c/more"}
    service.give("GET", "/c", web.json_response(first))
    service.give("GET", "/c/more", web.json_response({"Members": [{"@odata.id": "/c/2", "Id": "2"}]}))
    service.give("GET", "/c/1", web.json_response({"Id": "1"}))
    found = await pool.collect(one, "/c")
    assert [(path, resource["Id"]) for path, resource in found] == [("/c/1", "1"), ("/c/2", "2")]


async def test_a_collection_without_an_end_is_read_in_bounds(pool: RedfishPool, odd: tuple[Odd, Target]) -> None:
    service, one = odd
    page = {"Members": [{"@odata.id": "/c/1"}] * 700, "Members@odata.nextLink": "/c"}
    service.give("GET", "/c", web.json_response(page))
    async with asyncio.timeout(30):
        assert len(await pool.list_members(one, "/c")) == client.MOST_MEMBERS


def test_a_long_complaint_is_read_in_the_time_of_its_length() -> None:
    began = time.process_time()
    assert complaints.without_urls("x" * 200_000 + " http://a:b@host/c") == "x" * 200_000 + " http://host/..."
    assert time.process_time() - began < 15


async def test_a_url_that_a_bmc_repeats_is_not_shown(pool: RedfishPool, odd: tuple[Odd, Target]) -> None:
    service, one = odd
    url = "https://me:hush@images.example:8080/pass-1234/boot.iso?key=5678"
    drive = {"MediaTypes": ["CD"], "Inserted": False, "Actions": {"#VirtualMedia.InsertMedia": {"target": "/m/in"}}}
    service.give("GET", "/redfish/v1/", web.json_response({}))
    service.give("GET", "/s/1", web.json_response({"VirtualMedia": {"@odata.id": "/m"}}))
    service.give("GET", "/m", web.json_response({"Members": [{"@odata.id": "/m/1"}]}))
    service.give("GET", "/m/1", web.json_response(drive))
    said = {"error": {"code": "Base.1.0.General", "message": f"Unable to mount '{url}', sorry."}}
    service.give("POST", "/m/in", web.json_response(said, status=400))
    with pytest.raises(errors.Misbehaved) as caught:
        await media.insert(pool, one, (media.Kind.CD,), url)
    assert "Unable to mount 'https://images.example:8080/...', sorry." in caught.value.sentence()


async def test_a_full_disk_is_ours_not_the_servers(pool: RedfishPool, odd: tuple[Odd, Target]) -> None:
    service, one = odd
    service.give("GET", "/image", web.Response(body=bytes(4096)))
    with pytest.raises(errors.IngotError, match="No space is left on this conductor's disk") as caught:
        await pool.download(f"{one.origin}/image", Path("/dev/full"), 10)
    assert not isinstance(caught.value, errors.Unreachable)
