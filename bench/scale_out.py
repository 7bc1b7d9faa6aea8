"""How much more several conductors do than one, on one database: transitions per second, and what each part costs.

Run: ./ingot bench scale_out [--nodes N] [--conductors N ...] [--share CORES] [--database KIND] [--delay SECONDS]

One API process, conductors, a database server and RabbitMQ, all on this machine, each a process of its own; nodes of
pretended hardware, each of whose actions takes --delay. Each conductor gets --share of a core and no more (0: all it
can get), so that this machine is large enough for all of them and what is told is whether they add up; API and database
have what is left. Its share is kept by letting its event loop sleep (bench/narrow.py says why): a conductor is as slow
as on a small host, but none is stopped while it holds the database's one lock.

Nodes and connections are so many for each conductor: with a quarter of the nodes each conductor's writes share fewer
commits, and so a deployment costs it half as much again. For each verb all nodes are asked at once; "wall" is from the
first request until none is under way. CPU is each part's own, so the cost of a transition tells what larger machines
would do. "writer's lock" is how much of the time somebody held it (PostgreSQL only), how many milliseconds for each
node, and how much of that the server waited for the holder's next statement: what all conductors of a database share.
Some two minutes as it is.
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
from typing import Any, NamedTuple

import allocations
import report
import service
import writers_lock

from bus import broker
from servers.databases import Databases

LANES = 32
"""Connections for each conductor."""
PHASES = (("manage", "manageable"), ("provide", "available"), ("active", "active"), ("deleted", "available"))
PATIENCE = 900.0
NARROW = Path(__file__).with_name("narrow.py")


class Site(NamedTuple):
    """``port``: the API's; ``parts``: the processes of each part by their ids; ``database``: its URL."""

    port: int
    parts: dict[str, list[int]]
    database: str


def main() -> None:
    parser = report.parser(__doc__)
    parser.add_argument("--nodes", type=int, default=300, help="for each conductor")
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
    with running(data, secrets, conductors, wanted.share) as site:
        site.parts["database"] = [databases.server(wanted.database).pid]
        info = {"fake_delay": wanted.delay} if wanted.delay else {}
        bodies = [
            {"driver": "fake-hardware", "name": f"n{n}", "driver_info": info} for n in range(wanted.nodes * conductors)
        ]
        allocations.send(site.port, LANES, [("POST", "/v1/nodes", body) for body in bodies])
        return [phase(site, conductors, len(bodies), verb, goal) for verb, goal in PHASES]


def phase(site: Site, conductors: int, nodes: int, verb: str, goal: str) -> report.Row:
    asyncio.run(writers_lock.settle(site.database))
    before = spent(site.parts)
    calls = [("PUT", f"/v1/nodes/n{n}/states/provision", {"target": verb}) for n in range(nodes)]
    begun = time.perf_counter()
    asked, reached, lock = asyncio.run(ask(site, calls, goal, LANES * conductors))
    wall = time.perf_counter() - begun
    used = {part: after - before[part] for part, after in spent(site.parts).items()}
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
        "writer's lock:": {
            "held": round(lock.share(), 2),
            "ms each": round(lock.share() * wall / nodes * 1000, 2),
            "of it idle": round(lock.idle(), 2),
        },
    }


async def ask(site: Site, calls: list[tuple[Any, ...]], goal: str, lanes: int) -> tuple[float, int, writers_lock.Seen]:
    """Ask for everything and wait until nothing is under way: seconds of asking, how many reached it, the lock."""
    begun = time.perf_counter()
    async with writers_lock.watched(site.database) as seen:
        await allocations.over(site.port, lanes, calls)
        asked = time.perf_counter() - begun
        reached = 0
        while reached < len(calls) and time.perf_counter() - begun < PATIENCE:
            await asyncio.sleep(0.3)  # each look is work of the API process, too
            found = await asyncio.to_thread(metrics, site.port)
            reached = found.get(f'ingot_nodes{{provision_state="{goal}"}}', 0)
            if not sum(number for name, number in found.items() if name.startswith("ingot_runs_open{")):
                break
    return asked, reached, seen


def metrics(port: int) -> dict[str, int]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    return {line.rsplit(" ", 1)[0]: int(float(line.rsplit(" ", 1)[1])) for line in lines if line.startswith("ingot_")}


def spent(parts: dict[str, list[int]]) -> dict[str, float]:
    return {part: sum(map(service.cpu, pids)) for part, pids in parts.items()}


@contextlib.contextmanager
def running(data: Path, secrets: dict[str, str], conductors: int, share: float) -> Generator[Site]:
    """An API process and so many conductors that are at work, each with its share of a core."""
    port = service.free_port()
    names = [f"c{number}" for number in range(conductors)]
    children: list[subprocess.Popen[bytes]] = []
    try:
        children.append(start(data, "api", port, secrets, 0))
        allocations.wait_until(lambda: answers(port), 0.1)
        children.extend(start(data, name, port, secrets, share) for name in names)
        allocations.wait_until(lambda: alive(port) == names, 0.1)
        parts = {"api": [children[0].pid], "conductors": [child.pid for child in children[1:]]}
        yield Site(port, parts, secrets["INGOT_DATABASE"])
    finally:
        for child in children:
            child.terminate()
        for child in children:
            child.wait(60)


def start(data: Path, name: str, port: int, secrets: dict[str, str], share: float) -> subprocess.Popen[bytes]:
    program = [str(NARROW), str(share)] if share else ["-m", "ingot.cli.main"]
    argv = [sys.executable, "-P", *program, "serve", "--noauth", "--data-dir", str(data)]
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
