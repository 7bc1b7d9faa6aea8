"""Deploy ``direct`` with boot ``ipxe`` through the real API on simulated machines: whole, killed, and broken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from drivers import world
from ingot_rack.hardware import BootDevice, PowerAction, PowerState

ONE = "sim-00000"


@pytest.fixture
async def quick(tmp_path: Path) -> AsyncIterator[world.World]:
    """One machine of each driver, commands end at once."""
    async with world.opened(tmp_path, {"ipmi": 1, "redfish": 1, "first": "127.63.0.1"}) as opened:
        yield opened


@pytest.fixture
async def slow(tmp_path: Path) -> AsyncIterator[world.World]:
    """One machine whose commands take three seconds and whose agent counts as gone after three."""
    plan = {"ipmi": 1, "first": "127.64.0.1", "step_seconds": 3.0}
    async with world.opened(tmp_path, plan, heartbeat_timeout=3, automated_clean="false") as opened:
        yield opened


def effects(of: world.World, name: str) -> list[str]:
    return [one.kind for one in of.fleet.effects.all if one.node == name]


@pytest.mark.parametrize("number", [0, 1], ids=["ipmi", "redfish"])
async def test_the_whole_way(quick: world.World, number: int) -> None:
    name = await quick.enrol(number)
    node = await quick.bring(name, "manage", "provide")
    assert (node["provision_state"], node["last_error"]) == ("available", None)
    node = await quick.deploy(name, configdrive={"meta_data": {"hostname": "one"}})
    assert (node["provision_state"], node["last_error"], node["power_state"]) == ("active", None, "power on")
    assert node["boot_mode"] == "uefi", "the ramdisk of a node that was not inspected tells"
    assert effects(quick, name) == [
        *("start", "erase_devices_metadata", "write_image", "install_bootloader", "stop", "start")
    ], "the ramdisk that cleaned is used again, and everything happens once"
    assert quick.fleet.effects.all[-1].detail == BootDevice.DISK
    assert quick.fleet.machines[name].boot.persistent
    node = await quick.bring(name, "deleted")
    assert (node["provision_state"], node["instance_info"]) == ("available", {})
    assert effects(quick, name)[6:] == ["stop", "start", "erase_devices_metadata"]


async def test_a_partition_image_and_its_boot_loader(quick: world.World) -> None:
    name = await quick.enrol()
    await quick.bring(name, "manage", "provide")
    await quick.choose_image(name, image_type="partition", swap_mb=64)
    said = await quick.refused(name, "active")
    assert "Cannot validate image information: a partition image needs instance_info root_gb" in said
    await quick.choose_image(name, root_gb=10)
    await quick.order(name, "active")
    node = await quick.rests(name)
    assert (node["provision_state"], node["last_error"]) == ("active", None)
    written, loader = (one for one in quick.fleet.effects.all if one.kind in ("write_image", "install_bootloader"))
    assert (written.kind, written.detail) == ("write_image", "partition")
    assert (loader.kind, len(loader.detail)) == ("install_bootloader", 36), "the root file system's UUID is named"


@pytest.mark.parametrize("shared", [True, False])
async def test_sharing_of_images_is_a_switch_and_plain_http_is_always_there(tmp_path: Path, shared: bool) -> None:
    plan = {"ipmi": 1, "first": "127.66.0.1", "step_seconds": 1.0}
    wished = {"automated_clean": "false", "image_sharing": str(shared).lower()}
    async with world.opened(tmp_path, plan, **wished) as site:
        name = await site.enrol()
        await site.bring(name, "manage", "provide")
        await site.choose_image(name)
        await site.order(name, "active")
        await site.running(name, "execute_deploy_step")
        told: dict[str, Any] = (await site.agent(name)).image
        assert ("sources" in told["ingot_chunks"]) is shared, "who has which chunk is asked there"
        async with aiohttp.ClientSession() as session, session.get(told["urls"][0]) as answer:
            assert await answer.read() == site.image.read_bytes()
        assert (await site.rests(name))["provision_state"] == "active"


async def test_inspection(quick: world.World) -> None:
    name = await quick.enrol(1)
    node = await quick.bring(name, "manage", "inspect")
    assert (node["provision_state"], node["properties"]["memory_mb"]) == ("manageable", 65536)
    inventory = await quick.call("GET", f"/v1/nodes/{name}/inventory")
    assert inventory["inventory"]["hostname"] == name


async def test_a_ramdisk_rebooted_meanwhile_is_not_taken_for_the_old_one(quick: world.World) -> None:
    name = await quick.enrol()
    await quick.bring(name, "manage", "provide")
    old = await quick.agent(name)
    assert old.token
    quick.fleet.machines[name].poweroff_from_inside()
    node = await quick.deploy(name)
    assert node["provision_state"] == "active", node["last_error"]
    assert effects(quick, name).count("write_image") == 1
    assert effects(quick, name).count("start") == 3


async def test_a_machine_without_a_card_is_refused_before_it_is_touched(quick: world.World) -> None:
    made = {key: value for key, value in quick.fleet.nodes()[0].items() if key != "ports"}
    await quick.call("POST", "/v1/nodes", made)
    node = await quick.bring(ONE, "manage", "provide")
    assert node["provision_state"] == "clean failed"
    assert "has no port with pxe_enabled" in node["last_error"]
    assert "Create one: ingot port create NODE MAC." in node["last_error"]
    assert effects(quick, ONE) == []


async def test_manual_cleaning_with_given_steps(quick: world.World) -> None:
    name = await quick.enrol()
    await quick.bring(name, "manage")
    steps = [
        {"interface": "deploy", "step": "erase_devices"},
        {"interface": "deploy", "step": "erase_devices_metadata"},
    ]
    await quick.order(name, "clean", clean_steps=steps)
    node = await quick.rests(name)
    assert (node["provision_state"], node["last_error"]) == ("manageable", None)
    assert effects(quick, name) == ["start", "erase_devices", "erase_devices_metadata"]


@pytest.mark.parametrize("verbs", [("manage",), ("manage", "provide", "active")], ids=["clean", "service"])
async def test_what_a_step_found_is_kept_in_the_history(quick: world.World, verbs: tuple[str, ...]) -> None:
    """Such as the results of a burn-in, which the ramdisk forgets."""
    name = await quick.enrol()
    if "active" in verbs:
        await quick.choose_image(name)
    await quick.bring(name, *verbs)
    verb = "service" if "active" in verbs else "clean"
    steps = [{"interface": "deploy", "step": "burnin_cpu"}]
    body = {"target": verb, f"{verb}_steps": steps}
    await quick.call("PUT", f"/v1/nodes/{name}/states/provision", body, version="1.87")
    assert (await quick.rests(name))["last_error"] is None
    told = (await quick.call("GET", f"/v1/nodes/{name}/history?detail=true"))["history"]
    found = [one["event"] for one in told if "burnin" in one["event"]]
    assert found == ['deploy.burnin_cpu: {"rounds":1234,"errors":0}']


async def test_a_ramdisk_that_a_step_ended_is_booted_again_for_the_next_of_its_steps(quick: world.World) -> None:
    """Steps of the machine between those of the agent: the second of the agent's finds the machine off."""
    name = await quick.enrol()
    await quick.bring(name, "manage")
    steps = [
        {"interface": "deploy", "step": "erase_devices"},
        {"interface": "power", "step": "power_off"},
        {"interface": "deploy", "step": "erase_devices_metadata"},
    ]
    await quick.order(name, "clean", clean_steps=steps)
    node = await quick.rests(name)
    assert (node["provision_state"], node["last_error"]) == ("manageable", None)
    assert effects(quick, name) == ["start", "erase_devices", "stop", "start", "erase_devices_metadata"]


@pytest.mark.parametrize(("own", "asked", "done"), [(70, None, True), (70, 0, False), (0, 70, True), (0, None, False)])
async def test_steps_of_the_agents_own_join_a_deployment(
    tmp_path: Path, own: int, asked: int | None, done: bool
) -> None:
    """By the priority that the agent gives them, unless a deploy template says otherwise."""
    step: dict[str, Any] = {"interface": "deploy", "step": "inject_files", "args": {"files": []}, "priority": asked}
    plan = {"ipmi": 1, "first": "127.67.0.1", "inject_priority": own}
    async with world.opened(tmp_path, plan, automated_clean="false") as site:
        name = await site.enrol()
        await site.bring(name, "manage", "provide")
        if asked is not None:
            await site.call("POST", "/v1/deploy_templates", {"name": "CUSTOM_FILES", "steps": [step]})
            await site.call("PUT", f"/v1/nodes/{name}/traits/CUSTOM_FILES")
        await site.choose_image(name, traits=[] if asked is None else ["CUSTOM_FILES"])
        await site.order(name, "active")
        node = await site.rests(name)
        assert (node["provision_state"], node["last_error"]) == ("active", None)
        between = ["inject_files"] if done else []
        assert effects(site, name) == ["start", "write_image", *between, "install_bootloader", "stop", "start"]


async def test_a_deploy_step_the_agent_lacks_is_told_before_the_disk_is_touched(slow: world.World) -> None:
    name = await slow.enrol()
    await slow.bring(name, "manage", "provide")
    await slow.choose_image(name)
    step: dict[str, Any] = {"interface": "deploy", "step": "polish", "args": {}, "priority": 30}
    await slow.order(name, "active", deploy_steps=[step])
    node = await slow.rests(name)
    assert node["provision_state"] == "deploy failed"
    assert "nor the ramdisk's agent have the step deploy.polish. The agent has: deploy.inject" in node["last_error"]
    assert effects(slow, name) == ["start", "stop"]


async def test_a_step_the_agent_lacks(quick: world.World) -> None:
    name = await quick.enrol()
    await quick.bring(name, "manage")
    await quick.order(name, "clean", clean_steps=[{"interface": "deploy", "step": "polish"}])
    node = await quick.rests(name)
    assert (node["provision_state"], node["maintenance"]) == ("clean failed", True)
    assert node["last_error"].endswith(
        "Neither this node's interfaces nor the ramdisk's agent have the step deploy.polish. "
        "The agent has: deploy.burnin_cpu, deploy.erase_devices, deploy.erase_devices_metadata."
    )


async def test_killed_while_the_agent_writes(slow: world.World) -> None:
    name = await slow.enrol()
    await slow.bring(name, "manage", "provide")
    await slow.choose_image(name)
    await slow.order(name, "active")
    await slow.running(name, "execute_deploy_step")
    await slow.kill()
    await slow.start()
    node = await slow.rests(name)
    assert (node["provision_state"], node["last_error"]) == ("active", None)
    assert effects(slow, name).count("write_image") == 1
    assert effects(slow, name).count("install_bootloader") == 1


async def test_an_agent_that_vanishes_in_the_middle(slow: world.World) -> None:
    name = await slow.enrol()
    await slow.bring(name, "manage", "provide")
    await slow.choose_image(name)
    await slow.order(name, "active")
    await slow.running(name, "execute_deploy_step")
    address = slow.fleet.addresses[name]
    await slow.fleet.agents.pop(address).close()
    node = await slow.rests(name)
    assert node["provision_state"] == "deploy failed"
    said = node["last_error"]
    assert "The ramdisk's agent was silent for " in said
    assert f" s in the middle of deploy.execute_deploy_step: The agent at {address} " in said
    assert said.endswith("Look at the machine's console: it may have lost its power or its network.")
    assert slow.fleet.machines[name].power == PowerState.OFF, "the undo switched it off"
    assert node["power_state"] == "power off"


async def test_a_command_that_fails_says_why(slow: world.World) -> None:
    name = await slow.enrol()
    await slow.bring(name, "manage", "provide")
    await slow.choose_image(name)
    await slow.order(name, "active")
    command = await slow.running(name, "execute_deploy_step")
    complaint = {"type": "ImageWriteError", "code": 500, "message": "Error", "details": "No space on /dev/sda"}
    command.update(command_status="FAILED", command_error=complaint)
    node = await slow.rests(name)
    assert node["provision_state"] == "deploy failed"
    assert node["last_error"].endswith(
        "deploy.write_image: The ramdisk's agent failed execute_deploy_step: No space on /dev/sda. Look in its log "
        "(ingot node logs NODE) for what led to that, mend it, then start the operation again."
    )


async def test_the_answer_to_a_command_is_lost(quick: world.World) -> None:
    """The agent carries the order out and its answer never comes: it must not be ordered again."""
    name = await quick.enrol()
    await quick.bring(name, "manage", "provide")
    agent = await quick.agent(name)
    carry_out = agent.command
    lost: list[str] = []

    def mute(name: str, params: dict[str, object]) -> dict[str, object]:
        answer = carry_out(name, params)
        if name.startswith("deploy.") and name not in lost:
            lost.append(name)
            raise asyncio.CancelledError  # the server drops the connection without an answer
        return answer

    agent.command = mute
    node = await quick.deploy(name)
    assert (node["provision_state"], lost) == ("active", ["deploy.get_deploy_steps", "deploy.execute_deploy_step"])
    assert effects(quick, name).count("write_image") == 1


async def test_killed_between_the_order_and_its_note(quick: world.World) -> None:
    """The agent has carried the order out, and the service dies before it can write that down."""
    name = await quick.enrol()
    await quick.bring(name, "manage", "provide")
    agent = await quick.agent(name)
    carry_out = agent.command
    service = quick.process
    assert service is not None

    def deadly(name: str, params: dict[str, object]) -> dict[str, object]:
        answer = carry_out(name, params)
        if name.startswith("deploy.execute") and service.returncode is None:
            service.kill()
        return answer

    agent.command = deadly
    await quick.choose_image(name)
    await quick.order(name, "active")
    await asyncio.wait_for(service.wait(), 30)
    assert effects(quick, name)[-1] == "write_image"
    await quick.start()
    node = await quick.rests(name)
    assert (node["provision_state"], node["last_error"]) == ("active", None)
    assert effects(quick, name).count("write_image") == 1


async def test_undo_goes_on_where_the_bmc_is_dead(slow: world.World) -> None:
    """The machine cannot be switched off, but its next boot is not the ramdisk, and the ramdisk may not speak."""
    name = await slow.enrol()
    await slow.bring(name, "manage", "provide")
    await slow.choose_image(name)
    await slow.order(name, "active")
    command = await slow.running(name, "execute_deploy_step")
    slow.fleet.bmcs[name].faults.change({"drop_rate": 1.0})
    command.update(command_status="FAILED", command_error={"type": "x", "details": "The disk is on fire"})
    node = await slow.rests(name, 90)
    assert node["provision_state"] == "deploy failed"
    assert "The disk is on fire" in node["last_error"], "the first reason counts, not that of the undo"
    assert node["driver_internal_info"]["boot"] == {"what": "disk"}
    assert slow.fleet.machines[name].power == PowerState.ON
    agent = await slow.agent(name)
    beats = agent.heartbeats
    await slow.until(lambda: agent.heartbeats > beats + 1)
    assert (await slow.node(name))["driver_internal_info"].get("agent_url") is None


async def test_the_image_is_named_once_not_at_every_look(slow: world.World) -> None:
    """While the agent writes, the source of the image may go away."""
    name = await slow.enrol()
    await slow.bring(name, "manage", "provide")
    await slow.choose_image(name)
    await slow.order(name, "active")
    await slow.running(name, "execute_deploy_step")
    slow.image.unlink()
    for entry in (slow.folder / "data" / "images").glob("*/entry.json"):
        entry.unlink()
    node = await slow.rests(name)
    assert (node["provision_state"], node["last_error"]) == ("active", None)


async def test_an_agent_still_at_work_is_booted_anew(tmp_path: Path) -> None:
    """A manual cleaning that somebody aborted goes on in the ramdisk: it gets no second order, but a new boot."""
    plan = {"ipmi": 1, "first": "127.65.0.1", "step_seconds": 6.0}
    async with world.opened(tmp_path, plan) as slow:
        name = await slow.enrol()
        await slow.bring(name, "manage")
        await slow.order(name, "clean", clean_steps=[{"interface": "deploy", "step": "erase_devices"}])
        await slow.running(name, "execute_clean_step")

        async def waits() -> bool:
            return (await slow.node(name))["provision_state"] == "clean wait"

        await slow.until(waits)
        await slow.order(name, "abort")
        assert (await slow.rests(name))["provision_state"] == "clean failed"
        node = await slow.bring(name, "manage", "provide")
        assert (node["provision_state"], node["last_error"]) == ("available", None)
        assert effects(slow, name) == ["start", "erase_devices", "stop", "start", "erase_devices_metadata"]


@pytest.mark.parametrize("number", [0, 1], ids=["ipmi", "redfish"])
async def test_a_machine_that_must_not_be_off_is_deployed_and_given_back_by_restarts(
    quick: world.World, number: int
) -> None:
    name = await quick.enrol(number)
    keep_on = [{"op": "replace", "path": "/disable_power_off", "value": True}]
    await quick.call("PATCH", f"/v1/nodes/{name}", keep_on, version="1.95")
    node = await quick.bring(name, "manage", "provide")
    assert (node["provision_state"], node["last_error"]) == ("available", None)
    node = await quick.deploy(name)
    assert (node["provision_state"], node["last_error"], node["power_state"]) == ("active", None, "power on")
    node = await quick.bring(name, "deleted")
    assert (node["provision_state"], node["last_error"], node["power_state"]) == ("available", None, "power on")
    first, *then = quick.fleet.machines[name].history
    assert first == PowerAction.ON
    assert then
    assert not {PowerAction.OFF, PowerAction.SOFT_OFF} & set(then)
