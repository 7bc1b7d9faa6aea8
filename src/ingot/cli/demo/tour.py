"""The demo from end to end: build, start, take every machine its way, tell, end.

May not: take a way that a user could not take. Invariant: leaving ``run`` in any way ends all that it started.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

from ingot.cli import board
from ingot.cli.board import Board, Line, Mark
from ingot.cli.demo import artifacts, farewell, journey, proof
from ingot.cli.demo.world import Blueprint, World


@dataclass(frozen=True)
class Wishes:
    """What the user asked for. ``report``: JSON file for the times, None for none."""

    blueprint: Blueprint
    image: str = "debian"
    keep: bool = False
    report: Path | None = None


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
        lines.say(farewell.invitation())
    return answered


async def carry_all(world: World, key: proof.Key, lines: Board) -> list[journey.Journey]:
    """All machines at once."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(journey.carry(world, machine, key, lines)) for machine in world.machines]
    return [task.result() for task in tasks]


def _busy(text: str) -> Line:
    return Line(text, since=time.monotonic())
