"""The Redfish BMC: the raw protocol, and sushy as the independent client."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest

import programs
from ingot_rack import bmc, errors, hardware, simulated
from ingot_rack.hardware import BootDevice, BootMode, BootOverride, PowerState
from ingot_rack.redfish import server as redfish
from ingot_rack.redfish import storage, tls, tree
from ingot_rack.redfish.shapes import SHAPES
from rack.tools import PASSWORD, USER, run

BASIC = {"Authorization": "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()}
RESET = f"{tree.SYSTEM}/Actions/ComputerSystem.Reset"
INSERT = f"{tree.MANAGER}/VirtualMedia/Cd/Actions/VirtualMedia.InsertMedia"
EJECT = f"{tree.MANAGER}/VirtualMedia/Cd/Actions/VirtualMedia.EjectMedia"


async def ask(
    url: str, method: str, path: str, body: object = None, *, headers: dict[str, str] | None = None, login: bool = True
) -> tuple[int, dict[str, Any], Mapping[str, str]]:
    async with (
        aiohttp.ClientSession(headers=BASIC if login else None) as client,
        client.request(method, url + path, json=body, headers=headers) as answer,
    ):
        content = await answer.json() if answer.content_length else {}
        return answer.status, content, answer.headers


def message(body: dict[str, object]) -> str:
    error = body["error"]
    assert isinstance(error, dict)
    info = error["@Message.ExtendedInfo"][0]
    assert set(info) >= {"MessageId", "Message", "Severity", "Resolution"}
    return str(error["code"]).rsplit(".", 1)[-1]


async def test_only_the_root_is_open(redfish_url: str) -> None:
    status, body, headers = await ask(redfish_url, "GET", "/redfish/v1/", login=False)
    assert (status, headers["OData-Version"]) == (200, "4.0")
    assert body["Systems"] == {"@odata.id": "/redfish/v1/Systems"}
    status, body, headers = await ask(redfish_url, "GET", tree.SYSTEM, login=False)
    assert (status, message(body), "WWW-Authenticate" in headers) == (401, "NoValidSession", True)


async def test_every_link_is_served(redfish_url: str) -> None:
    seen: set[str] = set()
    todo = ["/redfish/v1/"]
    while todo:
        path = todo.pop().partition("#")[0]
        if path in seen:
            continue
        seen.add(path)
        status, body, _ = await ask(redfish_url, "GET", path)
        assert status == 200, path
        assert body["@odata.id"] == path
        todo += links(body)
    assert len(seen) > 20


def links(value: object) -> list[str]:
    if isinstance(value, dict):
        own = [value["@odata.id"]] if "@odata.id" in value else []
        return own + [one for inner in value.values() for one in links(inner)]
    return [one for inner in value for one in links(inner)] if isinstance(value, list) else []


async def test_sessions(redfish_url: str) -> None:
    path = "/redfish/v1/SessionService/Sessions"
    login = {"UserName": USER, "Password": PASSWORD}
    status, _, headers = await ask(redfish_url, "POST", path, login, login=False)
    token = {"X-Auth-Token": headers["X-Auth-Token"]}
    assert status == 201
    assert (await ask(redfish_url, "GET", tree.SYSTEM, headers=token, login=False))[0] == 200
    assert (await ask(redfish_url, "DELETE", headers["Location"], headers=token, login=False))[0] == 204
    assert (await ask(redfish_url, "GET", tree.SYSTEM, headers=token, login=False))[0] == 401
    status, _, _ = await ask(redfish_url, "POST", path, {**login, "Password": "wrong"}, login=False)
    assert status == 401
    status, body, _ = await ask(redfish_url, "POST", path, {"UserName": USER}, login=False)
    assert (status, message(body)) == (400, "PropertyMissing")


async def test_session_table_is_finite(redfish_url: str, front: bmc.Bmc) -> None:
    path = "/redfish/v1/SessionService/Sessions"
    login = {"UserName": USER, "Password": PASSWORD}
    statuses = [(await ask(redfish_url, "POST", path, login, login=False))[0] for _ in range(17)]
    assert statuses == [201] * 16 + [503]
    front.faults.lockout_after = 1
    assert (await ask(redfish_url, "POST", path, {**login, "Password": "x"}, login=False))[0] == 401
    assert (await ask(redfish_url, "GET", tree.SYSTEM))[0] == 401, "locked out"


@pytest.mark.parametrize(
    ("kind", "before", "status", "after"),
    [
        ("On", PowerState.OFF, 204, PowerState.ON),
        ("ForceOn", PowerState.OFF, 204, PowerState.ON),
        ("PushPowerButton", PowerState.OFF, 204, PowerState.ON),
        ("PushPowerButton", PowerState.ON, 204, PowerState.OFF),
        ("ForceOff", PowerState.ON, 204, PowerState.OFF),
        ("ForceOff", PowerState.OFF, 204, PowerState.OFF),
        ("GracefulShutdown", PowerState.ON, 204, PowerState.OFF),
        ("GracefulRestart", PowerState.ON, 204, PowerState.ON),
        ("ForceRestart", PowerState.ON, 204, PowerState.ON),
        ("ForceRestart", PowerState.OFF, 409, PowerState.OFF),
        ("PowerCycle", PowerState.ON, 204, PowerState.ON),
        ("Nmi", PowerState.ON, 204, PowerState.ON),
        ("Nmi", PowerState.OFF, 409, PowerState.OFF),
        ("Sleep", PowerState.ON, 400, PowerState.ON),
    ],
)
async def test_reset_types(
    redfish_url: str, front: bmc.Bmc, kind: str, before: PowerState, status: int, after: PowerState
) -> None:
    if before is PowerState.ON:
        await ask(redfish_url, "POST", RESET, {"ResetType": "On"})
    assert (await ask(redfish_url, "POST", RESET, {"ResetType": kind}))[0] == status
    assert front.hardware.power is after


async def test_boot_override_and_etags(redfish_url: str, front: bmc.Bmc) -> None:
    _, body, headers = await ask(redfish_url, "GET", tree.SYSTEM)
    tag = {"If-Match": headers["ETag"]}
    wanted = {"Boot": {"BootSourceOverrideTarget": "Pxe", "BootSourceOverrideEnabled": "Once"}}
    status, body, _ = await ask(redfish_url, "PATCH", tree.SYSTEM, wanted, headers=tag)
    assert status == 200
    assert body["Boot"]["BootSourceOverrideTarget"] == "Pxe"
    assert front.hardware.boot == BootOverride(BootDevice.NETWORK, persistent=False, mode=BootMode.UEFI)
    status, body, _ = await ask(redfish_url, "PATCH", tree.SYSTEM, wanted, headers=tag)
    assert (status, message(body)) == (412, "PreconditionFailed")
    await ask(redfish_url, "POST", RESET, {"ResetType": "On"})
    assert front.hardware.boot == BootOverride()
    lasting = {"Boot": {"BootSourceOverrideTarget": "Hdd", "BootSourceOverrideEnabled": "Continuous"}}
    await ask(redfish_url, "PATCH", tree.SYSTEM, lasting)
    await ask(redfish_url, "POST", RESET, {"ResetType": "ForceRestart"})
    assert front.hardware.boot.persistent


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        ({"Boot": {"BootSourceOverrideTarget": "Tape"}}, 400, "PropertyValueNotInList"),
        ({"Boot": {"BootSourceOverrideMode": "Legacy"}}, 400, "PropertyValueNotInList"),
        ({"Boot": {"Nonsense": 1}}, 400, "PropertyUnknown"),
        ({"Boot": 7}, 400, "PropertyValueTypeError"),
        ({"PowerState": "On"}, 400, "PropertyNotWritable"),
        ({"Color": "red"}, 400, "PropertyUnknown"),
        ([1], 400, "MalformedJSON"),
    ],
)
async def test_bad_patches_change_nothing(
    redfish_url: str, front: bmc.Bmc, body: object, status: int, reason: str
) -> None:
    answered, told, _ = await ask(redfish_url, "PATCH", tree.SYSTEM, body)
    assert (answered, message(told)) == (status, reason)
    assert front.hardware.boot == BootOverride()


async def test_unknown_paths_and_methods(redfish_url: str) -> None:
    status, body, _ = await ask(redfish_url, "GET", "/redfish/v1/Systems/2")
    assert (status, message(body)) == (404, "ResourceMissingAtURI")
    status, body, _ = await ask(redfish_url, "DELETE", tree.SYSTEM)
    assert (status, message(body)) == (405, "OperationNotAllowed")


async def test_virtual_media_is_fetched_and_removed(redfish_url: str, front: bmc.Bmc, tmp_path: Path) -> None:
    image = tmp_path / "x.iso"
    image.write_bytes(b"iso content" * 1000)

    async def serve(request: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
        del request
        return aiohttp.web.FileResponse(image)

    site = aiohttp.web.Application()
    site.router.add_get("/x.iso", serve)
    runner = aiohttp.web.AppRunner(site)
    await runner.setup()
    await aiohttp.web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/x.iso"
    assert (await ask(redfish_url, "POST", INSERT, {"Image": url}))[0] == 204
    assert front.hardware.media is not None
    copy = front.hardware.media
    assert copy.read_bytes() == image.read_bytes()
    status, body, _ = await ask(redfish_url, "GET", f"{tree.SYSTEM}/VirtualMedia/Cd")
    assert (body["Inserted"], body["Image"]) == (True, url)
    assert (await ask(redfish_url, "POST", INSERT, {"Image": url}))[0] == 409
    assert (await ask(redfish_url, "POST", EJECT, {}))[0] == 204
    assert front.hardware.media is None
    assert not copy.exists()
    status, body, _ = await ask(redfish_url, "POST", INSERT, {"Image": url + "x"})
    assert (status, message(body)) == (400, "CouldNotEstablishConnection")
    assert list((tmp_path / "media").iterdir()) == []
    await runner.cleanup()


class Driveless(simulated.Simulated):
    """A machine whose CD drive refuses everything."""

    async def insert_media(self, image: Path) -> None:
        raise errors.RackError(f"{image} does not fit")

    async def eject_media(self) -> None:
        raise errors.RackError("It is stuck")


async def test_an_image_that_the_drive_refuses_is_not_kept(facts: hardware.Facts, tmp_path: Path) -> None:
    fetched = tmp_path / "media"
    server = redfish.Server({"127.0.0.1": tree.Front(bmc.Bmc(Driveless(facts), USER, PASSWORD), fetched)}, 0)
    url = f"http://127.0.0.1:{await server.start()}"
    for path, body in ((INSERT, {"Image": f"{url}/redfish/v1/"}), (EJECT, {})):
        status, told, _ = await ask(url, "POST", path, body)
        assert (status, message(told)) == (500, "InternalError")
    assert list(fetched.iterdir()) == []
    await server.close()


async def test_a_drive_is_only_where_it_is_shown(front: bmc.Bmc) -> None:
    server = redfish.Server({"127.0.0.1": tree.Front(front, shape=SHAPES["ami"])}, 0)
    url = f"http://127.0.0.1:{await server.start()}"
    body = {"Image": "http://192.0.2.1/x.iso", "TransferMethod": "Stream"}
    for parent, status in ((tree.SYSTEM, 404), (tree.MANAGER, 204)):
        path = f"{parent}/VirtualMedia/Cd/Actions/VirtualMedia.InsertMedia"
        assert (await ask(url, "POST", path, body))[0] == status
    await server.close()


@pytest.mark.parametrize(
    "wanted",
    [
        {"CapacityBytes": -1},
        {"CapacityBytes": (1 << 30) + 1},
        {"Links": {"Drives": [{"@odata.id": f"{storage.CONTROLLER}/Drives/1"}] * 2}},
        {"Links": {"Drives": [{"@odata.id": f"{storage.CONTROLLER}/Drives/2"}]}},
    ],
)
async def test_no_volume_has_more_than_its_disks(redfish_url: str, wanted: dict[str, object]) -> None:
    drives = {"Links": {"Drives": [{"@odata.id": f"{storage.CONTROLLER}/Drives/1"}]}}
    body = {"RAIDType": "RAID0", **drives, **wanted}
    status, told, _ = await ask(redfish_url, "POST", storage.VOLUMES, body)
    assert (status, message(told)) == (400, "PropertyValueNotInList")
    assert (await ask(redfish_url, "POST", storage.VOLUMES, {"RAIDType": "RAID0", **drives}))[0] == 201


async def test_volumes_that_wait_for_a_start_have_their_bytes_already(front: bmc.Bmc) -> None:
    shape = dataclasses.replace(SHAPES["plain"], volumes_on_reset=True)
    server = redfish.Server({"127.0.0.1": tree.Front(front, shape=shape)}, 0)
    url = f"http://127.0.0.1:{await server.start()}"
    body = {"RAIDType": "RAID0", "Links": {"Drives": [{"@odata.id": f"{storage.CONTROLLER}/Drives/1"}]}}
    half = {**body, "CapacityBytes": front.hardware.facts.disks[0].size // 2, "Name": "half"}
    assert [(await ask(url, "POST", storage.VOLUMES, half))[0] for _ in range(3)] == [202, 202, 400]
    await server.close()


async def test_a_drive_takes_one_of_two_images_at_once(facts: hardware.Facts, tmp_path: Path) -> None:
    server = redfish.Server({"127.0.0.1": tree.Front(bmc.Bmc(simulated.Simulated(facts), USER, PASSWORD), tmp_path)}, 0)
    url = f"http://127.0.0.1:{await server.start()}"
    image = {"Image": f"{url}/redfish/v1/"}
    found = await asyncio.gather(*(ask(url, "POST", INSERT, image) for _ in range(3)))
    assert sorted(status for status, _, _ in found) == [204, 409, 409]
    assert len(list(tmp_path.iterdir())) == 1
    await server.close()


async def test_unavailable_reset_and_lying(redfish_url: str, front: bmc.Bmc) -> None:
    front.faults.unavailable_next = 1
    status, body, headers = await ask(redfish_url, "GET", tree.SYSTEM)
    assert (status, message(body), headers["Retry-After"]) == (503, "ServiceTemporarilyUnavailable", "1")
    front.faults.reset_next = 1
    with pytest.raises(aiohttp.ClientError):
        await ask(redfish_url, "POST", RESET, {"ResetType": "On"})
    assert front.hardware.power is PowerState.ON, "carried out, but the answer was lost"
    front.faults.power_says = "off"
    _, body, _ = await ask(redfish_url, "GET", tree.SYSTEM)
    assert (body["PowerState"], front.hardware.power) == ("Off", PowerState.ON)


async def test_slow_power_shows_the_transition(redfish_url: str, front: bmc.Bmc) -> None:
    front.faults.power_seconds = 30.0
    await ask(redfish_url, "POST", RESET, {"ResetType": "On"})
    _, body, _ = await ask(redfish_url, "GET", tree.SYSTEM)
    assert body["PowerState"] == "PoweringOn"


_SUSHY = """
import sys, warnings
warnings.simplefilter("ignore")
import sushy
from sushy import auth
made = {"session": auth.SessionAuth, "basic": auth.BasicAuth}[sys.argv[2]](sys.argv[3], sys.argv[4])
root = sushy.Sushy(sys.argv[1], auth=made, verify=False)
system = root.get_system_collection().get_members()[0]
assert system.power_state is sushy.PowerState.OFF, system.power_state
assert sushy.ResetType.PUSH_POWER_BUTTON in system.get_allowed_reset_system_values()
system.set_system_boot_options(sushy.BootSource.PXE, enabled=sushy.BootSourceOverrideEnabled.CONTINUOUS)
system.reset_system(sushy.ResetType.ON)
system.refresh(force=True)
assert system.power_state is sushy.PowerState.ON
assert system.boot["target"] is sushy.BootSource.PXE, system.boot
assert system.boot["mode"] is sushy.BootSourceOverrideMode.UEFI
media = system.managers[0].virtual_media.get_members()[0]
assert sushy.VirtualMediaType.CD in media.media_types
assert not media.inserted
assert list(system.ethernet_interfaces.summary) == ["52:54:00:00:00:01"]
assert system.processors.summary.count == 2
assert system.simple_storage.disks_sizes_bytes == [1 << 30]
system.reset_system(sushy.ResetType.FORCE_OFF)
print("sushy is content")
"""


@pytest.mark.peer
@pytest.mark.parametrize("login", ["session", "basic"])
@pytest.mark.parametrize("secure", [False, True])
async def test_sushy_agrees(front: bmc.Bmc, login: str, secure: bool) -> None:
    context: ssl.SSLContext | None = tls.context(["127.0.0.1"])[0] if secure else None
    server = redfish.Server({"127.0.0.1": tree.Front(front)}, 0, tls=context)
    url = f"http{'s' if secure else ''}://127.0.0.1:{await server.start()}"
    code, output = await run(programs.peer(), "-c", _SUSHY, url, login, USER, PASSWORD)
    await server.close()
    assert (code, output) == (0, "sushy is content\n")
    assert front.hardware.power is PowerState.OFF
