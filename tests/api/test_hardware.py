"""What a driver can do, through the API: a real server, a real conductor and imaginary machines in one process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from flows import stand
from ingot import app
from ingot.domain import runs, states
from ingot.services import provisioning
from ingot.store import nodes

if TYPE_CHECKING:
    from tests.api.conftest import Api

    from ingot.deps import Deps

KINDS = ("bios", "console", "firmware", "raid", "rescue", "vendor")
CHOSEN = {f"{kind}_interface": "fake" for kind in KINDS}
VOLUMES = {"logical_disks": [{"size_gb": 10, "raid_level": "1", "is_root_volume": True}]}


@pytest.fixture
async def deps(tmp_path: Path) -> AsyncIterator[Deps]:
    made = app.make_deps(stand.settings(tmp_path, noauth=True, hostname="here"))
    async with stand.conductor(made):
        yield made
    made.store.close()


@pytest.fixture
async def uuid(deps: Deps) -> str:
    return await stand.add_node(deps, states.State.MANAGEABLE, name="n1", **CHOSEN)


@pytest.fixture
async def bare(deps: Deps) -> str:
    """A node with every optional interface left out."""
    return await stand.add_node(deps, states.State.MANAGEABLE, name="bare")


async def ordered(deps: Deps, uuid: str) -> runs.Run:
    run = await stand.ended(deps, uuid)
    assert run.kind == runs.Kind.ORDER
    return run


async def put(api: Api, path: str, body: Any, **more: Any) -> int:
    return (await api.call("PUT", f"/v1/nodes/n1/{path}", body, **more)).status


async def test_boot_mode_and_secure_boot_are_ordered_and_recorded(api: Api, deps: Deps, uuid: str) -> None:
    reply = await api.call("PUT", "/v1/nodes/n1/states/boot_mode", {"target": "bios"})
    assert (reply.status, reply.headers["Location"]) == (202, f"{api.url}/v1/nodes/n1/states")
    assert (await ordered(deps, uuid)).status == runs.Status.SUCCEEDED
    assert await put(api, "states/secure_boot", {"target": "on"}) == 202
    await ordered(deps, uuid)
    shown = await api.get("/v1/nodes/n1/states")
    assert (shown["boot_mode"], shown["secure_boot"]) == ("bios", True)
    assert await put(api, "states/boot_mode", {"target": "floppy"}) == 400
    assert await put(api, "states/secure_boot", {"target": "maybe"}) == 400
    assert await put(api, "states/boot_mode", {}) == 400
    assert await put(api, "states/boot_mode", {"target": "uefi"}, version="1.75") == 404
    await deps.store.run(nodes.change, uuid, provision_state=states.State.CLEANING)
    assert await put(api, "states/boot_mode", {"target": "uefi"}) == 409


async def test_an_order_that_fails_says_so_in_last_error(api: Api, deps: Deps, uuid: str) -> None:
    info = {"fake_fault": "management.set_boot_mode", "fake_fault_text": "The jumper is set"}
    await deps.store.run(nodes.change, uuid, driver_info=info)
    assert await put(api, "states/boot_mode", {"target": "bios"}) == 202
    await ordered(deps, uuid)
    node = await api.get("/v1/nodes/n1")
    assert "The jumper is set" in node["last_error"]
    assert (node["boot_mode"], node["provision_state"], node["reservation"]) == (None, "manageable", None)


async def test_the_raid_target_is_checked_by_the_interface(api: Api, uuid: str, bare: str) -> None:
    assert await put(api, "states/raid", VOLUMES) == 204
    assert (await api.get("/v1/nodes/n1"))["target_raid_config"] == VOLUMES
    wrong = {"logical_disks": [{"size_gb": 10, "raid_level": "seven"}]}
    reply = await api.call("PUT", "/v1/nodes/n1/states/raid", wrong)
    assert reply.status == 400
    assert "raid_level" in reply.fault["faultstring"]
    assert await put(api, "states/raid", {"logical_disks": []}) == 400
    two = {"logical_disks": VOLUMES["logical_disks"] * 2}
    assert await put(api, "states/raid", two) == 400
    assert await put(api, "states/raid", {}) == 204
    assert (await api.get("/v1/nodes/n1"))["target_raid_config"] == {}
    assert await put(api, "states/raid", VOLUMES, version="1.11") == 406
    assert (await api.call("PUT", f"/v1/nodes/{bare}/states/raid", VOLUMES)).status == 404
    assert (await api.call("PUT", f"/v1/nodes/{bare}/states/raid", {})).status == 204
    keys_path = "/v1/drivers/fake-hardware/raid/logical_disk_properties"
    keys = await api.get(keys_path, version="1.12")
    assert {"size_gb", "raid_level", "physical_disks"} <= set(keys)
    assert (
        await api.call("GET", "/v1/drivers/fake-hardware/raid/logical_disk_properties", version="1.11")
    ).status == 406


async def test_indicators(api: Api, uuid: str, tmp_path: Path) -> None:
    shown = (await api.get("/v1/nodes/n1/management/indicators"))["indicators"]
    lamp = next(one for one in shown if one["name"] == "led@system")
    assert (lamp["component"], lamp["readonly"], lamp["states"]) == ("system", False, ["blinking", "off", "on"])
    assert lamp["links"][0]["href"] == f"{api.url}/v1/nodes/n1/management/indicators/led@system"
    assert await api.get("/v1/nodes/n1/management/indicators/led@system") == {"state": "on"}
    assert await put(api, "management/indicators/led@system", {"state": "blinking"}) == 204
    assert await api.get("/v1/nodes/n1/management/indicators/led@system") == {"state": "blinking"}
    assert await put(api, "management/indicators/led-0@chassis", {"state": "off"}) == 400
    assert await put(api, "management/indicators/led@system", {"state": "sparkling"}) == 400
    assert (await api.call("GET", "/v1/nodes/n1/management/indicators/nope@system")).status == 400
    assert (await api.call("GET", "/v1/nodes/n1/management/indicators/led")).status == 400
    assert stand.effects(tmp_path, uuid) == ["indicator led@system blinking"]


async def test_vendor_methods_of_a_node(api: Api, deps: Deps, uuid: str, bare: str, tmp_path: Path) -> None:
    methods = await api.get("/v1/nodes/n1/vendor_passthru/methods")
    assert methods["echo"] == {
        "http_methods": ["GET", "POST"],
        "async": False,
        "description": "Give back what was sent",
        "attach": False,
        "require_exclusive_lock": False,
    }
    path = "/v1/nodes/n1/vendor_passthru"
    for where in (f"{path}/echo", f"{path}?method=echo"):
        reply = await api.call("POST", where, {"a": [1, None]}, version="1.5")
        assert (reply.status, reply.body) == (200, {"a": [1, None]})
    assert (await api.call("POST", f"{path}/blink")).raw == b"null"
    assert (await api.call("POST", f"{path}/blink_slowly", {})).status == 202
    await ordered(deps, uuid)
    assert stand.effects(tmp_path, uuid) == ["lamp blinked"] * 2
    assert (await api.call("POST", f"{path}/dance")).fault["faultstring"].startswith("No handler for method dance")
    assert (await api.call("PUT", f"{path}/echo", {})).status == 400
    assert (await api.call("POST", path)).status == 400
    assert await api.get(f"/v1/nodes/{bare}/vendor_passthru/methods") == {}
    assert (await api.call("POST", f"/v1/nodes/{bare}/vendor_passthru/echo")).status == 400


async def test_vendor_methods_of_a_driver(api: Api) -> None:
    path = "/v1/drivers/fake-hardware/vendor_passthru"
    assert await api.get(f"{path}/methods") == {}, "its preferred vendor interface is none"
    assert (await api.call("GET", f"{path}/about")).status == 400
    assert (await api.call("GET", "/v1/drivers/nothing/vendor_passthru/methods")).status == 404


async def test_a_locked_node_is_only_read(api: Api, deps: Deps, uuid: str) -> None:
    await deps.store.run(nodes.change, uuid, reservation="elsewhere")
    path = "/v1/nodes/n1/vendor_passthru"
    assert (await api.call("POST", f"{path}/echo", {})).status == 200
    assert (await api.call("POST", f"{path}/blink", {})).status == 409
    assert await put(api, "management/indicators/led@system", {"state": "on"}) == 409
    assert await put(api, "states/raid", VOLUMES) == 409
    assert (await api.call("DELETE", "/ingot/v1/nodes/n1/sel")).status == 409


async def clean(deps: Deps, uuid: str, *wanted: dict[str, Any]) -> runs.Run:
    await provisioning.request(deps, uuid, "clean", {"clean_steps": list(wanted)})
    return await stand.ended(deps, uuid, 30)


async def test_bios_settings_follow_verify_and_apply(api: Api, deps: Deps, uuid: str) -> None:
    assert await api.get("/v1/nodes/n1/bios") == {"bios": []}
    await deps.store.run(nodes.change, uuid, provision_state=states.State.ENROLL)
    await provisioning.request(deps, uuid, "manage", {})
    assert (await stand.ended(deps, uuid)).status == runs.Status.SUCCEEDED
    first = (await api.get("/v1/nodes/n1/bios", version="1.40"))["bios"]
    assert [set(one) for one in first] == [{"created_at", "updated_at", "links", "name", "value"}] * 3
    assert first[0]["links"][0]["href"] == f"{api.url}/v1/nodes/n1/bios/BootMode"
    settings = {"settings": [{"name": "BootMode", "value": "LegacyBios"}]}
    run = await clean(deps, uuid, {"interface": "bios", "step": "apply_configuration", "args": settings})
    assert run.status == runs.Status.SUCCEEDED, run.reason
    body = await api.get("/v1/nodes/n1/bios/BootMode")
    one = body["BootMode"]
    assert (one["value"], one["attribute_type"]) == ("LegacyBios", "Enumeration")
    assert (one["allowable_values"], one["reset_required"]) == (["Uefi", "LegacyBios"], False)
    assert one["updated_at"] is not None
    old = await api.get("/v1/nodes/n1/bios/BootMode", version="1.73")
    assert set(old["BootMode"]) == {"created_at", "updated_at", "links", "name", "value"}
    detailed = await api.get("/v1/nodes/n1/bios?detail=true")
    assert "unique" in detailed["bios"][0]
    some = await api.get("/v1/nodes/n1/bios?fields=name,read_only")
    assert set(some["bios"][0]) == {"created_at", "updated_at", "links", "name", "read_only"}
    for path, version, status in (
        ("bios/Nothing", "1.115", 404),
        ("bios", "1.39", 404),
        ("bios?detail=true", "1.73", 400),
        ("bios?fields=colour", "1.115", 400),
        ("bios?fields=name&detail=true", "1.115", 400),
    ):
        assert (await api.call("GET", f"/v1/nodes/n1/{path}", version=version)).status == status, path


async def test_firmware_versions_keep_the_first_and_the_last_flashed(api: Api, deps: Deps, uuid: str) -> None:
    files = {"settings": [{"component": "bmc", "url": "http://192.0.2.1/2.7"}]}
    step = {"interface": "firmware", "step": "update", "args": files}
    for _ in range(2):
        assert (await clean(deps, uuid, step)).status == runs.Status.SUCCEEDED
    found = (await api.get("/v1/nodes/n1/firmware", version="1.86"))["firmware"]
    bmc = next(one for one in found if one["component"] == "bmc")
    assert (bmc["initial_version"], bmc["current_version"], bmc["last_version_flashed"]) == ("1.0", "2.7", "2.7")
    files["settings"][0]["url"] = "http://192.0.2.1/2.8"
    await clean(deps, uuid, step)
    bmc = next(one for one in (await api.get("/v1/nodes/n1/firmware"))["firmware"] if one["component"] == "bmc")
    assert (bmc["initial_version"], bmc["current_version"], bmc["last_version_flashed"]) == ("1.0", "2.8", "2.8")
    assert "serial_number" in bmc
    assert "serial_number" not in found[0]
    assert (await api.call("GET", "/v1/nodes/n1/firmware?fields=vendor", version="1.113")).status == 400
    assert (await api.call("GET", "/v1/nodes/n1/firmware", version="1.85")).status == 404


async def test_virtual_media_come_and_go(api: Api, deps: Deps, uuid: str) -> None:
    media = "/v1/nodes/n1/vmedia"
    image = {"device_type": "cdrom", "image_url": "https://images.example/a.iso"}
    assert (await api.call("POST", media, image, version="1.89")).status == 204
    assert (await ordered(deps, uuid)).status == runs.Status.SUCCEEDED
    inside = {one["device"]: one["image_url"] for one in await api.get(media)}
    assert inside == {"cdrom": image["image_url"], "floppy": None}
    assert (await api.call("DELETE", f"{media}?device_types=cdrom")).status == 204
    await ordered(deps, uuid)
    assert not any(one["inserted"] for one in await api.get(media))
    for wrong in (
        {},
        {"device_type": "tape", "image_url": "http://a/"},
        {**image, "image_url": "ftp://a/"},
        {**image, "image_download_source": "pigeon"},
        {**image, "colour": "blue"},
    ):
        assert (await api.call("POST", media, wrong)).status == 400, wrong
    assert (await api.call("DELETE", f"{media}?device_types=tape")).status == 400
    assert (await api.call("POST", media, image, version="1.88")).status == 404
    assert (await api.call("GET", media, version="1.92")).status == 404


async def test_sensors_and_the_event_log(api: Api, uuid: str, tmp_path: Path) -> None:
    sensors = (await api.get("/ingot/v1/nodes/n1/sensors"))["sensors"]
    assert sensors["Fan"]["Fan 1 (0x2)"]["Sensor Reading"] == "4200 RPM"
    events = (await api.get("/ingot/v1/nodes/n1/sel"))["events"]
    assert [one["message"] for one in events] == ["The imaginary chassis was opened"]
    assert (await api.call("DELETE", "/ingot/v1/nodes/n1/sel")).status == 204
    assert (await api.get("/ingot/v1/nodes/n1/sel"))["events"] == []
    assert stand.effects(tmp_path, uuid) == ["event log cleared"]


async def test_validate_tells_of_each_interface(api: Api, deps: Deps, uuid: str, bare: str) -> None:
    told = await api.get("/v1/nodes/n1/validate")
    assert all(told[kind]["result"] is True for kind in ("bios", "console", "firmware", "raid", "rescue"))
    told = await api.get(f"/v1/nodes/{bare}/validate")
    assert all(told[kind]["result"] is False for kind in ("bios", "console", "firmware", "raid", "rescue"))
    await deps.store.run(nodes.change, uuid, target_raid_config={"logical_disks": ["odd"]})
    assert (await api.get("/v1/nodes/n1/validate"))["raid"]["result"] is False
