"""What a service loses by and by: memory, threads, sockets, files, rows, over minutes of mixed work and faults.

Run: ./ingot bench soak [--nodes N] [--fakes N] [--hours H | --minutes M] [--seed N]

Machines are deployed and released again and again, nodes made and deleted, lists read and power switched, while every
few seconds the BMC of some machine loses packets, is slow, busy, refuses, or hangs up. Every 5 s the service is looked
at from outside (/proc, its database, its data directory). Flat: the median of the last quarter is no more than that of
the second quarter by more than what ALLOWED says; the first is for warming up. Rows that grow with the work are
judged by what is kept of each node. A first Ctrl-C or SIGTERM ends the work in good order and the time so far is
judged, a second one does not wait for what is under way. Exits with 1 when anything is not flat, or an order was lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import random
import signal
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import aiohttp
import customers
import report
import service
from cloud import Cloud

from ingot_rack import control, errors

EVERY = 5.0
PATIENCE = 600.0
FAILURES = (aiohttp.ClientError, TimeoutError, errors.RackError)
FAULTS: list[dict[str, Any]] = [
    {"drop_rate": 0.5},
    {"delay": 2.0},
    {"power_seconds": 4.0},
    {"busy_next": 3},
    {"unavailable_next": 3},
    {"reset_next": 1},
]
WELL = {"drop_rate": 0.0, "delay": 0.0, "power_seconds": 0.0}
ALLOWED = {
    "memory, MiB": (1.08, 4),
    "threads": (1, 1),
    "files open": (1.1, 8),
    "sockets": (1.1, 8),
    "tasks": (1.2, 20),
    "sessions of a BMC": (1.0, 2),
    "children": (1, 0),
    "files": (1, 2),
    "runs open": (1.2, 8),
    "rows of nodes and ports": (1.05, 8),
    "most runs kept of a node": (1.0, 101),
    "most lines of history kept of a node": (1.0, 350),
    "events kept": (1.1, 200_000),
}
"""By how much a median may grow: times the first, and that many more."""


def main() -> None:
    parser = report.parser(__doc__)
    parser.add_argument("--nodes", type=int, default=40, help="simulated machines with BMC and agent")
    parser.add_argument("--fakes", type=int, default=10)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--hours", type=float, help="instead of --minutes")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    wanted = parser.parse_args()
    wanted.minutes = wanted.minutes if wanted.hours is None else wanted.hours * 60
    taking = report.Taking(wanted)
    with tempfile.TemporaryDirectory() as folder:
        kept = asyncio.run(soak(Path(folder), wanted))
    found, harmed = kept.verdict, len(kept.harmed)
    rows, grown = judge(kept.samples)
    bad = grown + kept.troubles + [line for word in ("lost", "stuck", "twice", "missing") for line in found[word]]
    figures = {
        "seed": wanted.seed,
        "orders done": sum(found["done"].values()),
        "faults": harmed,
        "samples": len(kept.samples),
        "minutes": round(kept.minutes, 1),
        "interrupted": "yes" if kept.interrupted else "no",
        "troubles": len(kept.troubles),
        **{word: len(found[word]) for word in ("lost", "stuck", "twice", "missing")},
    }
    flat = f"not flat: {', '.join(grown)}" if grown else "all flat"
    done = f"{figures['orders done']} orders, {harmed} faults"
    taking.tell(f"{wanted.nodes + wanted.fakes} machines for {kept.minutes:.0f} min, {done}: {flat}", figures, rows)
    for line in bad[:20]:
        print(line, file=sys.stderr)
    sys.exit(1 if bad else 0)


@dataclasses.dataclass
class Kept:
    """What is known of a soak so far; ``troubles``: calls of others' work that failed, a line each."""

    samples: list[dict[str, float]] = dataclasses.field(default_factory=list[dict[str, float]])
    harmed: list[str] = dataclasses.field(default_factory=list[str])
    troubles: list[str] = dataclasses.field(default_factory=list[str])
    verdict: dict[str, Any] = dataclasses.field(default_factory=dict[str, Any])
    minutes: float = 0.0
    interrupted: bool = False


async def soak(folder: Path, wanted: Any) -> Kept:
    """Work and harm for as long as wanted, or until a signal comes; what was found."""
    dice = random.Random(wanted.seed)
    cloud = Cloud(folder, wanted.nodes, wanted.fakes, {"power_sync_interval": "20"})
    kept, stop, at_once = Kept(), asyncio.Event(), asyncio.Event()

    def interrupt() -> None:
        (at_once if stop.is_set() else stop).set()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, interrupt)
    async with cloud:
        await cloud.ready()
        await cloud.enrol()
        crowd = customers.Customers(cloud, PATIENCE)
        working = asyncio.create_task(crowd.run())
        beside = [asyncio.create_task(break_bmcs(cloud, dice, kept)), asyncio.create_task(meddle(cloud, dice, kept))]
        try:
            await watch(cloud, kept, stop, wanted.minutes * 60)
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
        await control.call(cloud.control, {"do": "faults", "set": WELL})
        crowd.closing.set()
        interrupted = asyncio.create_task(at_once.wait())
        await asyncio.wait({working, interrupted}, return_when=asyncio.FIRST_COMPLETED)
        for task in (working, interrupted):
            task.cancel()
        await asyncio.gather(working, interrupted, return_exceptions=True)
        kept.verdict = crowd.verdict()
        return kept


async def watch(cloud: Cloud, kept: Kept, stop: asyncio.Event, seconds: float) -> None:
    """Look at the service again and again, until ``stop`` is set or the time is over."""
    begun = time.monotonic()
    while time.monotonic() - begun < seconds and not stop.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), EVERY)
        told = await tell(cloud, kept)
        if told is not None:
            kept.samples.append(await asyncio.to_thread(look, cloud) | told)
        kept.minutes, kept.interrupted = (time.monotonic() - begun) / 60, stop.is_set()
        print(f"\r{kept.minutes:.1f} min, {len(kept.harmed)} faults ", end="", file=sys.stderr)


async def tell(cloud: Cloud, kept: Kept) -> dict[str, float] | None:
    """What the service and the BMCs tell of themselves; None where they do not."""
    try:
        numbers = await cloud.text("/metrics")
        fleet: Any = await control.call(cloud.control, {"do": "status"})
    except FAILURES as error:
        kept.troubles.append(f"look: {error!r}"[:200])
        return None
    tasks = next(line for line in numbers.splitlines() if line.startswith("ingot_loop_tasks "))
    return {"tasks": float(tasks.split()[1]), "sessions of a BMC": float(fleet["sessions"]["most"])}


async def break_bmcs(cloud: Cloud, dice: random.Random, kept: Kept) -> None:
    """Every few seconds the BMC of one machine falls ill, and recovers soon after."""
    machines = [name for name in cloud.names if name.startswith("sim")]
    while machines:
        name, fault = dice.choice(machines), dice.choice(FAULTS)
        try:
            await control.call(cloud.control, {"do": "faults", "machine": name, "set": fault})
            await asyncio.sleep(dice.uniform(1, 5))
            await control.call(cloud.control, {"do": "faults", "machine": name, "set": WELL})
        except FAILURES as error:
            kept.troubles.append(f"{name} {fault}: {error!r}"[:200])
        kept.harmed.append(f"{name} {fault}")


async def meddle(cloud: Cloud, dice: random.Random, kept: Kept) -> None:
    """Somebody else's work: nodes come and go, lists are read, fields change, power is switched."""
    number = 0
    guests: list[str] = []
    while True:
        number += 1
        try:
            made = await cloud.call("POST", "/v1/nodes", {"driver": "fake-hardware", "name": f"guest-{number}"})
            guests.append(made["uuid"])
            await cloud.call("PATCH", f"/v1/nodes/{made['uuid']}", [{"op": "add", "path": "/extra/n", "value": number}])
            await cloud.call("GET", "/v1/nodes/detail?limit=100")
            await cloud.call("PUT", f"/v1/nodes/{made['uuid']}/states/power", {"target": "power on"})
        except FAILURES as error:
            kept.troubles.append(f"guest-{number}: {error!r}"[:200])
        await asyncio.sleep(dice.uniform(1, 3))
        for uuid in list(guests):
            with contextlib.suppress(*FAILURES):  # its power is still being switched: the next time, then
                await cloud.call("DELETE", f"/v1/nodes/{uuid}")
                guests.remove(uuid)


def opened(folder: Path) -> Generator[str]:
    """What a process has open; what it closes while we look is left out."""
    for each in folder.iterdir():
        with contextlib.suppress(OSError):
            yield str(each.readlink())


def look(cloud: Cloud) -> dict[str, float]:
    """One look at the service from outside."""
    process = Path(f"/proc/{cloud.pid}")
    links = list(opened(process / "fd"))
    base = sqlite3.connect(f"file:{cloud.data / 'ingot.db'}?mode=ro", uri=True, timeout=30)
    try:
        runs, nodes, ports = [
            base.execute(f"select count(*) from {what}").fetchone()[0]
            for what in ("runs where status = 'open'", "nodes", "ports")
        ]
        most_runs, most_lines = [
            base.execute(
                f"select coalesce(max(n), 0) from (select count(*) n from {what} group by node_uuid)"
            ).fetchone()
            for what in ("runs", "node_history")
        ]
        told = base.execute("select count(*) from events").fetchone()
    finally:
        base.close()
    return {
        "memory, MiB": service.pss(cloud.pid),
        "threads": float(len(list((process / "task").iterdir()))),
        "files open": float(sum(not one.startswith("socket:") for one in links)),
        "sockets": float(sum(one.startswith("socket:") for one in links)),
        "children": float(len((process / "task" / str(cloud.pid) / "children").read_text().split())),
        "files": float(sum(1 for one in cloud.data.rglob("*") if one.is_file())),
        "runs open": float(runs),
        "rows of nodes and ports": float(nodes + ports),
        "most runs kept of a node": float(most_runs[0]),
        "most lines of history kept of a node": float(most_lines[0]),
        "events kept": float(told[0]),
    }


def judge(samples: list[dict[str, float]]) -> tuple[list[dict[str, Any]], list[str]]:
    """A row for each thing looked at, and the names of what grew."""
    quarter = len(samples) // 4
    if not quarter:
        raise SystemExit("too short to tell anything: fewer than four looks")
    rows: list[dict[str, Any]] = []
    grown: list[str] = []
    for name in samples[0]:
        values = [one[name] for one in samples]
        early, late = statistics.median(values[quarter : 2 * quarter]), statistics.median(values[-quarter:])
        factor, more = ALLOWED[name]
        if late > early * factor + more:
            grown.append(name)
        ends = {"second quarter": round(early, 1), "last quarter": round(late, 1), "most": round(max(values), 1)}
        rows.append({"looked at": name, **ends, "flat": "no" if name in grown else "yes"})
    return rows, grown


if __name__ == "__main__":
    main()
