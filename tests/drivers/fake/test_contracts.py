"""What only some hardware can do, by fake-hardware: the contract suites, its faults, and manual cleaning with it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from flows import stand
from ingot.conductor.calls import Calls
from ingot.domain import errors, runs, states
from ingot.interfaces.registry import Registry
from ingot.services import provisioning
from interfaces import contracts, hardware_contracts

KINDS = ("bios", "console", "firmware", "raid", "rescue", "vendor")
CHOSEN = {f"{kind}_interface": "fake" for kind in KINDS}
VOLUME = {"size_gb": 10, "raid_level": "5"}


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[contracts.Stage]:
    async with stand.site(tmp_path) as deps:
        uuid = await stand.add_node(deps, **CHOSEN)
        yield contracts.Stage(deps, Calls(deps, stand.kit(deps)), uuid)


class TestConsole(hardware_contracts.ConsoleContract):
    typed = (b"hello\r", b"hello\r\n# ")


class TestRaid(hardware_contracts.RaidContract):
    pass


class TestBios(hardware_contracts.BiosContract):
    pass


class TestFirmware(hardware_contracts.FirmwareContract):
    pass


class TestRescue(hardware_contracts.RescueContract):
    pass


class TestStorage(hardware_contracts.StorageContract):
    pass


class TestVendor(hardware_contracts.VendorContract):
    async def test_echo_and_blink(self, stage: contracts.Stage, tmp_path: Path) -> None:
        ctx = await stage.context()
        vendor = ctx.interface("vendor")
        assert await vendor.call(ctx, "echo", {"a": 1}) == {"a": 1}
        assert await vendor.call(ctx, "blink", {}) is None
        assert stand.effects(tmp_path, stage.uuid) == ["lamp blinked"]


async def test_nodes_do_not_share_their_settings(stage: contracts.Stage) -> None:
    other = await stand.add_node(stage.deps, **CHOSEN)
    settings = {"settings": [{"name": "BootMode", "value": "LegacyBios"}]}
    assert (await hardware_contracts.run_method(stage, "bios", "apply_configuration", settings)).reason is None
    for uuid, mode in ((stage.uuid, "LegacyBios"), (other, "Uefi")):
        ctx = await stage.calls.context(uuid)
        assert (await ctx.interface("bios").list_settings(ctx))[0].value == mode


def test_none_of_them_is_a_default() -> None:
    defaults = Registry(("fake-hardware",)).defaults("fake-hardware")
    assert {kind: defaults[f"{kind}_interface"] for kind in KINDS} == {kind: f"no-{kind}" for kind in KINDS}


async def cleaned(folder: Path, wanted: list[dict[str, Any]], **fields: Any) -> tuple[runs.Run, Any, list[str]]:
    """A manual cleaning of a manageable node: the run, the node after it, what the machine remembers."""
    async with stand.site(folder, console_recording=False) as deps:
        target = {"logical_disks": [VOLUME]}
        given = {**CHOSEN, "target_raid_config": target, "raid_config": {"logical_disks": ["old"]}, **fields}
        uuid = await stand.add_node(deps, states.State.MANAGEABLE, **given)
        async with stand.conductor(deps):
            await provisioning.request(deps, uuid, "clean", {"clean_steps": wanted})
            run = await stand.ended(deps, uuid, 30)
        return run, await stand.get_node(deps, uuid), stand.effects(folder, uuid)


async def test_manual_cleaning_goes_out_of_band_in_the_order_asked(tmp_path: Path) -> None:
    settings = [{"name": "QuietBoot", "value": "Enabled"}]
    files = [{"component": "bios", "url": "http://192.0.2.1/3.1"}]
    wanted = [
        {"interface": "bios", "step": "factory_reset"},
        {"interface": "raid", "step": "delete_configuration"},
        {"interface": "raid", "step": "create_configuration"},
        {"interface": "bios", "step": "apply_configuration", "args": {"settings": settings}},
        {"interface": "firmware", "step": "update", "args": {"settings": files}},
    ]
    run, found, effects = await cleaned(tmp_path, wanted)
    assert run.status == runs.Status.SUCCEEDED, run.reason
    assert effects == [
        "bios settings reset",
        "volumes deleted",
        "volumes made",
        "bios settings applied",
        "firmware updated",
    ], "these steps alone, no ramdisk"
    assert found.provision_state == states.State.MANAGEABLE
    assert found.raid_config == {"logical_disks": [{"volume_name": "volume0", **VOLUME}]}


async def test_a_failing_step_stops_manual_cleaning(tmp_path: Path) -> None:
    info = {"fake_fault": "bios.factory_reset", "fake_fault_text": "The jumper is missing"}
    wanted = [{"interface": "bios", "step": "factory_reset"}, {"interface": "raid", "step": "delete_configuration"}]
    run, found, effects = await cleaned(tmp_path, wanted, driver_info=info)
    assert run.status == runs.Status.FAILED
    assert found.provision_state == states.State.CLEAN_FAILED
    assert "The jumper is missing" in (found.last_error or "")
    assert found.raid_config == {"logical_disks": ["old"]}
    assert effects == []


@pytest.mark.parametrize("action", ["console.open", "vendor.echo", "vendor.blink"])
async def test_calls_fail_when_told_to(stage: contracts.Stage, action: str, tmp_path: Path) -> None:
    ctx = await stage.context()
    ctx.driver_info = {"fake_fault": action}
    kind, _, method = action.partition(".")
    owner = ctx.interface(kind)
    with pytest.raises(errors.Misbehaved, match=f"told to fail {action}"):
        await (owner.call(ctx, method, {}) if kind == "vendor" else getattr(owner, method)(ctx))
    assert stand.effects(tmp_path, stage.uuid) == []


async def test_a_node_in_a_traceback_shows_no_secret(tmp_path: Path) -> None:
    async with stand.site(tmp_path) as deps:
        uuid = await stand.add_node(deps, driver_info={"fake_password": "marvellous"})
        ctx = await Calls(deps, stand.kit(deps)).context(uuid)
    assert ctx.driver_info["fake_password"] == "marvellous"
    assert uuid in repr(ctx) and "marvellous" not in repr(ctx)
