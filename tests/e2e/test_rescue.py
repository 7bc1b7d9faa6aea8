"""One machine through its whole working life: active, rescued by password and key, brought back, serviced, rebuilt,
given back."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import Any

import pytest

from e2e import way
from ingot.cli.demo import artifacts, children, proof
from ingot.cli.demo.world import Machine, World

pytestmark = [pytest.mark.qemu, pytest.mark.long, pytest.mark.timeout(2400)]

PASSWORD = "rescue-Geheim-17"
_SSH = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "ConnectTimeout=20"]


def address(machine: Machine) -> str:
    """The address the ramdisk told on the console, the last one."""
    return re.findall(r"has (\d+\.\d+\.\d+\.\d+)/", way.console(machine))[-1]


async def answer(world: World, machine: Machine, words: list[str], **environment: str) -> str:
    """What the rescue ramdisk says to a login as the user rescue, asked again until it answers."""
    told = [f"{key}={value}" for key, value in environment.items()]
    deadline = time.monotonic() + 120
    while True:
        login = ["ssh", *_SSH, *words, f"rescue@{address(machine)}", "echo $USER; hostname; cat /proc/partitions"]
        code, output, complaints = await children.capture([*world.prefix, "env", *told, *login], 90.0)
        if code == 0:
            return output
        assert time.monotonic() < deadline, complaints


async def ask_by_password(world: World, machine: Machine, password: str) -> str:
    """Log in with the password alone; OpenSSH takes it from a program where it has no terminal."""
    program = world.folder / "askpass"
    program.write_text(f"#!/bin/sh\necho {password}\n")
    program.chmod(0o700)
    words = ["-o", "PubkeyAuthentication=no", "-o", "NumberOfPasswordPrompts=1"]
    return await answer(
        world, machine, words, SSH_ASKPASS=str(program), SSH_ASKPASS_REQUIRE="force", HOME=os.environ["HOME"]
    )


async def rescue(world: World, machine: Machine, key: proof.Key) -> None:
    patch: list[dict[str, Any]] = [{"op": "add", "path": "/instance_info/rescue_ssh_keys", "value": [key.public]}]
    await world.call("PATCH", f"/v1/nodes/{machine.name}", patch)
    await way.ask(world, machine, "rescue", rescue_password=PASSWORD)
    await way.reach(world, machine, "rescue")


async def check_login(world: World, machine: Machine, key: proof.Key) -> None:
    """Both ways in lead to the ramdisk, which sees the machine's disk; nothing of the password is told."""
    by_password = (await ask_by_password(world, machine, PASSWORD)).split()
    by_key = (await answer(world, machine, ["-i", str(key.path), "-o", "BatchMode=yes"])).split()
    for said in (by_password, by_key):
        assert said[0] == "rescue"
        assert {"vda", "sda", "nvme0n1"} & set(said), said
    node = await way.look(world, machine)
    service = world.service.log.read_text(errors="replace")
    assert PASSWORD not in f"{node}{service}{way.console(machine)}"


async def test_from_active_through_rescue_service_and_rebuild_to_available(made: artifacts.Artifacts) -> None:
    async with way.opened("rescue", made, firmwares=("bios",)) as world:
        (machine,) = world.machines
        await way.enrol(world, machine, **{"automated_clean": False, "driver_info/agent_burnin_cpu_timeout": 5})
        await way.provide(world, machine)
        key = await proof.make_key(world.folder)
        await way.start_deploy(world, machine, key)
        await way.reach(world, machine, "active")
        await proof.ask(world, machine, key)

        await rescue(world, machine, key)
        await check_login(world, machine, key)
        await way.ask(world, machine, "unrescue")
        await way.reach(world, machine, "active")
        await proof.ask(world, machine, key)

        boots = way.console(machine).count("agent up")
        step = {"interface": "deploy", "step": "burnin_cpu"}
        await way.ask(world, machine, "service", service_steps=[step, {"interface": "power", "step": "hold"}])
        await way.reach(world, machine, "service hold")
        await way.ask(world, machine, "unhold")
        await way.reach(world, machine, "active")
        assert way.console(machine).count("agent up") == boots + 1
        await proof.ask(world, machine, key)

        await way.ask(world, machine, "rebuild")
        await way.reach(world, machine, "active")
        await proof.ask(world, machine, key)  # by the key of the first config drive, which the request did not repeat

        await way.ask(world, machine, "deleted")
        node = await way.reach(world, machine, "available")
        assert (node["instance_info"], await way.power(world, machine)) == ({}, "off")


def test_the_ramdisk_stays_small(made: artifacts.Artifacts) -> None:
    """Kernel and initrd with an SSH server in it: 40 MiB at most."""
    folder: Path = made.ramdisk
    assert sum((folder / name).stat().st_size for name in ("vmlinuz", "initrd")) <= 40 << 20
