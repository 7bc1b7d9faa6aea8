"""`ingot demo`: a virtual rack, two servers deployed by the public API and reached by SSH, in one command.

May not: take a way that a user could not take. Invariant: exit code 0 only if every machine answered by SSH, and
nothing it started is left when it ends.
"""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import click

from ingot.cli import board, exits, stopping
from ingot.cli.board import Board, Line, Mark
from ingot.cli.demo import artifacts, farewell, journey, preflight, proof, sudo
from ingot.cli.demo.world import API_PORT, Blueprint, World

STOPPED = 130


@dataclass(frozen=True)
class Wishes:
    """What the user asked for."""

    blueprint: Blueprint
    image: str
    keep: bool
    report: Path | None


@click.command()
@click.option("--keep", is_flag=True, help="Leave it running until Ctrl-C.")
@click.option("--memory", type=click.IntRange(min=512), default=1024, show_default=True, help="MiB per machine.")
@click.option("--bios/--no-bios", default=True, help="A BIOS machine with an IPMI BMC.")
@click.option("--uefi/--no-uefi", default=True, help="A UEFI machine with a Redfish BMC.")
@click.option("--image", type=click.Choice(["debian", "tiny"]), default="debian", show_default=True)
@click.option("--port", type=click.IntRange(0, 65535), help="Host port of the API (default: 6385, else a free one).")
@click.option("--report", type=click.Path(path_type=Path), help="Write the times to this JSON file.")
@click.option("--name", default="demo", hidden=True, help="Lets several demos run side by side.")
def demo(
    *, keep: bool, memory: int, bios: bool, uefi: bool, image: str, port: int | None, report: Path | None, name: str
) -> None:
    """Set up a virtual rack and take its servers from blank to SSH: enrol, verify, inspect, clean, deploy."""
    firmwares = tuple(kind for kind, wanted in (("bios", bios), ("uefi", uefi)) if wanted)
    if not firmwares:
        raise click.UsageError("Leave at least one machine: --bios or --uefi.")
    sudo.become_root()
    chosen = port if port is not None else farewell.free_port(API_PORT)
    wishes = Wishes(Blueprint(name, firmwares, memory, port=chosen), image, keep, report)
    preflight.check(len(firmwares), memory, wishes.blueprint.folder)
    try:
        answered = stopping.run(lambda: run(wishes))
    except stopping.Stopped:
        click.echo("ingot: stopped; everything the demo started is gone", err=True)
        sys.exit(STOPPED)
    sys.exit(exits.DONE if answered else exits.FAILED)


async def run(wishes: Wishes) -> bool:
    """Do it all; whether every machine answered."""
    began = time.monotonic()
    with board.opened() as lines:
        built = await artifacts.prepare(wishes.image, lines)
        async with World(wishes.blueprint, built, lambda text: lines.put("demo", _busy(text))) as world:
            lines.put("demo", Line(f"ingot serves at {world.url}", Mark.DONE))
            key = await proof.make_key(world.folder)
            ways = await carry_all(world, key, lines)
            total = time.monotonic() - began
            lines.say(farewell.story(world, ways, total))
            answered = all(way.answer is not None for way in ways)
            world.keep_files = not answered
            if wishes.report is not None:
                farewell.write_report(wishes.report, world, ways, total)
            if wishes.keep:
                lines.say(farewell.hints(world, ways, key))
                lines.put("demo", Line(f"running at {world.url}; Ctrl-C ends it", Mark.DONE))
                await asyncio.Event().wait()
        lines.put("demo", Line("everything it started is gone", Mark.DONE))
    return answered


async def carry_all(world: World, key: proof.Key, lines: Board) -> list[journey.Journey]:
    """All machines at once."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(journey.carry(world, machine, key, lines)) for machine in world.machines]
    return [task.result() for task in tasks]


def _busy(text: str) -> Line:
    return Line(text, since=time.monotonic())
