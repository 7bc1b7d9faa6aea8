"""Inspection by findings that the ramdisk posts unasked, with or without a call after them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from drivers import world
from faults import catalogue
from ingot_rack.hardware import PowerState


def effects(of: world.World, name: str) -> list[str]:
    return [one.kind for one in of.fleet.effects.all if one.node == name]


@pytest.mark.parametrize(("fast_track", "versions"), [("false", ["1.1", "1.115"]), ("true", ["1.115"])])
async def test_an_agent_that_only_posts_its_findings_has_inspected(
    tmp_path: Path, fast_track: str, versions: list[str]
) -> None:
    plan = {"redfish": 1, "first": "127.63.2.1"}
    async with world.opened(tmp_path, plan, fast_track=fast_track) as opened:
        name = await opened.enrol()
        await opened.bring(name, "manage")
        for cores, version in enumerate(versions, 3):  # the second time findings are there from the first
            opened.fleet.hanging[name] = 1
            await opened.order(name, "inspect")
            await opened.until(lambda: opened.waits(name, "inspect wait"))
            card = {"name": "eth0", "mac_address": next(iter(opened.fleet.machines.values())).facts.macs[0]}
            inventory: dict[str, Any] = {"interfaces": [card], "cpu": {"count": cores, "architecture": "x86_64"}}
            body = {"inventory": inventory, "findings": "other"}
            await opened.call("POST", "/v1/continue_inspection", body, version)
            node = await opened.rests(name)
            assert (node["provision_state"], node["last_error"]) == ("manageable", None)
            assert (node["properties"]["cpus"], node["power_state"]) == (cores, "power off")
            assert opened.fleet.machines[name].power is PowerState.OFF
            told = {"inventory": inventory, "plugin_data": {"findings": "other"}}
            assert await opened.call("GET", f"/v1/nodes/{name}/inventory") == told


async def test_findings_that_lack_something_are_no_inspection(tmp_path: Path) -> None:
    """The ramdisk says so in "error", as Ironic's does; what it found is shown, and nothing of it taken."""
    async with world.opened(tmp_path, {"redfish": 1, "first": "127.63.3.1"}) as opened:
        name = await opened.enrol()
        before = await opened.bring(name, "manage")
        opened.fleet.hanging[name] = 1
        await opened.order(name, "inspect")
        await opened.until(lambda: opened.waits(name, "inspect wait"))
        card = {"name": "eth0", "mac_address": next(iter(opened.fleet.machines.values())).facts.macs[0]}
        inventory: dict[str, Any] = {"interfaces": [card], "cpu": {"count": 99}}
        body = {"inventory": inventory, "error": "drivers of disks are still being loaded"}
        catalogue.begin()
        await opened.call("POST", "/v1/continue_inspection", body, "1.115")
        node = await opened.rests(name)
        assert (node["provision_state"], node["properties"]) == ("inspect failed", before["properties"])
        catalogue.told("disk-driver-hangs", node["last_error"])
        assert (await opened.call("GET", f"/v1/nodes/{name}/inventory"))["inventory"] == inventory
        assert opened.fleet.machines[name].power is PowerState.OFF


async def test_an_agent_that_posts_and_calls_is_kept_for_what_comes_next(tmp_path: Path) -> None:
    async with world.opened(tmp_path, {"ipmi": 1, "first": "127.63.1.1", "inspect": True}) as opened:
        name = await opened.enrol()
        node = await opened.bring(name, "manage", "inspect")
        assert (node["provision_state"], node["power_state"]) == ("manageable", "power on")
        assert (await opened.agent(name)).heartbeats
        node = await opened.bring(name, "provide")
        assert (node["provision_state"], effects(opened, name).count("start")) == ("available", 1)
