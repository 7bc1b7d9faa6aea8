"""What goes wrong with agents in the middle of their work: each has its true cause in the node's reason, soon."""

from __future__ import annotations

import asyncio
import base64
import io
import re
import tarfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from cli import program
from drivers import world
from faults import catalogue
from ingot_rack import agents
from ingot_rack.hardware import BootDevice


@pytest.fixture
async def slow(tmp_path: Path) -> AsyncIterator[world.World]:
    """Two machines whose commands take long; heartbeats are as rare as they usually are."""
    plan = {"ipmi": 2, "first": "127.65.0.1", "step_seconds": 30.0}
    async with world.opened(tmp_path, plan, automated_clean="false") as opened:
        yield opened


async def _writing(of: world.World, number: int = 0) -> tuple[str, agents.Agent, dict[str, Any]]:
    """A node whose agent is in the middle of writing: its name, its agent, the command."""
    name = await of.enrol(number)
    await of.bring(name, "manage", "provide")
    await of.choose_image(name)
    await of.order(name, "active")
    command = await of.running(name, "execute_deploy_step")
    return name, await of.agent(name), command


async def _failed(of: world.World, name: str) -> str:
    began = time.monotonic()
    node = await of.rests(name, within=60)
    assert node["provision_state"] == "deploy failed"
    assert time.monotonic() - began < 60
    return str(node["last_error"])


async def test_an_agent_with_another_token(slow: world.World) -> None:
    name, agent, _ = await _writing(slow)
    agent.token = "x" * 40
    catalogue.told("agent-wrong-token", await _failed(slow, name))


async def test_another_nodes_agent_at_the_address(slow: world.World) -> None:
    other = await slow.enrol(1)
    await slow.bring(other, "manage", "provide")
    await slow.choose_image(other)
    name, _, _ = await _writing(slow)
    slow.fleet.addresses[other] = slow.fleet.addresses[name]  # its ramdisk is given the address of the first
    await slow.order(other, "active")
    told = await _failed(slow, name)
    assert f"that of node {(await slow.node(other))['uuid']}, which called from there " in told
    catalogue.told("agent-of-another-node", told)


async def test_a_machine_rebooted_in_the_middle_of_a_write(slow: world.World) -> None:
    name, _, _ = await _writing(slow)
    machine = slow.fleet.machines[name]
    machine.order = BootDevice.NETWORK
    machine.reboot_from_inside()
    told = await _failed(slow, name)
    sign = re.search(
        r"was rebooted in the middle of deploy.execute_deploy_step: its agent is gone and it ([^.]*)\.", told
    )
    assert sign, told
    usual = "asks anew which node it is"
    assert sign[1] == usual or "boot script" in sign[1], "which of them is seen first is a matter of milliseconds"
    catalogue.told("agent-rebooted", told.replace(sign[1], usual))


async def test_an_agent_that_was_started_anew(slow: world.World) -> None:
    name, agent, _ = await _writing(slow)
    agent.commands.clear()
    agent.call()
    told = await _failed(slow, name)
    assert "knows nothing of deploy.execute_deploy_step any more: it was restarted in the middle" in told
    catalogue.told("agent-restarted", told)


async def test_a_command_posted_again_is_not_run_again(slow: world.World) -> None:
    name, agent, command = await _writing(slow)
    await slow.kill()
    await slow.start()
    command.update(command_status="FAILED", command_error={"details": "enough"})
    agent.call()
    assert "enough" in await _failed(slow, name)
    posted = [one for one in agent.commands.values() if one["command_name"] == "execute_deploy_step"]
    assert len(posted) == 1


def _bundle(text: str) -> str:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        entry = tarfile.TarInfo("agent")
        entry.size = len(text)
        archive.addfile(entry, io.BytesIO(text.encode()))
    return base64.b64encode(packed.getvalue()).decode()


async def test_the_ramdisks_logs_are_kept_with_a_failed_run(slow: world.World) -> None:
    name, agent, command = await _writing(slow)
    carry_out = agent.command

    def with_logs(command: str, params: dict[str, Any]) -> dict[str, Any]:
        answer = carry_out(command, params)
        if command == "log.collect_system_logs":
            answer["command_result"] = {"system_logs": _bundle("the disk clicked")}
        return answer

    agent.command = with_logs
    command.update(command_status="FAILED", command_error={"details": "the disk died"})
    agent.call()
    catalogue.told("agent-step-failed", await _failed(slow, name))
    kept = await slow.call("GET", f"/ingot/v1/nodes/{name}/logs")
    assert kept["files"] == {"agent": "the disk clicked"}
    shown = await slow.call("GET", f"/ingot/v1/nodes/{name}/runs")
    assert shown["runs"][0]["id"] == kept["run"]
    same = await slow.call("GET", f"/ingot/v1/nodes/{name}/logs?run={kept['run']}")
    assert same == kept
    told = await asyncio.to_thread(program.run_here, "node", "logs", name, url=slow.url)
    assert told.output == "==> agent <==\nthe disk clicked\n"
    told = await asyncio.to_thread(program.run_here, "node", "logs", name, "--file", "dmesg", url=slow.url)
    assert "The bundle has no file 'dmesg'. It has: agent." in told.output
