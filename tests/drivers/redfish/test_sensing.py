"""Sensors, lamps and the event log of the redfish driver, in older and newer shapes, with and without $expand."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from drivers import place
from drivers.redfish import peer
from ingot.interfaces.management import IndicatorState
from ingot_rack.hardware import PowerAction
from ingot_rack.redfish import computer, eventlog
from ingot_rack.redfish.shapes import SHAPES


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[place.Place]:
    async with place.opened(tmp_path) as opened:
        yield opened


@pytest.mark.parametrize("shape", SHAPES)
async def test_every_shape_tells_the_same_sensors(site: place.Place, shape: str) -> None:
    async with peer.running(shape) as bmc:
        ctx = await site.context("redfish", bmc.info())
        await bmc.machine.set_power(PowerAction.ON)
        found = await ctx.management.get_sensors(ctx)
        words = {name: one["Sensor Reading"] for kind in found.values() for name, one in kind.items()}
        assert words["CPU1Temp"] == "48 degrees C"
        assert words["Fan1"] == "5400 RPM"
        assert words["CPU1VCore"] == "1.8 Volts"
        assert words["PowerSupply1Input"] == "210 Watts"
        assert {"Temperature", "Fan", "Voltage", "Power"} <= set(found)
        assert found["Temperature"]["InletTemp"]["health"] == "OK"
        await bmc.machine.set_power(PowerAction.OFF)
        assert (await ctx.management.get_sensors(ctx))["Fan"]["Fan1"]["reading"] == 0


async def test_expanding_saves_messages(site: place.Place) -> None:
    spent: dict[bool, int] = {}
    for expands, shape in ((True, "hpe"), (False, "nvidia")):  # both have the newer sensors
        async with peer.running(shape) as bmc:
            ctx = await site.context("redfish", bmc.info())
            await ctx.management.get_sensors(ctx)
            before = bmc.server.requests
            await ctx.management.get_sensors(ctx)
            spent[expands] = bmc.server.requests - before
    assert spent[True] < spent[False] / 1.5, spent


async def test_lamps(site: place.Place) -> None:
    async with peer.running() as bmc:
        ctx = await site.context("redfish", bmc.info())
        lamps = await ctx.management.list_indicators(ctx)
        assert {"system", "chassis"} <= set(lamps)
        name = next(iter(lamps["system"]))
        for state, truth in (
            (IndicatorState.BLINKING, "Blinking"),
            (IndicatorState.ON, "Lit"),
            (IndicatorState.OFF, "Off"),
        ):
            await ctx.management.set_indicator(ctx, "system", name, state)
            assert bmc.front.part(computer.Lamp).state == truth
            assert await ctx.management.get_indicator(ctx, "chassis", name) == state
        said = await place.refusal(ctx.management.get_indicator(ctx, "system", "nose"))
        assert said == "There is no indicator nose@system. See the node's list of indicators."
        said = await place.refusal(ctx.management.set_indicator(ctx, "system", name, IndicatorState.UNKNOWN))
        assert said.startswith(f"The indicator {name}@system cannot be set to unknown.")


@pytest.mark.parametrize("shape", ["plain", "dell"])
async def test_the_event_log_is_read_and_cleared(site: place.Place, shape: str) -> None:
    async with peer.running(shape) as bmc:
        ctx = await site.context("redfish", bmc.info())
        bmc.front.part(eventlog.Log).add("Critical", "Power Supply", "Power supply 1 lost its input.")
        lines = await ctx.management.list_events(ctx)
        assert [(one.severity, one.source) for one in lines] == [("OK", "System Event"), ("Critical", "Power Supply")]
        assert lines[1].message == "Power supply 1 lost its input."
        assert lines[1].at is not None
        await ctx.management.clear_events(ctx)
        assert await ctx.management.list_events(ctx) == []
