"""Firmware of the redfish driver: fetched or pushed, in every shape, with a BMC that restarts and tasks that fail."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web

from drivers import place
from drivers.redfish import peer
from ingot.domain import runs
from ingot_rack.hardware import PowerAction
from ingot_rack.redfish import tasks, updates
from ingot_rack.redfish.shapes import SHAPES
from interfaces import contracts, hardware_contracts

IMAGE = b"firmware" * 300_000


@dataclass
class Stage(contracts.Stage):
    bmc: peer.Peer | None = None
    images: str = ""

    def versions(self) -> dict[str, str]:
        assert self.bmc is not None
        return self.bmc.front.part(updates.Versions).now


@pytest.fixture
async def images(tmp_path: Path) -> AsyncIterator[str]:
    async def serve(request: web.Request) -> web.Response:
        if "huge" in request.path:
            await web.StreamResponse(headers={"Content-Length": str(1 << 40)}).prepare(request)
        return web.Response(body=IMAGE) if "missing" not in request.path else web.Response(status=404)

    app = web.Application()
    app.router.add_get("/{tail:.*}", serve)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.fixture(params=["plain"])
async def stage(tmp_path: Path, images: str, request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    async with peer.running(request.param) as bmc, place.opened(tmp_path) as site:
        ctx = await site.context("redfish", bmc.info())
        yield Stage(site.deps, site.calls, ctx.node.uuid, bmc=bmc, images=images)


async def update(stage: Stage, **images: str) -> runs.Run:
    settings = [{"component": name.replace("__", ":"), "url": stage.images + path} for name, path in images.items()]
    return await hardware_contracts.run_method(stage, "firmware", "update", {"settings": settings})


@pytest.mark.parametrize("stage", SHAPES, indirect=True)
async def test_three_components_share_one_restart(stage: Stage) -> None:
    assert stage.bmc is not None
    run = await update(stage, bios="/bios-2.1", bmc="/bmc-7.0", nic__NIC1="/nic1-23.0")
    assert run.status == runs.Status.SUCCEEDED, run.reason
    assert stage.versions() == {"BIOS": "bios-2.1", "BMC": "bmc-7.0", "NIC1": "nic1-23.0"}
    assert stage.bmc.machine.history == [PowerAction.ON, PowerAction.OFF]
    if SHAPES["nvidia"] is stage.bmc.front.shape:
        assert stage.bmc.front.part(updates.Versions).pushed == len(IMAGE)


async def test_a_bmc_that_restarts_is_waited_for(stage: Stage) -> None:
    assert stage.bmc is not None
    stage.bmc.faults.change({"bmc_restart_seconds": 3, "task_seconds": 1})
    run = await update(stage, bmc="/bmc-7.0")
    assert run.status == runs.Status.SUCCEEDED, run.reason
    ctx = await stage.context()
    versions = {one.component: one.current_version for one in await ctx.interface("firmware").list_components(ctx)}
    assert versions["bmc"] == "bmc-7.0"
    assert stage.bmc.machine.history == [], "a BMC's update needs no restart of the machine"


async def test_a_failed_task_says_why(stage: Stage) -> None:
    assert stage.bmc is not None
    stage.bmc.faults.change({"task_fails": 1})
    run = await update(stage, bios="/bios-2.1")
    assert run.status == runs.Status.FAILED
    assert (
        f"A task of Redfish service {stage.bmc.name} ended as Exception: The task failed: the image is not valid"
        in (run.reason or "")
    )
    assert stage.versions()["BIOS"] == "1.0"


@pytest.mark.parametrize("stage", ["nvidia"], indirect=True)
async def test_an_image_that_is_not_there_or_too_large_is_not_pushed(stage: Stage) -> None:
    for path, words in (("/missing-bios", "answered 404 to GET"), ("/huge-bios", "sent a file larger than 4096 MiB")):
        run = await update(stage, bios=path)
        assert run.status == runs.Status.FAILED
        assert words in (run.reason or "")


@pytest.mark.parametrize("stage", ["plain", "nvidia"], indirect=True)
async def test_an_update_whose_answer_is_lost_is_not_begun_twice(stage: Stage) -> None:
    """Fetched by the BMC and pushed to it."""
    assert stage.bmc is not None
    stage.bmc.faults.change({"order_cut_next": 1, "task_seconds": 1})
    run = await update(stage, bmc="/bmc-7.0")
    assert run.status == runs.Status.SUCCEEDED, run.reason
    assert stage.bmc.faults.order_cut_next == 0
    assert len(stage.bmc.front.part(tasks.Tasks).all) == 1


@pytest.mark.parametrize("status", [404, 500])
async def test_a_bmc_whose_services_start_one_after_another_is_waited_for(stage: Stage, status: int) -> None:
    assert stage.bmc is not None
    stage.bmc.faults.change({"bmc_restart_seconds": 3, "bmc_restart_status": status})
    run = await update(stage, bmc="/bmc-7.0")
    assert run.status == runs.Status.SUCCEEDED, run.reason
    assert stage.versions()["BMC"] == "bmc-7.0"
