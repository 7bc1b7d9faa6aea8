"""What the demo leaves its reader with: what the machines said, how long each part took, what to try next.

May not: start or end anything. Invariant: every printed command can be pasted as it is.
"""

from __future__ import annotations

import json
import shlex
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ingot
from ingot.cli import board
from ingot.cli.demo import proof
from ingot.cli.demo.journey import Journey
from ingot.cli.demo.world import World


def free_port(wanted: int) -> int:
    """``wanted`` if nobody listens there on loopback, else 0 (any)."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            return 0
    return wanted


def story(world: World, ways: Sequence[Journey], total: float) -> str:
    """What happened, machine by machine, and the times."""
    parts = [_of_machine(way) for way in ways]
    built = {f"build {name}": seconds for name, seconds in world.artifacts.seconds.items()}
    parts.append("Seconds: " + _times({**built, **world.seconds}))
    parts += [f"  {way.machine.name}: {_times(way.seconds)}" for way in ways]
    parts.append(f"Whole demo: {board.duration(total)}")
    if any(way.error for way in ways):
        parts.append(f"Log of the service: {world.service.log}")
    return "\n".join(["", *parts, ""])


def _of_machine(way: Journey) -> str:
    machine = way.machine
    title = f"=== {machine.name} ({machine.firmware.upper()}, {machine.driver}) at {machine.address} ==="
    lines = ["", title, way.answer or f"failed: {way.error}"]
    lines += [f"screen:  {way.screen or 'none'}", f"console: {way.console or 'none'}"]
    return "\n".join(lines)


def _times(seconds: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.1f}" for name, value in seconds.items())


def hints(world: World, ways: Sequence[Journey], key: proof.Key) -> str:
    """What to try while it runs."""
    program = program_name()
    name = ways[0].machine.name
    lines = [
        f"The API is at {world.url} (of this host only). In another terminal:",
        "",
        f"  . {world.access}      # INGOT_URL, INGOT_USER, INGOT_PASSWORD",
        f"  {program} node list",
        f"  {program} node history {name}",
        f"  {program} node inventory {name}",
        *(f"  {shlex.join(proof.command(world, way.machine, key.path))}" for way in ways if way.answer),
        f"  {program} rack status {world.blueprint.name}",
        f"  {program} node undeploy {name} --wait",
        "",
        "  # any Ironic client works:",
        "  export OS_AUTH_TYPE=http_basic OS_ENDPOINT=$INGOT_URL OS_USERNAME=$INGOT_USER OS_PASSWORD=$INGOT_PASSWORD",
        "  baremetal node list",
        "",
        f"Log of the service: {world.service.log}",
    ]
    return "\n".join(lines)


def invitation() -> str:
    """What to try after a demo that is over."""
    program = program_name()
    return f"Next: {program} demo --keep      leaves it running and prints what to try with it"


def program_name() -> str:
    """How the user calls ingot here."""
    checkout = Path(str(ingot.__file__)).parents[2] / "ingot"
    return "./ingot" if checkout.is_file() else "ingot"


def write_report(path: Path, world: World, ways: Sequence[Journey], total: float) -> None:
    """The times as JSON, for benches."""
    report: dict[str, Any] = {
        "total": round(total, 2),
        "build": _rounded(world.artifacts.seconds),
        "start": _rounded(world.seconds),
        "machines": {way.machine.name: _machine_report(way) for way in ways},
    }
    path.write_text(json.dumps(report, indent=2) + "\n")


def _machine_report(way: Journey) -> dict[str, Any]:
    return {
        "firmware": way.machine.firmware,
        "driver": way.machine.driver,
        "answered": way.answer is not None,
        "error": way.error,
        "seconds": _rounded(way.seconds),
        "total": round(sum(way.seconds.values()), 2),
        "steps": {phase: _rounded(steps) for phase, steps in way.steps.items()},
    }


def _rounded(seconds: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 2) for name, value in seconds.items()}
