"""One machine's way from a blank server to an operating system that answers, and how long each part took.

May not: know how the machine is made. Invariant: everything is asked of the public API or of the system's SSH.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path

from ingot.cli import client as api
from ingot.cli import deployment, following, jsons, progress
from ingot.cli.board import Board, Line, Mark
from ingot.cli.demo import proof
from ingot.cli.demo.world import PREFIX, Machine, World
from ingot.cli.node import deploy, verbs
from ingot.domain import errors

PHASES = (("verify", "manage"), ("inspect", "inspect"), ("clean", "provide"))
LIMIT = 2400.0
LOOK = 0.5


@dataclass
class Journey:
    """What became of a machine. ``answer``: what its system said; ``error``: why its way ended.

    ``seconds`` by phase, ``steps`` by phase and step.
    """

    machine: Machine
    seconds: dict[str, float] = field(default_factory=dict[str, float])
    answer: str | None = None
    error: str | None = None
    screen: Path | None = None
    console: Path | None = None
    steps: dict[str, dict[str, float]] = field(default_factory=dict[str, dict[str, float]])


async def carry(world: World, machine: Machine, key: proof.Key, board: Board) -> Journey:
    """Take one machine the whole way; a failure is told in the journey, not raised."""
    journey = Journey(machine)
    try:
        await _go(world, journey, key, board)
        board.put(machine.name, Line(f"{machine.address} answers by SSH", Mark.DONE))
    except errors.IngotError as error:
        journey.error = error.sentence()
        if isinstance(error, errors.Unreachable) and world.service.pid is None:
            journey.error = f"ingot serve ended: {world.service.tail()}"
        board.put(machine.name, Line(journey.error, Mark.FAILED))
    try:
        journey.screen = await world.screenshot(machine)
    except errors.IngotError as error:
        board.say(f"{machine.name}: no screenshot: {error.sentence()}")
    journey.console = await asyncio.to_thread(world.save_console, machine)
    return journey


async def _go(world: World, journey: Journey, key: proof.Key, board: Board) -> None:
    machine = journey.machine
    board.put(machine.name, Line("enrolling", since=time.monotonic()))
    await enrol(world, machine)
    for phase, verb in PHASES:
        began = time.monotonic()
        await asyncio.to_thread(verbs.ask, world.client, machine.name, verb)
        await rest(world, machine.name, verb, board)
        journey.seconds[phase] = time.monotonic() - began
        journey.steps[phase] = await steps(world.client, machine.name)
    began = time.monotonic()
    await start_deployment(world, machine, [key.public])
    await rest(world, machine.name, "active", board)
    journey.seconds["deploy"] = time.monotonic() - began
    journey.steps["deploy"] = await steps(world.client, machine.name)
    began = time.monotonic()
    board.put(machine.name, Line("the system starts; waiting for SSH", since=began, usual=90))
    journey.answer = await proof.ask(world, machine, key)
    journey.seconds["boot"] = time.monotonic() - began


async def enrol(world: World, machine: Machine) -> None:
    """Create the machine's node and port."""
    mode = {"cpu_arch": "x86_64", "capabilities": f"boot_mode:{machine.firmware}"}
    body = {"name": machine.name, "driver": machine.driver, "properties": mode}
    body["driver_info"] = dict(machine.driver_info)
    node = await world.call("POST", "/v1/nodes", body)
    await world.call("POST", "/v1/ports", {"node_uuid": node["uuid"], "address": machine.mac})


async def start_deployment(world: World, machine: Machine, keys: list[str]) -> None:
    """Ask for the world's image on the machine, with host name, keys and a fixed address."""
    network = deployment.network(f"{machine.address}/{PREFIX}", machine.mac)
    drive = deployment.Drive(machine.name, keys, network)
    await asyncio.to_thread(deploy.send, world.client, machine.name, world.artifacts.image, drive)


async def rest(world: World, name: str, verb: str, board: Board, limit: float = LIMIT) -> progress.Progress:
    """Show the node until it rests; raise errors.IngotError unless it rests where ``verb`` leads.

    Rides out a restart of the service.
    """
    deadline = time.monotonic() + limit
    while True:
        seen = await look(world.client, name, deadline)
        if seen.resting:
            following.expect([seen], verbs.GOALS[verb])
            board.put(name, Line(seen.told(), since=time.monotonic()))
            return seen
        board.put(name, following.line(seen))
        if time.monotonic() > deadline:
            raise errors.TimedOut(f"{name} is not done after {limit:g} s: {seen.told()}", hint="See its console.")
        await asyncio.sleep(LOOK)


async def steps(client: api.Client, name: str) -> dict[str, float]:
    """Seconds by step of the node's newest run."""
    run = await asyncio.to_thread(progress.find_run, client, name)
    return {str(step["title"]): float(step.get("duration") or 0) for step in jsons.tables(run.get("plan"))}


async def look(client: api.Client, name: str, deadline: float) -> progress.Progress:
    """One look at a node; a silent API is asked again for up to a minute."""
    until = min(deadline, time.monotonic() + following.PATIENCE)
    while True:
        try:
            return await asyncio.to_thread(progress.observe, client, name)
        except errors.Unreachable:
            if time.monotonic() > until:
                raise
            await asyncio.sleep(LOOK)
