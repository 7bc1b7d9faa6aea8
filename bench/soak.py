"""What a service loses by and by: memory, threads, sockets, files, rows, over minutes of mixed work and faults.

Run: ./ingot bench soak [--nodes N] [--fakes N] [--minutes M] [--seed N]

Machines are deployed and released again and again, nodes made and deleted, lists read and power switched, while every
few seconds the BMC of some machine loses packets, is slow, busy, refuses, or hangs up. Every 5 s the service is looked
at from outside (/proc, its database, its data directory). Flat: the median of the last quarter is no more than that of
the second quarter by more than what ALLOWED says; the first is for warming up. Rows that grow with the work are
judged by what is kept of each node. Exits with 1 when anything is not flat, or an order was lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
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

from ingot_rack import control

EVERY = 5.0
PATIENCE = 600.0
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
    "children": (1, 0),
    "files": (1, 2),
    "runs open": (1.2, 8),
    "rows of nodes and ports": (1.05, 8),
    "most runs kept of a node": (1.0, 101),
}
"""By how much a median may grow: times the first, and that many more."""


def main() -> None:
    parser = report.parser(__doc__)
    parser.add_argument("--nodes", type=int, default=40, help="simulated machines with BMC and agent")
    parser.add_argument("--fakes", type=int, default=10)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    wanted = parser.parse_args()
    taking = report.Taking(wanted)
    with tempfile.TemporaryDirectory() as folder:
        samples, found, harmed = asyncio.run(soak(Path(folder), wanted))
    rows, grown = judge(samples)
    bad = grown + [line for word in ("lost", "stuck", "twice", "missing") for line in found[word]]
    figures = {
        "seed": wanted.seed,
        "orders done": sum(found["done"].values()),
        "faults": harmed,
        "samples": len(samples),
        **{word: len(found[word]) for word in ("lost", "stuck", "twice", "missing")},
    }
    flat = f"not flat: {', '.join(grown)}" if grown else "all flat"
    done = f"{figures['orders done']} orders, {harmed} faults"
    taking.tell(f"{wanted.nodes + wanted.fakes} machines for {wanted.minutes:g} min, {done}: {flat}", figures, rows)
    for line in bad[:20]:
        print(line, file=sys.stderr)
    sys.exit(1 if bad else 0)


async def soak(folder: Path, wanted: Any) -> tuple[list[dict[str, float]], dict[str, Any], int]:
    """The samples, the customers' verdict, and how many faults there were."""
    dice = random.Random(wanted.seed)
    cloud = Cloud(folder, wanted.nodes, wanted.fakes, {"power_sync_interval": "20"})
    async with cloud:
        await cloud.ready()
        await cloud.enrol()
        crowd = customers.Customers(cloud, PATIENCE)
        harmed: list[str] = []
        working = asyncio.create_task(crowd.run())
        beside = [asyncio.create_task(break_bmcs(cloud, dice, harmed)), asyncio.create_task(meddle(cloud, dice))]
        samples: list[dict[str, float]] = []
        end = time.monotonic() + wanted.minutes * 60
        try:
            while time.monotonic() < end:
                await asyncio.sleep(EVERY)
                samples.append(await asyncio.to_thread(look, cloud))
        finally:
            for task in beside:
                task.cancel()
            failed = await asyncio.gather(*beside, return_exceptions=True)
        if others := [one for one in failed if isinstance(one, Exception)]:
            raise others[0]
        await control.call(cloud.control, {"do": "faults", "set": WELL})
        crowd.closing.set()
        await working
        return samples, crowd.verdict(), len(harmed)


async def break_bmcs(cloud: Cloud, dice: random.Random, done: list[str]) -> None:
    """Every few seconds the BMC of one machine falls ill, and recovers soon after; ``done`` tells."""
    machines = [name for name in cloud.names if name.startswith("sim")]
    while True:
        name, fault = dice.choice(machines), dice.choice(FAULTS)
        await control.call(cloud.control, {"do": "faults", "machine": name, "set": fault})
        await asyncio.sleep(dice.uniform(1, 5))
        await control.call(cloud.control, {"do": "faults", "machine": name, "set": WELL})
        done.append(f"{name} {fault}")


async def meddle(cloud: Cloud, dice: random.Random) -> None:
    """Somebody else's work: nodes come and go, lists are read, fields change, power is switched."""
    number = 0
    while True:
        number += 1
        made = await cloud.call("POST", "/v1/nodes", {"driver": "fake-hardware", "name": f"guest-{number}"})
        await cloud.call("PATCH", f"/v1/nodes/{made['uuid']}", [{"op": "add", "path": "/extra/n", "value": number}])
        await cloud.call("GET", "/v1/nodes/detail?limit=100")
        await cloud.call("PUT", f"/v1/nodes/{made['uuid']}/states/power", {"target": "power on"})
        await asyncio.sleep(dice.uniform(1, 3))
        with contextlib.suppress(aiohttp.ClientResponseError):  # its power is still being switched
            await cloud.call("DELETE", f"/v1/nodes/{made['uuid']}")


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
        most = base.execute(
            "select coalesce(max(n), 0) from (select count(*) n from runs group by node_uuid)"
        ).fetchone()
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
        "most runs kept of a node": float(most[0]),
    }


def judge(samples: list[dict[str, float]]) -> tuple[list[dict[str, Any]], list[str]]:
    """A row for each thing looked at, and the names of what grew."""
    quarter = len(samples) // 4
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
