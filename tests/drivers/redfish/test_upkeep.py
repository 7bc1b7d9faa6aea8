"""Upkeep of a BMC by steps of the redfish management: its clock, and firmware in Ironic's older words."""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from drivers import place
from drivers.redfish import peer
from flows import stand
from ingot.domain import runs
from ingot.drivers.redfish import installing
from ingot.services import provisioning
from ingot_rack.hardware import PowerAction
from ingot_rack.redfish import managers, updates
from ingot_rack.redfish.shapes import SHAPES
from interfaces import contracts, hardware_contracts

IMAGE = b"firmware" * 30_000
SHA1, SHA256 = hashlib.sha1(IMAGE, usedforsecurity=False).hexdigest(), hashlib.sha256(IMAGE).hexdigest()


@dataclass
class Stage(contracts.Stage):
    bmc: Any = None
    images: str = ""

    def clock(self) -> managers.Clock:
        return self.bmc.front.part(managers.Clock)

    def versions(self) -> dict[str, str]:
        return self.bmc.front.part(updates.Versions).now


@pytest.fixture(params=["plain"])
async def stage(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    async def serve(_request: web.Request) -> web.Response:
        return web.Response(body=IMAGE)

    app = web.Application()
    app.router.add_get("/{tail:.*}", serve)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with peer.running(request.param) as bmc, place.opened(tmp_path, verify_bmc_clock=True) as site:
        ctx = await site.context("redfish", bmc.info())
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield Stage(site.deps, site.calls, ctx.node.uuid, bmc=bmc, images=url)
    await runner.cleanup()


async def run(stage: Stage, method: str, **args: Any) -> runs.Run:
    return await hardware_contracts.run_method(stage, "management", method, args)


def test_a_file_name_cannot_end_the_head_it_stands_in() -> None:
    url = "http://192.0.2.1/a/bios-2.1+b_3%22%0d%0aContent-Type: x%2e.bin?pass=1"
    assert installing.Image(url=url).file == "bios-2.1+b_3___Content-Type__x..bin"
    assert installing.Image(url="http://192.0.2.1/").file == "image"


async def test_the_clock_is_set_to_now(stage: Stage) -> None:
    stage.clock().ahead = -86_400 * 365.0
    done = await run(stage, "set_bmc_clock")
    assert done.status == runs.Status.SUCCEEDED, done.reason
    assert abs(stage.clock().ahead) < 2


async def test_the_clock_is_set_to_a_time_and_a_zone(stage: Stage) -> None:
    wanted = "2031-02-03T04:05:06+02:00"
    done = await run(stage, "set_bmc_clock", target_datetime=wanted, datetime_local_offset="+02:00")
    assert done.status == runs.Status.SUCCEEDED, done.reason
    assert abs(datetime.fromisoformat(wanted).timestamp() - time.time() - stage.clock().ahead) < 5
    assert stage.clock().shown().endswith("+02:00")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"target_datetime": "noon"}, "target_datetime 'noon' is not a time"),
        ({"datetime_local_offset": "Berlin"}, "datetime_local_offset 'Berlin' is not valid"),
    ],
)
async def test_what_is_no_time_is_refused(stage: Stage, args: dict[str, str], words: str) -> None:
    done = await run(stage, "set_bmc_clock", **args)
    assert done.status == runs.Status.FAILED
    assert words in (done.reason or "")


async def test_a_clock_that_cannot_be_set_is_noticed(stage: Stage) -> None:
    stage.clock().ahead = -3600.0
    stage.bmc.faults.change({"clock_kept": True})
    done = await run(stage, "set_bmc_clock")
    assert done.status == runs.Status.FAILED
    assert "but its clock shows" in (done.reason or "")


@pytest.mark.parametrize(("fault", "state"), [(False, "manageable"), (True, "enroll")])
async def test_verify_sets_a_wrong_clock_right(stage: Stage, fault: bool, state: str) -> None:
    stage.clock().ahead = 7200.0
    stage.bmc.faults.change({"clock_kept": fault})
    async with stand.conductor(stage.deps, tools=(await stage.context()).kit):
        await provisioning.request(stage.deps, stage.uuid, "manage", {})
        await stand.ended(stage.deps, stage.uuid, 60)
    node = await stand.get_node(stage.deps, stage.uuid)
    assert node.provision_state == state, node.last_error
    assert (abs(stage.clock().ahead) < 2) is not fault


@pytest.mark.parametrize("stage", ["plain", "nvidia"], indirect=True)
async def test_images_are_installed_one_after_another(stage: Stage) -> None:
    images = [
        {"url": f"{stage.images}/bios-2.1", "checksum": SHA1, "wait": 1},
        {"url": f"{stage.images}/bmc-7.0", "checksum": SHA256},
    ]
    done = await run(stage, "update_firmware", firmware_images=images)
    assert done.status == runs.Status.SUCCEEDED, done.reason
    assert stage.versions() == {"BIOS": "bios-2.1", "BMC": "bmc-7.0", "NIC1": "22.5"}
    assert stage.bmc.machine.history == [PowerAction.ON, PowerAction.OFF]
    if stage.bmc.front.shape is SHAPES["nvidia"]:
        assert stage.bmc.front.part(updates.Versions).pushed == len(IMAGE)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ({"url": "/bios-2.1", "checksum": "0" * 64}, f"bios-2.1 has the sha256 {SHA256}, not 0000"),
        ({"url": "/bios-2.1", "checksum": "12"}, "is not one of sha1, sha256, sha384, sha512"),
        ({"url": "/bios-2.1"}, "must have url and checksum"),
        ({"url": "/bios-2.1", "checksum": SHA1, "source": "swift"}, "serves no firmware from swift"),
        ({"url": "/bios-2.1", "checksum": SHA1, "wait": 0}, "wait must be a whole number"),
    ],
)
async def test_a_wrong_image_changes_nothing(stage: Stage, image: dict[str, Any], words: str) -> None:
    image["url"] = stage.images + image["url"]
    done = await run(stage, "update_firmware", firmware_images=[image])
    assert done.status == runs.Status.FAILED
    assert words in (done.reason or "")
    assert stage.versions()["BIOS"] == "1.0"
    assert stage.bmc.machine.history == []
