"""What the hardware says of itself, read in a run: once where that takes long, and never for most of the run's time."""

from __future__ import annotations

import itertools
from pathlib import Path

from flows import stand
from flows.test_engine import Probe, claiming, open_run, waits
from ingot.domain import runs
from ingot.flows import readings
from ingot.interfaces.context import StepContext


async def test_a_reading_that_took_long_is_not_repeated_by_its_step(tmp_path: Path) -> None:
    flow = Probe("first")

    async def act(ctx: StepContext) -> None:
        if flow.called.count("first") > 1:
            ctx.driver_info["fake_fault"] = "bios.list_settings firmware.list_components"
        await readings.refresh(ctx)
        await waits("the step to be entered again", lambda: flow.called.count("first") > 1)(ctx)

    flow.acts["first"] = act
    async with stand.site(tmp_path, lease=1e6) as deps:
        ticks = itertools.count(deps.clock(), 2)
        slow = stand.with_clock(deps, lambda: float(next(ticks)))
        async with claiming(slow, flow):
            uuid = await open_run(slow, 1e6, bios_interface="fake", firmware_interface="fake")
            assert (await stand.ended(deps, uuid)).status == runs.Status.SUCCEEDED
        assert not [line for line in await stand.events(deps, uuid) if "could not be read" in line]


async def test_a_reading_that_hangs_leaves_its_run_the_most_of_its_time(tmp_path: Path) -> None:
    flow = Probe("first")

    async def act(ctx: StepContext) -> None:
        ctx.driver_info["fake_delay"] = "3600"
        await readings.refresh(ctx)

    flow.acts["first"] = act
    async with stand.site(tmp_path) as deps, claiming(deps, flow):
        uuid = await open_run(deps, 12.0, bios_interface="fake", firmware_interface="fake")
        assert (await stand.ended(deps, uuid, 30)).status == runs.Status.SUCCEEDED
        said = " ".join(await stand.events(deps, uuid))
    assert "The BIOS settings could not be read: it took more than" in said
    assert "The firmware versions could not be read: it took more than" in said
