"""What BMCs of several makers and the DMTF's mockups answered, as sushy's package carries it for its own tests.

It is read from the installed package when the test runs; sushy, which knows it, judges what we read in it.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

import programs
from ingot.clients.http.client import Reply
from ingot.clients.redfish import bios, clock, complaints, events, inventory, media, sensors, storage, systems, updates
from ingot.clients.redfish.client import RedfishPool
from ingot.clients.redfish.systems import Boot, BootEnabled, BootMode
from ingot.clients.redfish.target import Target
from ingot.domain import errors
from rack.tools import run

pytestmark = pytest.mark.peer

SYSTEM = "/redfish/v1/Systems/437XR1138R2"


async def folder() -> Path:
    """Where the samples are."""
    code, said = await run(programs.peer(), "-c", "import sushy; print(sushy.__file__)")
    assert code == 0, said
    return Path(said.strip()).parent / "tests" / "unit" / "json_samples"


def load(place: Path, name: str) -> Any:
    return json.loads((place / f"{name}.json").read_text())


class Bmc:
    """Answers with samples by their own paths, and remembers what was changed. ``refusals``: for the next orders."""

    def __init__(self, resources: dict[str, Any]) -> None:
        self.resources = {path.rstrip("/").lower(): body for path, body in resources.items()}
        self.changes: list[tuple[str, str, Any]] = []
        self.refusals: list[Any] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        if request.method in {"POST", "PATCH"}:
            self.changes.append((request.method, request.path, await request.json()))
            if self.refusals:
                return web.json_response(self.refusals.pop(0), status=400)
            if request.path.endswith("InsertMedia"):
                drive = self.resources[request.path.lower().partition("/actions/")[0]]
                drive["Image"], drive["Inserted"] = self.changes[-1][2]["Image"], True
            return web.Response(status=204)
        body = self.resources.get(request.path.rstrip("/").lower())  # the samples say Bios and BIOS
        return web.json_response(body) if body is not None else web.Response(status=404)


@contextlib.asynccontextmanager
async def serving(bmc: Bmc) -> AsyncGenerator[tuple[RedfishPool, Target]]:
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", bmc.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    bmc.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    pool = RedfishPool()
    try:
        yield pool, Target(bmc.url, system_id=SYSTEM)
    finally:
        await pool.close()
        await runner.cleanup()


async def whole() -> Bmc:
    """All samples that name their path; of several for one path the first."""
    place = await folder()
    found: dict[str, Any] = {}
    for file in sorted(place.glob("*.json")):
        body: Any = json.loads(file.read_text())
        if "@odata.id" in body:
            found.setdefault(body["@odata.id"], body)
    found["/redfish/v1"] = load(place, "root")
    found[SYSTEM] = load(place, "system")
    found["/redfish/v1/Chassis/1U"] = {**found["/redfish/v1/Chassis/Blade1"], "@odata.id": "/redfish/v1/Chassis/1U"}
    there = {path.rstrip("/") for path in found}
    for body, name in ((body, name) for body in found.values() for name in ("Drives", "Members")):
        links: list[Any] = body.get(name) or []  # a sample may link to one that nobody kept
        body[name] = [one for one in links if len(one) > 1 or one["@odata.id"].rstrip("/") in there]
    return Bmc(found)


_SUSHY = """
import json, sys, warnings
warnings.simplefilter("ignore")
import sushy, sushy.auth
root = sushy.Sushy(sys.argv[1], auth=sushy.auth.BasicAuth("u", "p"))
system = root.get_system(sys.argv[2])
controller = system.storage.get_members()[0]
cards = system.ethernet_interfaces.get_members()
print(json.dumps({
  "power": system.power_state.value,
  "boot": [system.boot[name] and getattr(system.boot[name], "value", system.boot[name]) for name in
           ("target", "enabled", "mode", "http_boot_uri")],
  "bios": {name: str(value) for name, value in system.bios.attributes.items()},
  "drives": [[d.identity, d.capacity_bytes, d.serial_number, getattr(d.media_type, "value", d.media_type)]
             for d in controller.drives],
  "volumes": [[v.identity, v.name, v.capacity_bytes] for v in controller.volumes.get_members()],
  "macs": [c.mac_address.lower() for c in cards],
  "cpus": [p.total_threads for p in system.processors.get_members()],
  "memory": system.memory_summary.size_gib, "serial": system.serial_number, "maker": system.manufacturer,
  "clock": [system.managers[0].datetime, system.managers[0].datetimelocaloffset],
  "media": sorted([m.image for o in system.managers for m in o.virtual_media.get_members() if m.inserted]),
}))
"""


async def read(pool: RedfishPool, target: Target) -> dict[str, Any]:
    """The same by our client."""
    boot = await systems.get_boot(pool, target)
    (controller,) = await storage.list_controllers(pool, target)
    told = await inventory.read(pool, target)
    at = await clock.read(pool, target)
    return {
        "power": await systems.power_state(pool, target),
        "boot": [boot.target, boot.enabled, boot.mode, boot.http_uri],
        "bios": await bios.read(pool, target),
        "drives": [[one.id, one.size, one.serial, one.media] for one in controller.drives],
        "volumes": [[one.path.rpartition("/")[2], one.name, one.size] for one in controller.volumes],
        "macs": [one["mac_address"] for one in told["interfaces"]],
        "cpu count": told["cpu"]["count"],
        "memory": told["memory"]["physical_mb"] / 1024,
        "serial": told["system_vendor"]["serial_number"],
        "maker": told["system_vendor"]["manufacturer"],
        "clock": [at.at.isoformat(), at.local_offset],
        "media": sorted(one.image for one in await media.list_all(pool, target) if one.image),
    }


async def test_we_read_what_sushy_reads() -> None:
    bmc = await whole()
    async with serving(bmc) as (pool, target):
        code, said = await run(programs.peer(), "-c", _SUSHY, bmc.url, SYSTEM)
        assert code == 0, said
        theirs, ours = json.loads(said.splitlines()[-1]), await read(pool, target)
    assert ours.pop("cpu count") == sum(one or 0 for one in theirs.pop("cpus"))
    assert ours == theirs
    assert bmc.changes == []


@pytest.mark.parametrize(
    ("refusal", "added"),
    [
        ("transfer_method_required_error", {"TransferMethod": "Stream"}),
        ("transfer_proto_required_error", {"TransferProtocolType": "HTTP"}),
        ("transfer_proto_required_error2", {"TransferProtocolType": "HTTP"}),
        ("transfer_proto_required_error3", {"TransferProtocolType": "HTTP"}),
        ("transfer_proto_required_error4", {"TransferProtocolType": "HTTP"}),
        ("credentials_required_error", {"UserName": "none", "Password": "none"}),
    ],
)
async def test_an_insertion_follows_what_a_refusal_says(refusal: str, added: dict[str, str]) -> None:
    bmc, url = await whole(), "http://192.0.2.1/a.iso"
    drive = load(await folder(), "virtual_media")
    bmc.resources[drive["@odata.id"].lower()] = {**drive, "Image": None, "Inserted": False}
    bmc.refusals = [load(await folder(), refusal)]
    async with serving(bmc) as (pool, target):
        await media.insert(pool, target, (media.Kind.FLOPPY,), url)
    assert [body for method, _, body in bmc.changes if method == "POST"][-2:] == [
        {"Image": url},
        {"Image": url, **added},
    ]


@pytest.mark.parametrize(
    ("link", "pending", "in_settings"),
    [
        ("settings-lenovo-se450", "settings-body-lenovo-se450", set[str]()),
        ("settings-nokia", "settings-body-nokia", {"Target", "Enabled", "Mode"}),
        (None, "settings-body-bootsourceoverridemode-only", {"Mode"}),
    ],
)
async def test_a_boot_override_goes_where_each_maker_has_it(
    link: str | None, pending: str, in_settings: set[str]
) -> None:
    bmc, place = await whole(), await folder()
    settings = load(place, pending)
    there = {"SettingsObject": {"@odata.id": settings["@odata.id"]}}
    linked = load(place, link)["@Redfish.Settings"] if link else there
    bmc.resources[SYSTEM.lower()]["@Redfish.Settings"] = linked
    bmc.resources[settings["@odata.id"].lower()] = settings
    wanted = {"Target": "Cd", "Enabled": "Once", "Mode": "UEFI"}
    async with serving(bmc) as (pool, target):
        await systems.set_boot(pool, target, Boot("Cd", BootEnabled.ONCE, BootMode.UEFI))
        changes, bmc.changes = bmc.changes, []
        code, said = await run(programs.peer(), "-c", _SUSHY_BOOT, bmc.url, SYSTEM)
        assert code == 0, said
    sent = {path: body["Boot"] for method, path, body in changes if method == "PATCH"}
    expected = {f"BootSourceOverride{name}": wanted[name] for name in in_settings}
    assert sent.get(settings["@odata.id"], {}) == expected
    assert sent == {path: body["Boot"] for method, path, body in bmc.changes if method == "PATCH"}, "as sushy does"


_SUSHY_BOOT = """
import sys, warnings
warnings.simplefilter("ignore")
import sushy, sushy.auth
system = sushy.Sushy(sys.argv[1], auth=sushy.auth.BasicAuth("u", "p")).get_system(sys.argv[2])
once, uefi = sushy.BootSourceOverrideEnabled.ONCE, sushy.BootSourceOverrideMode.UEFI
system.set_system_boot_options(sushy.BootSource.CD, once, uefi)
"""


@pytest.mark.parametrize(
    ("sample", "status", "kind", "words"),
    [
        ("session_error", 401, errors.AccessDenied, "There is no valid session established"),
        ("error", 400, errors.Misbehaved, "The value Red for the property IndicatorLED is not in the list"),
        ("error_single_ext_info", 415, errors.Misbehaved, "A general error has occurred"),
    ],
)
async def test_what_a_refusal_says_is_told(sample: str, status: int, kind: type[errors.IngotError], words: str) -> None:
    reply = Reply(status, {}, json.dumps(load(await folder(), sample)).encode(), "http://bmc")
    found = complaints.failure(reply, "PATCH /redfish/v1/Systems/1")
    assert isinstance(found, kind)
    assert words in found.message


async def test_links_that_lead_nowhere_cost_only_what_is_behind_them() -> None:
    async with serving(await whole()) as (pool, target):
        assert await sensors.read(pool, target)
        found = {one.component: one for one in await updates.list_components(pool, target)}
        assert found["bios"].current_version
        assert (await events.list_all(pool, target))["Members"]
        settings = {one.name: one for one in await bios.list_all(pool, target)}
        assert settings["BootMode"].value == "Uefi", "without a registry, whose sample is of another BIOS"
