"""fake-hardware: bad values are told before work, faults say what they were told to say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from drivers import place
from ingot.domain import power
from ingot.interfaces.management import BootChoice, BootDevice, IndicatorState


@pytest.mark.parametrize("value", ["soon", -1, "nan", [1], "inf"])
@pytest.mark.parametrize("key", ["fake_delay", "fake_wait"])
async def test_times_must_be_numbers(tmp_path: Path, key: str, value: Any) -> None:
    async with place.opened(tmp_path) as site:
        ctx = await site.context("fake-hardware", {key: value})
        wanted = f"driver_info {key} must be a number of seconds, not {value!r}. Change the request and send it again."
        assert await place.refusal(ctx.power.validate(ctx)) == wanted
        if key == "fake_delay":
            assert await place.refusal(ctx.power.get(ctx)) == wanted


async def test_a_power_state_that_is_none(tmp_path: Path) -> None:
    async with place.opened(tmp_path) as site:
        ctx = await site.context("fake-hardware", {"fake_power": "on"})
        for work in (ctx.power.validate(ctx), ctx.power.get(ctx)):
            assert await place.refusal(work) == "driver_info fake_power cannot be 'on'. One of: power on, power off."


async def test_a_fault_speaks(tmp_path: Path) -> None:
    async with place.opened(tmp_path, fake_effects=str(tmp_path / "effects")) as site:
        ctx = await site.context("fake-hardware", {"fake_fault": "power.set", "fake_fault_text": "The fuse blew"})
        said = await place.refusal(ctx.power.set(ctx, power.Target.ON, 1))
        assert said == "The fuse blew. Remove fake_fault from driver_info."
        assert not (tmp_path / "effects").exists(), "what failed was not done"
        assert await ctx.power.get(ctx) == power.Power.OFF


async def test_boot_device_and_nmi(tmp_path: Path) -> None:
    async with place.opened(tmp_path) as site:
        ctx = await site.context("fake-hardware", {"fake_wait": "heartbeat", "fake_delay": "0.01"})
        await ctx.power.validate(ctx)
        await ctx.management.set_boot_device(ctx, BootDevice.CDROM, persistent=True)
        assert await ctx.management.get_boot_device(ctx) == BootChoice(BootDevice.CDROM, True)
        await ctx.management.inject_nmi(ctx)
        assert await place.refusal(ctx.management.set_indicator(ctx, "chassis", "led-0", IndicatorState.OFF)) == (
            "The indicator led-0@chassis cannot be set to off. Change the request and send it again."
        )
