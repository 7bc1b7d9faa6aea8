"""A whole fleet asked at once: enrolled -> manageable -> inspected -> available -> active -> available again.

Run: ./ingot bench fleet [--nodes N ...] [--record]     Speaks only the wire, on loopback.
One `ingot serve` with SQLite and no setting but where it listens; nodes of pretended hardware, which takes no time, so
what is measured is the service: its API, its engine, its database. For each verb all nodes are asked over 64
connections; "wall" is from the first request until none is missing. CPU is the service process's own. Meanwhile another
connection reads and changes one more node: how long that waits is what a person notices. The load is a process of its
own. Beside it upstream's service takes --upstream nodes the same way, without inspection (0: none).
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import allocations
import report
import service
import upstream_fleet

LANES = 64
VERSION = "1.95"
USUAL = 1000
"""Nodes that the headline tells of, and that others are compared with."""
PHASES = (
    ("manage", "manageable"),
    ("inspect", "manageable"),
    ("provide", "available"),
    ("active", "active"),
    ("deleted", "available"),
)
UP = ("manage", "provide", "active")
PATIENCE = 1800.0


def main() -> None:
    parser = report.parser(__doc__)
    parser.add_argument("--nodes", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--upstream", type=int, default=100)
    wanted = parser.parse_args()
    taking = report.Taking(wanted)
    rows: list[report.Row] = []
    figures: report.Row = {}
    for nodes in wanted.nodes:
        with tempfile.TemporaryDirectory() as folder, service.served(Path(folder)) as (pid, port):
            figures[f"memory before {nodes} nodes, MiB (PSS)"] = round(service.pss(pid), 1)
            found = fleet(pid, port, nodes)
            figures[f"memory after {nodes} nodes, MiB (PSS)"] = round(service.pss(pid), 1)
        figures[f"{nodes} nodes to active, s"] = round(sum(row["wall, s"] for row in found if row["verb"] in UP), 2)
        rows += found
    if wanted.upstream:
        rows += beside(wanted.upstream, figures)
    usual = USUAL if USUAL in wanted.nodes else wanted.nodes[0]
    first, last = (figures[f"{nodes} nodes to active, s"] / nodes for nodes in (usual, wanted.nodes[-1]))
    figures[f"time per node, {wanted.nodes[-1]} over {usual}"] = round(last / first, 2)
    lost = sum(row["nodes"] - row["reached their goal"] for row in rows if ":" not in row["verb"])
    headline = f"{usual} nodes to active in {figures[f'{usual} nodes to active, s']} s, {lost} lost"
    taking.tell(headline, figures, rows, curves={"x": "nodes", "y": ["wall, s", "CPU per transition, ms"]})


def beside(nodes: int, figures: report.Row) -> list[report.Row]:
    """What upstream's service takes, and how many times ours."""
    found = upstream_fleet.taken(nodes, VERSION)
    seconds = sum(row["wall, s"] for row in found if row["verb"].removeprefix("upstream: ") in UP)
    figures[f"upstream: {nodes} nodes to active, s"] = round(seconds, 2)
    if (ours := figures.get(f"{nodes} nodes to active, s")) is not None:
        figures["upstream's time over ours"] = round(seconds / ours, 1)
    return found


def fleet(pid: int, port: int, nodes: int) -> list[report.Row]:
    """Take so many nodes all the way, and tell what each part took."""
    made = [("POST", "/v1/nodes", machine(f"n{number}"), VERSION) for number in range(nodes)]
    with ProcessPoolExecutor(1) as load:
        load.submit(allocations.send, port, LANES, made).result()
        load.submit(allocations.send, port, 1, [("POST", "/v1/nodes", machine("seen"), VERSION)]).result()
        return [phase(pid, port, load, nodes, verb, goal) for verb, goal in PHASES]


def machine(name: str) -> dict[str, Any]:
    return {"driver": "fake-hardware", "name": name}


def phase(pid: int, port: int, load: ProcessPoolExecutor, nodes: int, verb: str, goal: str) -> report.Row:
    body = {"target": verb, **({"configdrive": {"user_data": "x"}} if verb == "active" else {})}
    calls = [("PUT", f"/v1/nodes/n{number}/states/provision", body, VERSION) for number in range(nodes)]
    before, begun = service.cpu(pid), time.perf_counter()
    asked = load.submit(ask, port, calls, goal, nodes).result()
    wall, spent = time.perf_counter() - begun, service.cpu(pid) - before
    return {
        "nodes": nodes,
        "verb": verb,
        "wall, s": round(wall, 2),
        "asked within, s": round(asked["asked"], 2),
        "reached their goal": asked["reached"],
        "per second": round(nodes / wall),
        "CPU per transition, ms": round(spent / nodes * 1000, 2),
        "memory, MiB (PSS)": round(service.pss(pid), 1),
        **{f"meanwhile {word}": waits(found) for word, found in asked["seen"].items()},
    }


def waits(found: list[float]) -> dict[str, float]:
    told = sorted(found)
    return {f"p{part}, ms": round(told[len(told) * part // 100] * 1000, 1) for part in (50, 99)}


def ask(port: int, calls: list[tuple[Any, ...]], goal: str, nodes: int) -> dict[str, Any]:
    return asyncio.run(_ask(port, calls, goal, nodes))


async def _ask(port: int, calls: list[tuple[Any, ...]], goal: str, nodes: int) -> dict[str, Any]:
    """Ask for everything, watch until all have arrived, and look at another node all the time."""
    seen: dict[str, list[float]] = {"GET": [], "PATCH": []}
    onlooker = asyncio.create_task(_look_on(port, seen))
    begun = time.perf_counter()
    await allocations.over(port, LANES, calls)
    asked = time.perf_counter() - begun
    lane = await _lane(port)
    until = begun + PATIENCE
    while time.perf_counter() < until and await _open_runs(lane):  # noqa: ASYNC110  another process works there
        await asyncio.sleep(0.1)
    onlooker.cancel()
    await asyncio.gather(onlooker, return_exceptions=True)
    return {"asked": asked, "reached": await _count(lane, goal), "seen": seen}


async def _lane(port: int) -> allocations.Lane:
    return (await asyncio.get_running_loop().create_connection(allocations.Lane, "127.0.0.1", port))[1]


async def _look_on(port: int, seen: dict[str, list[float]]) -> None:
    lane = await _lane(port)
    number = 0
    while True:
        number += 1
        change = [{"op": "add", "path": "/extra/n", "value": number}]
        method, body = ("PATCH", change) if number % 5 == 0 else ("GET", None)
        begun = time.perf_counter()
        await lane.call(method, "/v1/nodes/seen", body)
        seen[method].append(time.perf_counter() - begun)
        await asyncio.sleep(0.02)


async def _open_runs(lane: allocations.Lane) -> int:
    return sum(await _metric(lane, "ingot_runs_open{"))


async def _count(lane: allocations.Lane, goal: str) -> int:
    return sum(await _metric(lane, f'ingot_nodes{{provision_state="{goal}"}}'))


async def _metric(lane: allocations.Lane, begins: str) -> list[int]:
    text: str = await lane.text("GET", "/metrics")
    return [int(float(line.rsplit(" ", 1)[1])) for line in text.splitlines() if line.startswith(begins)]


if __name__ == "__main__":
    main()
