"""What the hot paths of the store cost on SQLite, PostgreSQL and MariaDB: processor time of ingot and of the server.

Run: ./ingot bench databases [--nodes N]     Servers are started for it, on Unix sockets, and flush to disk.
"alone" is one caller after another, "together" 32 at once, whose writes share commits and messages; of claims it is one
caller who takes many runs, as a conductor does. Times are per node (of a list: per list), the processor time is that of
this process alone, "server" that of all the server's processes. The databases take turns; the middle one is told.
All run on one processor: a message that wakes another one costs its sender 10 to 40 microseconds more on a virtual
machine, and whether a server sits there changes from run to run (--spread: wherever the kernel puts them).
"""

from __future__ import annotations

import asyncio
import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import report
import uvloop
from sqlalchemy import Connection

from ingot.domain import ids, node, runs
from ingot.store import claims as claim_store
from ingot.store import documents, journals, node_filters, nodes, schema, upgrade
from ingot.store import runs as run_store
from ingot.store.engine import Store
from ingot.store.paging import Page
from ingot.store.place import Place
from servers.databases import KINDS, Databases

Operation = Callable[[Store, Sequence[int]], Awaitable[Any]]
TURNS = 5
"""In which the databases alternate; the middle one is told."""
TICK = os.sysconf("SC_CLK_TCK")


class Fleet:
    """What is in each database: nodes, and an open run of each."""

    def __init__(self, count: int) -> None:
        self.uuids = [ids.new() for _ in range(count)]
        self.runs = {uuid: ids.new() for uuid in self.uuids}
        self.leases: dict[int, run_store.Lease] = {}
        self._line = itertools.count(1)
        form, values = nodes.members([*(column.name for column in schema.nodes.c), "traits"], {})
        self.document = documents.Document(form="{" + ",".join(form) + "}", values=tuple(values))

    async def fill(self, store: Store) -> None:
        await asyncio.gather(*(store.run(self._create, uuid) for uuid in self.uuids))

    def _create(self, connection: Connection, uuid: str) -> None:
        facts = {"cpus": 64, "memory_mb": 524288, "local_gb": 960, "capabilities": "boot_mode:uefi"}
        info = {"redfish_address": "https://192.0.2.7", "redfish_username": "admin", "redfish_password": "******"}
        made = node.Node(uuid=uuid, driver="redfish", name=f"n-{uuid}", properties=facts, driver_info=info)
        nodes.create(connection, made, None)
        run = runs.Run(
            id=self.runs[uuid], node_uuid=uuid, kind=runs.Kind.DEPLOY, started_at=1.0, wake_at=0.0, deadline=1e12
        )
        run_store.open_run(connection, run)

    async def claim(self, store: Store, numbers: Sequence[int]) -> None:
        found = await store.run(claim_store.claim, "bench/1", 10.0 + numbers[0], 1e9, len(numbers))
        self.leases.update(zip(numbers, found, strict=True))

    async def journal(self, store: Store, numbers: Sequence[int]) -> None:
        lease = self.leases[numbers[0]]
        entry = runs.Entry(next(self._line), 0, runs.Mark.STARTED, 3.0)
        await store.run_of(lease.node_uuid, journals.append, lease, entry)

    async def heartbeat(self, store: Store, numbers: Sequence[int]) -> None:
        uuid = self.uuids[numbers[0]]
        await store.run_of(uuid, self._beat, uuid)

    def _beat(self, connection: Connection, uuid: str) -> None:
        nodes.get(connection, uuid)
        nodes.change(connection, uuid, agent_url="https://192.0.2.9:9999", agent_heartbeat_at=time.time())
        run_store.wake(connection, uuid, 1.0)

    async def get(self, store: Store, numbers: Sequence[int]) -> None:
        await store.peek(nodes.get_document, self.uuids[numbers[0]], self.document)

    async def patch(self, store: Store, numbers: Sequence[int]) -> None:
        uuid = self.uuids[numbers[0]]
        await store.run_of(uuid, self._patch, uuid)

    def _patch(self, connection: Connection, uuid: str) -> None:
        present = nodes.get(connection, uuid)
        nodes.change(connection, uuid, extra={**present.extra, "rack": "7"})

    async def list_1000(self, store: Store, _: Sequence[int]) -> None:
        found = await store.read(nodes.list_documents, node_filters.Filter(), Page(limit=1000), self.document)
        assert len(found.uuids) == min(1000, len(self.uuids))


async def measure(
    store: Store, pid: int | None, path: Operation, numbers: Sequence[Sequence[int]], together: int
) -> dict[str, float]:
    """Milliseconds for each node."""
    waiting = iter(numbers)

    async def lane() -> None:
        for some in waiting:
            await path(store, some)

    served, before, begun = server_cpu(pid), time.process_time(), time.perf_counter()
    await asyncio.gather(*(lane() for _ in range(together)))
    spent, wall = time.process_time() - before, time.perf_counter() - begun
    share = 1000 / sum(map(len, numbers))
    return {"CPU, ms": spent * share, "server CPU, ms": (server_cpu(pid) - served) * share, "seconds, ms": wall * share}


def server_cpu(pid: int | None) -> float:
    """Seconds that the processes of a server have used; it only grows while its connections stay."""
    if pid is None:
        return 0.0
    total = 0
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(entry.parent.name) == pid or int(fields[1]) == pid:
            total += int(fields[11]) + int(fields[12])
    return total / TICK


async def each_path(
    fleets: dict[str, Fleet], stores: dict[str, Store], pids: dict[str, int | None]
) -> list[report.Row]:
    found: list[report.Row] = []
    half = len(next(iter(fleets.values())).uuids) // 2
    for name in ("claim", "journal", "heartbeat", "patch", "get", "list_1000"):
        for how, lanes, first in (("alone", 1, 0), ("together", 32, half)):
            told: dict[str, list[dict[str, float]]] = {kind: [] for kind in stores}
            for turn in range(-1, TURNS):  # the first makes statements known and is not told
                for kind, store in stores.items():
                    part = parted(range(first, first + half), turn % TURNS, name, how)
                    if turn < 0 and name == "claim":
                        continue
                    one = await measure(store, pids[kind], getattr(fleets[kind], name), part, lanes)
                    told[kind] += [one] if turn >= 0 else []
            found += [
                {"path": name.replace("_", " "), "callers": how, "database": kind, **middle(rows)}
                for kind, rows in told.items()
            ]
    return found


def parted(numbers: range, turn: int, name: str, how: str) -> list[Sequence[int]]:
    """What is done in one turn: the nodes of each operation."""
    part = numbers[len(numbers) * turn // TURNS : len(numbers) * (turn + 1) // TURNS]
    if name == "claim" and how == "together":
        return [part]  # a conductor claims all at once
    return [part[at : at + 1] for at in range(2 if name == "list_1000" else len(part))]


def middle(rows: list[dict[str, float]]) -> dict[str, float]:
    """The median of each column but the server's, whose clock is too coarse for one turn."""
    found = {name: statistics.median(row[name] for row in rows) for name in rows[0]}
    found["server CPU, ms"] = statistics.fmean(row["server CPU, ms"] for row in rows)
    return {name: round(value, 3) for name, value in found.items()}


def compared(rows: list[report.Row]) -> list[report.Row]:
    """Each row with how many times SQLite's processor time it took."""
    sqlite = {(row["path"], row["callers"]): row["CPU, ms"] for row in rows if row["database"] == "sqlite"}
    return [{**row, "CPU, x SQLite": round(row["CPU, ms"] / sqlite[row["path"], row["callers"]], 2)} for row in rows]


async def run(places: dict[str, Place], count: int, pids: dict[str, int | None]) -> list[report.Row]:
    stores = {kind: Store(where) for kind, where in places.items()}
    fleets = {kind: Fleet(count) for kind in places}
    for kind, store in stores.items():
        await fleets[kind].fill(store)
    found = await each_path(fleets, stores, pids)
    for store in stores.values():
        await asyncio.to_thread(store.close)
    return compared(found)


def main() -> None:
    parser = report.parser(__doc__)
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--spread", action="store_true", help="on all processors")
    wanted = parser.parse_args()
    if not wanted.spread:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # the servers inherit it
    taking = report.Taking(wanted)
    databases = Databases(durable=True)
    try:
        with tempfile.TemporaryDirectory() as folder:
            places: dict[str, Place] = {"sqlite": Path(folder) / "ingot.db"}
            places.update({kind: databases.new(kind) for kind in KINDS})
            for where in places.values():
                upgrade.upgrade(where)
            pids = {kind: None if kind == "sqlite" else databases.server(kind).pid for kind in places}
            rows = uvloop.run(run(places, wanted.nodes, pids))
    finally:
        databases.remove()
    worst = {kind: max(row["CPU, x SQLite"] for row in rows if row["database"] == kind) for kind in KINDS}
    told = ", ".join(f"{kind} at most {worst[kind]} times" for kind in KINDS)
    taking.tell(f"CPU of ingot's own process on the hot paths against SQLite's: {told}", {"nodes": wanted.nodes}, rows)


if __name__ == "__main__":
    main()
