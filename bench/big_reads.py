"""What lists, filters and the live stream cost when there are 10,000 and 100,000 nodes.

Run: ./ingot bench big_reads [--nodes N ...] [--rounds N] [--listeners N] [--changes N]

Reads go over one connection of the wire. The nodes are multiplied in the database beforehand, from one that the API
made, because making 100,000 over the wire is not what is measured; ten nodes of any number are unlike all others, and
the filters look for those. "deep" begins after a marker of which 99 % of the nodes come before. Then all listeners
follow the stream of events, in a process of their own, while nodes are changed over four connections: a change is
delayed from its answer until the last listener has read of it. CPU is the service's own.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import sqlite3
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import allocations
import report
import service

VERSION = "1.95"
RARE = 10
"""Nodes that the filters look for."""
_UUID = (
    "lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-a' || "
    "substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))"
)
_MADE = {
    "uuid": _UUID,
    "name": "'n' || printf('%06d', number)",
    "provision_state": "iif(rare, 'rescue', 'active')",
    "resource_class": "iif(rare, 'gold', 'c' || (number % 8))",
    "owner": "iif(rare, 'rare', 'p' || (number % 50))",
    "lessee": "iif(rare, 'rare', null)",
    "shard": "iif(rare, 'rare', 's' || (number % 20))",
    "conductor_group": "iif(rare, 'rare', '')",
    "description": "iif(rare, 'the rare one', 'in rack ' || (number % 400))",
    "maintenance": "rare",
    "retired": "rare",
    "fault": "iif(rare, 'power failure', null)",
    "instance_uuid": f"iif(rare, {_UUID}, null)",
}
FILTERS = (
    *("provision_state=rescue", "resource_class=gold", "owner=rare", "lessee=rare", "project=rare", "shard=rare"),
    *("conductor_group=rare", "maintenance=true", "retired=true", "fault=power failure", "associated=true"),
    "description_contains=rare",
)


def main() -> None:
    parser = report.parser(__doc__)
    parser.add_argument("--nodes", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--listeners", type=int, default=100)
    parser.add_argument("--changes", type=int, default=400)
    wanted = parser.parse_args()
    taking = report.Taking(wanted)
    rows: list[dict[str, Any]] = []
    for nodes in wanted.nodes:
        with tempfile.TemporaryDirectory() as folder:
            middle = fill(Path(folder), nodes)
            with service.served(Path(folder), "--set", "power_sync_interval=0") as (pid, port):
                rows += [read(pid, port, what, path, wanted.rounds, nodes) for what, path in reads(middle)]
                rows += [follow(pid, port, count, wanted.changes, nodes) for count in (0, wanted.listeners)]
    worst = max(row["CPU, ms"] for row in rows if "=" in row["what"] and row["nodes"] == wanted.nodes[-1])
    headline = f"the dearest filter over {wanted.nodes[-1]:,} nodes takes {worst} ms of CPU"
    taking.tell(headline, rows=rows, curves={"x": "nodes", "y": ["CPU, ms"]})


def fill(folder: Path, nodes: int) -> str:
    """A database with so many nodes; the uuid of the one after 99 % of them."""
    with service.served(folder) as (_, port):
        service.make_nodes(port, 1)
    with sqlite3.connect(folder / "ingot.db") as base:
        columns = [row[1] for row in base.execute("PRAGMA table_info(nodes)") if row[1] != "id"]
        values = ", ".join(_MADE.get(name, f'nodes."{name}"') for name in columns)
        names = ", ".join(f'"{name}"' for name in columns)
        base.execute(
            "WITH RECURSIVE counted(number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM counted WHERE number < ?), "
            f"numbered AS (SELECT number, number % ? = 1 AS rare FROM counted) "
            f"INSERT INTO nodes ({names}) SELECT {values} FROM numbered, nodes WHERE nodes.id = 1",
            (nodes - 1, nodes // RARE),
        )
        return str(
            base.execute("SELECT uuid FROM nodes ORDER BY id LIMIT 1 OFFSET ?", (nodes * 99 // 100,)).fetchone()[0]
        )


def reads(deep: str) -> list[tuple[str, str]]:
    """What is asked for, and where."""
    some = "/v1/nodes?fields=uuid,name,provision_state&limit=100"
    return [
        ("page of 1,000", "/v1/nodes?limit=1000"),
        ("page of 1,000 in detail", "/v1/nodes/detail?limit=1000"),
        ("page of 100, three fields", some),
        ("the same, deep", f"{some}&marker={deep}"),
        ("the same, deep, by name", f"{some}&marker={deep}&sort_key=name"),
        ("the same, deep, by state", f"{some}&marker={deep}&sort_key=provision_state"),
        *((each, f"{some}&{each.replace(' ', '%20')}") for each in FILTERS),
    ]


def read(pid: int, port: int, what: str, path: str, rounds: int, nodes: int) -> dict[str, Any]:
    """One kind of read, several times."""
    before = service.cpu(pid)
    waits = sorted(allocations.send(port, 1, [("GET", path, None, VERSION)] * rounds))
    spent = (service.cpu(pid) - before) / rounds
    if "=" in what and (found := count(port, path)) != RARE:
        raise SystemExit(f"{what}: {found} nodes instead of {RARE}")
    return {
        "nodes": nodes,
        "what": what,
        "p50, ms": round(statistics.median(waits) * 1000, 1),
        "worst, ms": round(waits[-1] * 1000, 1),
        "CPU, ms": round(spent * 1000, 1),
    }


def count(port: int, path: str) -> int:
    """How many nodes a list has."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path, headers={"X-OpenStack-Ironic-API-Version": VERSION})
    return len(json.loads(connection.getresponse().read())["nodes"])


def follow(pid: int, port: int, listeners: int, changes: int, nodes: int) -> dict[str, Any]:
    """Change nodes while so many listen."""
    with ProcessPoolExecutor(1) as load:
        load.submit(time.time).result()  # its process is there before the clock starts
        before = service.cpu(pid)
        plain = [number for number in range(1, nodes) if number % (nodes // RARE) != 1]
        chosen = plain[changes : 2 * changes] if listeners else plain[:changes]
        rate, delays = load.submit(changed, port, listeners, chosen).result()
        spent = service.cpu(pid) - before
    return {
        "nodes": nodes,
        "what": f"a change, {listeners} listeners",
        "p50, ms": round(statistics.median(delays) * 1000, 1),
        "worst, ms": round(delays[-1] * 1000, 1),
        "CPU, ms": round(spent / changes * 1000, 1),
        "1/s": round(rate),
    }


def changed(port: int, listeners: int, chosen: list[int]) -> tuple[float, list[float]]:
    """Changes a second, and how long each took to be heard of by the last listener (by its caller, if none listens).

    ``chosen``: the numbers of the nodes that are put into maintenance.
    """
    return asyncio.run(change(port, listeners, chosen))


async def change(port: int, listeners: int, chosen: list[int]) -> tuple[float, list[float]]:
    heard = [dict[int, float]() for _ in range(listeners)]
    ready = [asyncio.Event() for _ in range(listeners)]
    tasks = [asyncio.create_task(listen(port, seen, on, len(chosen))) for seen, on in zip(heard, ready, strict=True)]
    async with asyncio.timeout(60):
        for on in ready:
            await on.wait()
    told: dict[int, float] = {}
    waits: list[float] = []
    loop = asyncio.get_running_loop()
    lanes = [(await loop.create_connection(allocations.Lane, "127.0.0.1", port))[1] for _ in range(4)]
    numbers = iter(chosen)

    async def work(lane: allocations.Lane) -> None:
        for number in numbers:
            begun = loop.time()
            await lane.call("PUT", f"/v1/nodes/n{number:06d}/maintenance", {}, VERSION)
            told[number] = loop.time()
            waits.append(told[number] - begun)

    begun = loop.time()
    await asyncio.gather(*(work(lane) for lane in lanes))
    rate = len(chosen) / (loop.time() - begun)
    async with asyncio.timeout(120):
        await asyncio.gather(*tasks)
    if not listeners:
        return rate, sorted(waits)
    return rate, sorted(max(0.0, max(seen[number] for seen in heard) - told[number]) for number in told)


async def listen(port: int, seen: dict[int, float], ready: asyncio.Event, changes: int) -> None:
    """Note when each node's change was read, by the number in its name, until so many were."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
    writer.write(b"GET /ingot/v1/events?kind=node HTTP/1.1\r\nHost: bench\r\n\r\n")
    loop = asyncio.get_running_loop()
    while len(seen) < changes and (line := await reader.readline()):
        if line.startswith(b"event: begin"):
            ready.set()
        elif line.startswith(b"data: "):
            name = json.loads(line[6:]).get("name")
            if name:
                seen.setdefault(int(name[1:]), loop.time())
    writer.close()


if __name__ == "__main__":
    main()
