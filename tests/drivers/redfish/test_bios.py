"""BIOS settings of the redfish driver: checked against the registry, applied by a restart, told truly when ignored."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from drivers import place
from drivers.redfish import peer
from ingot.domain import runs
from ingot_rack.hardware import PowerAction, PowerState
from ingot_rack.redfish import bios
from ingot_rack.redfish.shapes import SHAPES
from interfaces import contracts, hardware_contracts


@dataclass
class Stage(contracts.Stage):
    bmc: Any = None


@pytest.fixture(params=["plain"])
async def stage(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    async with peer.running(request.param) as bmc, place.opened(tmp_path) as site:
        ctx = await site.context("redfish", bmc.info())
        yield Stage(site.deps, site.calls, ctx.node.uuid, bmc=bmc)


async def apply(stage: Stage, **settings: Any) -> runs.Run:
    wanted = [{"name": name, "value": value} for name, value in settings.items()]
    return await hardware_contracts.run_method(stage, "bios", "apply_configuration", {"settings": wanted})


@pytest.mark.parametrize("stage", SHAPES, indirect=True)
async def test_typed_values_take_force_with_one_restart(stage: Stage) -> None:
    run = await apply(stage, ActiveCores="8", QuietBoot="false", AssetTag="rack-7", BootMode="LegacyBios")
    assert run.status == runs.Status.SUCCEEDED, run.reason
    now = stage.bmc.front.part(bios.State).now
    assert (now["ActiveCores"], now["QuietBoot"], now["AssetTag"], now["BootMode"]) == (
        8,
        False,
        "rack-7",
        "LegacyBios",
    )
    assert stage.bmc.machine.history == [PowerAction.ON, PowerAction.OFF], "it was off before, so it is off again"


async def test_what_is_in_force_already_restarts_nothing(stage: Stage) -> None:
    run = await apply(stage, ActiveCores=0, QuietBoot=True)
    assert run.status == runs.Status.SUCCEEDED, run.reason
    assert stage.bmc.machine.history == []


async def test_a_running_machine_is_restarted_and_stays_on(stage: Stage) -> None:
    await stage.bmc.machine.set_power(PowerAction.ON)
    run = await apply(stage, Virtualization="Disabled")
    assert run.status == runs.Status.SUCCEEDED, run.reason
    assert stage.bmc.machine.power is PowerState.ON


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"ActiveCores": "65"}, "ActiveCores must be from 0 to 64, not 65"),
        ({"ActiveCores": "many"}, 'ActiveCores must be a whole number, not "many"'),
        ({"AssetTag": "x" * 17}, "The length of AssetTag must be from 0 to 16, not 17"),
        ({"QuietBoot": "perhaps"}, 'QuietBoot cannot be "perhaps". Values: True, False.'),
        ({"BoardSerial": "mine"}, "The BIOS setting BoardSerial can only be read"),
        ({"BootMode": "Turbo"}, 'BootMode cannot be "Turbo". Values: Uefi, LegacyBios.'),
    ],
)
async def test_values_that_cannot_be_change_nothing(stage: Stage, settings: dict[str, str], words: str) -> None:
    run = await apply(stage, Virtualization="Disabled", **settings)
    assert run.status == runs.Status.FAILED
    assert words in (run.reason or "")
    state = stage.bmc.front.part(bios.State)
    assert state.now == state.later == {name: entry["DefaultValue"] for name, entry in bios.ATTRIBUTES.items()}


async def test_the_registry_is_told_with_each_setting(stage: Stage) -> None:
    ctx = await stage.context()
    found = {one.name: one for one in await ctx.interface("bios").list_settings(ctx)}
    cores, mode = found["ActiveCores"], found["BootMode"]
    assert (cores.value, cores.attribute_type, cores.lower_bound, cores.upper_bound) == ("0", "Integer", 0, 64)
    assert (mode.value, mode.allowable_values, mode.read_only) == ("Uefi", ["Uefi", "LegacyBios"], False)
    assert found["BoardSerial"].read_only is True
