"""How much more several conductors do than one, on one database: transitions per second, and what each part costs.

Run: ./ingot bench scale_out [--nodes N] [--conductors N ...] [--share CORES] [--database KIND] [--delay SECONDS]

One API process, conductors, a database server and RabbitMQ, all on this machine, each a process of its own; nodes of
pretended hardware, each of whose actions takes --delay. Each conductor gets --share of a core and no more (cgroups; 0:
all it can get), so that this machine is large enough for all of them and what is told is whether they add up; API and
database have what is left. For each verb all nodes are asked at once; "wall" is from the first request until none is
under way. CPU is each part's own, so the cost of a transition tells what larger machines would do. Some three minutes
as it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Generator
from pathlib import Path
from typing import Any

import allocations
import narrow
import report
import service

from bus import broker
from servers.databases import Databases

LANES = 32
PHASES = (("manage", "manageable"), ("provide", "available"), ("active", "active"), ("deleted", "available"))
PATIENCE = 900.0
Parts = dict[str, list[int]]
"""The processes of each part by their ids."""


def main() -> None:
    parser = report.parser(__doc__)
    parser.add_argument("--nodes", type=int, default=300)
    parser.add_argument("--conductors", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--share", type=float, default=0.1, help="of a core, for each conductor; 0: without a limit")
    parser.add_argument("--database", default="postgresql", choices=["postgresql", "mariadb"])
    parser.add_argument("--delay", type=float, default=0.0)
    wanted = parser.parse_args()
    taking = report.Taking(wanted)
    databases = Databases()
    try:
        with tempfile.TemporaryDirectory() as folder, broker.running(Path(folder)) as rabbit:
            rows = [
                row
                for number in wanted.conductors
                for row in measure(Path(folder), databases, wanted, number, rabbit.url)
            ]
    finally:
        databases.remove()
    deploys = {row["conductors"]: row["per second"] for row in rows if row["verb"] == "active"}
    told = ", ".join(f"{number}: {rate}/s" for number, rate in deploys.items())
    each = f", each with {wanted.share:g} of a core" if wanted.share else ""
    one = deploys[min(deploys)] / min(deploys)
    figures = {
        "of a core for each conductor": wanted.share or "all it can get",
        **{f"times one conductor's, of {number}": round(rate / one, 2) for number, rate in deploys.items()},
    }
    headline = f"deployments by number of conductors on {wanted.database}{each}: {told}"
    taking.tell(headline, figures, rows, curves={"x": "conductors", "y": ["per second"]})


def measure(folder: Path, databases: Databases, wanted: Any, conductors: int, url: str) -> list[report.Row]:
    """All phases with so many conductors."""
    database = databases.new(wanted.database)
    data = folder / f"with-{conductors}"
    data.mkdir()
    secrets = {"INGOT_DATABASE": database, "INGOT_BROKER": url}
    with site(data, secrets, conductors, wanted.share) as (port, parts):
        parts["database"] = [databases.server(wanted.database).pid]
        info = {"fake_delay": wanted.delay} if wanted.delay else {}
        bodies = [{"driver": "fake-hardware", "name": f"n{n}", "driver_info": info} for n in range(wanted.nodes)]
        allocations.send(port, LANES, [("POST", "/v1/nodes", body) for body in bodies])
        return [phase(port, parts, wanted.nodes, conductors, verb, goal) for verb, goal in PHASES]


def phase(port: int, parts: Parts, nodes: int, conductors: int, verb: str, goal: str) -> report.Row:
    before = spent(parts)
    calls = [("PUT", f"/v1/nodes/n{n}/states/provision", {"target": verb}) for n in range(nodes)]
    begun = time.perf_counter()
    asked, reached = asyncio.run(ask(port, calls, goal, nodes))
    wall = time.perf_counter() - begun
    used = {part: after - before[part] for part, after in spent(parts).items()}
    return {
        "conductors": conductors,
        "nodes": nodes,
        "verb": verb,
        "wall, s": round(wall, 2),
        "asked within, s": round(asked, 2),
        "reached their goal": reached,
        "per second": round(nodes / wall, 1),
        "CPU, ms each:": {part: round(one / nodes * 1000, 2) for part, one in used.items()},
        "cores used:": {part: round(one / wall, 2) for part, one in used.items()},
    }


async def ask(port: int, calls: list[tuple[Any, ...]], goal: str, nodes: int) -> tuple[float, int]:
    """Ask for everything and wait until nothing is under way: seconds of asking, how many reached the goal."""
    begun = time.perf_counter()
    await allocations.over(port, LANES, calls)
    asked = time.perf_counter() - begun
    reached = 0
    while reached < nodes and time.perf_counter() - begun < PATIENCE:
        await asyncio.sleep(0.3)  # each look is work of the API process, too
        found = await asyncio.to_thread(metrics, port)
        reached = found.get(f'ingot_nodes{{provision_state="{goal}"}}', 0)
        if not sum(number for name, number in found.items() if name.startswith("ingot_runs_open{")):
            break
    return asked, reached


def metrics(port: int) -> dict[str, int]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    return {line.rsplit(" ", 1)[0]: int(float(line.rsplit(" ", 1)[1])) for line in lines if line.startswith("ingot_")}


def spent(parts: Parts) -> dict[str, float]:
    return {part: sum(map(service.cpu, pids)) for part, pids in parts.items()}


@contextlib.contextmanager
def site(data: Path, secrets: dict[str, str], conductors: int, share: float) -> Generator[tuple[int, Parts]]:
    """An API process and so many conductors that are at work, each with its share of a core."""
    port = service.free_port()
    names = [f"c{number}" for number in range(conductors)]
    children: list[subprocess.Popen[bytes]] = []
    groups = contextlib.ExitStack()
    try:
        children.append(start(data, "api", port, secrets))
        allocations.wait_until(lambda: answers(port), 0.1)
        for name in names:
            children.append(start(data, name, port, secrets))
            if share:
                groups.enter_context(narrow.part(name, share))(children[-1].pid)
        allocations.wait_until(lambda: alive(port) == names, 0.1)
        yield port, {"api": [children[0].pid], "conductors": [child.pid for child in children[1:]]}
    finally:
        for child in children:
            child.terminate()
        for child in children:
            child.wait(60)
        groups.close()


def start(data: Path, name: str, port: int, secrets: dict[str, str]) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-P", "-m", "ingot.cli.main", "serve", "--noauth", "--data-dir", str(data)]
    argv += ["--only", "api" if name == "api" else "conductor", "--port", str(port), "--set", f"hostname={name}"]
    argv += ["--set", "power_sync_interval=0", "--set", "drivers=fake-hardware"]
    environment = {**os.environ, "PYTHONPATH": str(service.ROOT / "src"), **secrets}
    with (data / f"{name}.log").open("wb") as log:
        return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)


def answers(port: int) -> bool:
    try:
        return bool(allocations.get(port, "/v1"))
    except OSError:
        return False


def alive(port: int) -> list[str]:
    return sorted(one["hostname"] for one in allocations.get(port, "/v1/conductors")["conductors"] if one["alive"])


if __name__ == "__main__":
    main()
