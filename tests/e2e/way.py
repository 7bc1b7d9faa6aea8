"""What the tests of whole deployments share: asking for a verb, waiting for its end, logging in.

Everything goes through the public API or the deployed system's SSH. Waits have deadlines that suit a machine
that does other work too, and a failed wait shows the service's log and the machine's console.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol

import pytest

from ingot.cli import client as api
from ingot.cli import deployment
from ingot.cli.demo import artifacts, children, journey, proof, service
from ingot.cli.demo.world import PREFIX, Blueprint, Machine, World
from ingot.cli.node import deploy
from ingot.domain import errors

PATIENCE = 600.0
RAMDISK_CALLS = 300.0
FAILED = ("deploy failed", "clean failed", "inspect failed", "error")
Json = dict[str, Any]


class Place(Protocol):
    """What the real and the simulated racks have in common."""

    @property
    def service(self) -> service.Service: ...

    @property
    def client(self) -> api.Client: ...

    async def call(self, method: str, path: str, body: Any = None) -> Any: ...


async def built(folder: Path, image: str, *extras: Path) -> artifacts.Artifacts:
    """Ramdisk (a copy in ``folder``, with ``extras``) and image, from the caches when nothing has changed.

    Skips without root.
    """
    if os.geteuid() != 0:
        pytest.skip("a rack's network needs root")
    words = ["ramdisk", "build", "--output", str(folder), "--json"]
    words += [word for extra in extras for word in ("--extra", str(extra))]
    ramdisk = await children.build(words, print)
    system = await children.build(["rack", "image", image, "--json"], print)
    path = Path(system["path"])
    ready = deployment.Image(path.as_uri(), "sha256", system["sha256"])
    return artifacts.Artifacts(Path(ramdisk["folder"]), ready, path.parent, system["user"])


@contextlib.asynccontextmanager
async def opened(name: str, made: artifacts.Artifacts, **wishes: Any) -> AsyncGenerator[World]:
    """A world of its own name, whose folder is gone afterwards; ``wishes`` as Blueprint takes them."""
    memory = wishes.pop("memory_mb", 512)
    blueprint = Blueprint(f"e2e-{name}-{os.getpid()}", memory_mb=memory, **wishes)
    try:
        async with World(blueprint, made) as world:
            yield world
    finally:
        await asyncio.to_thread(shutil.rmtree, blueprint.folder, ignore_errors=True)


async def ask(world: Place, machine: Machine, verb: str, **body: Any) -> None:
    """Ask for a provision verb."""
    await world.call("PUT", f"/v1/nodes/{machine.name}/states/provision", {"target": verb, **body})


async def look(world: Place, machine: Machine) -> Json:
    """The node; a silent API is asked again for a minute, for it may be starting."""
    deadline = time.monotonic() + 60
    while True:
        try:
            found: Json = await world.call("GET", f"/v1/nodes/{machine.name}")
        except errors.Unreachable:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.2)
        else:
            return found


async def run_of(world: Place, machine: Machine) -> Json:
    """The node's newest run with its plan."""
    found: Json = await world.call("GET", f"/ingot/v1/nodes/{machine.name}/run")
    return found


async def until(
    world: Place, machine: Machine, what: str, condition: Callable[[], Awaitable[bool]], within: float = PATIENCE
) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + within
    while not await condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{machine.name} after {within:g} s: not {what}\n{story(world, machine)}")
        await asyncio.sleep(0.2)


async def reach(world: Place, machine: Machine, *states: str, within: float = PATIENCE) -> Json:
    """Wait until the node is in one of these states; the node. A failure that nobody waits for ends the wait."""
    seen: list[Json] = []

    async def there() -> bool:
        seen[:] = [await look(world, machine)]
        state = seen[0]["provision_state"]
        stopped = state in {"enroll", "manageable"} and seen[0]["last_error"] and not seen[0]["target_provision_state"]
        if state not in states and (state in FAILED or stopped):
            raise AssertionError(f'{machine.name} is in "{state}": {seen[0]["last_error"]}\n{story(world, machine)}')
        return state in states

    await until(world, machine, " or ".join(states), there, within)
    return seen[0]


async def enrol(world: World, machine: Machine, **fields: Any) -> None:
    """Create node and port, and have its BMC verified."""
    await journey.enrol(world, machine)
    if fields:
        patch = [{"op": "add", "path": f"/{key}", "value": value} for key, value in fields.items()]
        await world.call("PATCH", f"/v1/nodes/{machine.name}", patch)
    await ask(world, machine, "manage")
    await reach(world, machine, "manageable")


async def provide(world: Place, machine: Machine) -> Json:
    """Clean, until available."""
    await ask(world, machine, "provide")
    return await reach(world, machine, "available")


async def start_deploy(world: World, machine: Machine, key: proof.Key, image: deployment.Image | None = None) -> None:
    """Ask for the world's image, or another, with host name, key and a fixed address."""
    network = deployment.network(f"{machine.address}/{PREFIX}", machine.mac)
    drive = deployment.Drive(machine.name, [key.public], network)
    await asyncio.to_thread(deploy.send, world.client, machine.name, image or world.artifacts.image, drive)


async def history(world: Place, machine: Machine) -> list[str]:
    """What the node's history says, oldest first."""
    found = await world.call("GET", f"/v1/nodes/{machine.name}/history?detail=True")
    return [str(one["event"]) for one in sorted(found["history"], key=lambda one: str(one["created_at"]))]


async def inside(world: World, machine: Machine, key: proof.Key, words: str) -> str:
    """What a command says in the deployed system."""
    *most, target = proof.command(world, machine, key.path)
    quiet = ["-o", "BatchMode=yes", "-o", "ConnectTimeout=20", "-o", "LogLevel=ERROR"]
    code, output, complaints = await children.capture([*most, *quiet, target, words], 120.0)
    assert code == 0, complaints
    return output


async def disk(world: World, machine: Machine) -> Path:
    """The file behind the machine's first disk."""
    status = await world.rack(do="status")
    return Path(next(one for one in status["machines"] if one["name"] == machine.name)["disks"][0])


async def power(world: World, machine: Machine) -> str:
    """The truth about the machine's power."""
    status = await world.rack(do="status")
    return str(next(one for one in status["machines"] if one["name"] == machine.name)["power"])


def console(machine: Machine) -> str:
    """Everything the machine ever wrote to its serial line."""
    return machine.serial_log.read_text(errors="replace") if machine.serial_log.exists() else ""


def story(world: Place, machine: Machine) -> str:
    """What a reader of a failed wait needs."""
    log = world.service.log.read_text(errors="replace")[-3000:]
    return f"--- log of the service ---\n{log}\n--- console ---\n{console(machine)[-2000:]}"
