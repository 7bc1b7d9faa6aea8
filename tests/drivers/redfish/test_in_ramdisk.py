"""Steps of the BMC amid those of the ramdisk's agent: the machine restarts, the ramdisk comes back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from drivers import world
from ingot_rack.hardware import BootDevice
from ingot_rack.redfish import bios, updates

ONE = "sim-00000"
ERASE = {"interface": "deploy", "step": "erase_devices_metadata"}
BIOS = {"interface": "bios", "step": "apply_configuration"}
UPDATE = {"interface": "firmware", "step": "update"}


def settings(step: dict[str, str], **values: str) -> dict[str, Any]:
    return {**step, "args": {"settings": [values]}}


def effects(of: world.World) -> list[tuple[str, str]]:
    """What happened to the machine, as (kind, device)."""
    return [(one.kind, one.detail) for one in of.fleet.effects.all]


@pytest.mark.parametrize("boot", ["ipxe", "redfish-https"])
async def test_a_restart_by_the_bmc_leads_back_into_the_ramdisk(tmp_path: Path, boot: str) -> None:
    plan = {"redfish": 1, "first": "127.67.0.1"}
    async with world.opened(tmp_path, plan, automated_clean="false") as place:
        name = await place.enrol(0, boot_interface=boot)
        await place.bring(name, "manage")
        front = next(iter(place.fleet.fronts.values()))
        steps = [
            ERASE,
            settings(BIOS, name="Virtualization", value="Disabled"),
            ERASE,
            settings(UPDATE, component="bios", url="http://192.0.2.1/bios-2.1"),
            ERASE,
        ]
        await place.order(name, "clean", clean_steps=steps)
        node = await place.rests(name, 90)
        assert (node["provision_state"], node["last_error"]) == ("manageable", None)
        assert front.part(bios.State).now["Virtualization"] == "Disabled"
        assert front.part(updates.Versions).now["BIOS"] == "bios-2.1"
        device = {"ipxe": BootDevice.NETWORK, "redfish-https": BootDevice.HTTP}[boot]
        into = [("start", device), ("erase_devices_metadata", ""), ("stop", BootDevice.NONE)]
        assert effects(place) == [*into, *into, *into[:-1]], "each restart boots the ramdisk, and each step runs once"
