"""The boot mode that a node asks for, through whole flows over the rack's Redfish BMC and over hardware that cannot."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from drivers import world


@pytest.fixture
async def mixed(tmp_path: Path) -> AsyncGenerator[world.World]:
    """An IPMI machine, which does not tell its mode, and a Redfish machine in UEFI mode."""
    async with world.opened(tmp_path, {"ipmi": 1, "redfish": 1, "first": "127.66.0.1"}) as opened:
        yield opened


async def test_a_bmc_that_tells_no_mode_is_told_the_wish_with_each_boot_device(mixed: world.World) -> None:
    name = await mixed.enrol(0, properties={"capabilities": "boot_mode:uefi"})
    node = await mixed.bring(name, "manage", "inspect")
    assert (node["provision_state"], node["last_error"]) == ("manageable", None)
    assert node["boot_mode"] == "uefi"


async def test_a_mode_that_the_machine_lacks_ends_the_run_before_it_is_switched_on(mixed: world.World) -> None:
    name = await mixed.enrol(1, properties={"capabilities": "boot_mode:bios"})
    node = await mixed.bring(name, "manage", "inspect")
    assert node["provision_state"] == "inspect failed"
    assert "Legacy" in node["last_error"]
    assert mixed.fleet.machines[name].power == "off"
