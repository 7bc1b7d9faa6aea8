"""What the database's part costs as a site grows: looking for work, claims, power sync's list, node lists, heartbeats.

Run: ./ingot bench records [--nodes 10000 50000 200000] [--databases sqlite postgresql mariadb]

Machines are rows here, nothing else: each database gets so many nodes, of which one in a hundred has a run that waits,
and is asked what a conductor with one other beside it and an API process ask. Servers are started for it, on Unix
sockets, and flush to disk. Times are per operation; CPU is that of this process, "server" that of all the server's
processes. A claim is that of one run among 64 that are due.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any

import databases
import report
from sqlalchemy import Connection, insert, text, update

from ingot.conductor.periodic import power_sync
from ingot.domain import hashring, node, runs
from ingot.store import claims as claim_store
from ingot.store import node_filters, nodes, rows, schema, upgrade
from ingot.store.engine import Store
from ingot.store.paging import Page
from ingot.store.place import Place
from servers.databases import KINDS, Databases

TOGETHER = 5000
WAITING = 100
"""One node in so many has a run that waits."""
DUE = 64
LATER = 1e11
OWNER = "bench/1"
RING = hashring.Ring((("", ("bench", "other")),))
SHARE = claim_store.Share("", ("redfish",), RING.slots("", "bench"))
OPERATIONS = {
    "look for work": 20,
    "claim": 5,
    "power sync's list": 3,
    "page of 1000": 5,
    "page deep": 5,
    "get": 200,
    "heartbeat": 200,
}
"""How often each is done."""


class Site(databases.Fleet):
    """Nodes as rows, and a run that waits of some of them."""

    async def fill(self, store: Store) -> None:
        """Write them in bulk."""
        for first in range(0, len(self.uuids), TOGETHER):
            await store.run(self._insert, first, self.uuids[first : first + TOGETHER])

    def _insert(self, connection: Connection, first: int, uuids: list[str]) -> None:
        facts = {"cpus": 64, "memory_mb": 524288, "local_gb": 960, "capabilities": "boot_mode:uefi"}
        info = {"redfish_address": "https://192.0.2.7", "redfish_username": "admin", "redfish_password": "******"}
        states = {"provision_state": "available", "power_state": "power off", "resource_class": "baremetal"}
        one = node.Node(uuid="", driver="redfish", properties=facts, driver_info=info)
        row = rows.to_row(one, schema.nodes, created_at=rows.now(), **states)
        named = [{**row, "uuid": uuid, "name": f"n{first + at}"} for at, uuid in enumerate(uuids)]
        connection.execute(insert(schema.nodes), named)
        connection.execute(insert(schema.runs), [self._run(uuid) for uuid in uuids[::WAITING]])

    def _run(self, uuid: str) -> dict[str, Any]:
        wait = runs.Wait("the ramdisk's first call", 1.0, LATER)
        found = runs.Run(
            id=self.runs[uuid], node_uuid=uuid, kind=runs.Kind.DEPLOY, generation=1, wait=wait, wake_at=LATER
        )
        return rows.to_row(found, schema.runs, open_node=uuid)

    async def make_due(self, store: Store) -> None:
        """Some runs of our share wait no more."""
        await store.run(self._make_due)

    async def put_back(self, store: Store) -> None:
        """All runs wait, and nobody has them."""
        await store.run(claim_store.release_all, OWNER)
        await store.run(self._put_back)

    def _make_due(self, connection: Connection) -> None:
        mine = [uuid for uuid in self.uuids[::WAITING] if uuid[-2:] in (SHARE.slots or ())][:DUE]
        named = schema.runs.c.node_uuid.in_(mine)
        connection.execute(update(schema.runs).where(named).values(wake_at=1.0, owner=None, lease_until=0.0))

    async def do(self, store: Store, what: str, number: int) -> int:
        """One operation; how many it counts as."""
        match what:
            case "look for work":
                assert not await store.run(claim_store.claim, OWNER, time.time(), 6.0, 128, SHARE)
                await store.read(claim_store.next_wake, 6.0, SHARE)
            case "claim":
                taken = await store.run(claim_store.claim, OWNER, time.time(), LATER, DUE, SHARE)
                assert taken
                return len(taken)
            case "power sync's list":
                found = await store.read(power_sync._due, lambda group, uuid: RING.find(group, uuid) == "bench")
                assert abs(len(found) - len(self.uuids) / 2) < len(self.uuids) / 10
            case "page of 1000" | "page deep":
                marker = self.uuids[-1100] if what == "page deep" else None
                await store.read(
                    nodes.list_documents, node_filters.Filter(), Page(limit=1000, marker=marker), self.document
                )
            case "get":
                await self.get(store, [number])
            case _:
                await self.heartbeat(store, [number])
        return 1

    def _put_back(self, connection: Connection) -> None:
        connection.execute(update(schema.runs).values(wake_at=LATER, owner=None, lease_until=0.0))


async def measure(site: Site, store: Store, pid: int | None, what: str) -> dict[str, float]:
    """Milliseconds per operation."""
    spent = served = wall = 0.0
    count = 0
    for number in range(OPERATIONS[what]):
        if what == "claim":
            await site.make_due(store)
        other = databases.server_cpu(pid)  # first: looking at the server's processes costs more than a read
        before, began = time.process_time(), time.perf_counter()
        count += await site.do(store, what, number)
        spent += time.process_time() - before
        wall += time.perf_counter() - began
        served += databases.server_cpu(pid) - other
        if what == "claim":
            await site.put_back(store)
    share = 1000 / count
    return {
        "CPU, ms": round(spent * share, 3),
        "server CPU, ms": round(served * share, 3),
        "seconds, ms": round(wall * share, 3),
    }


async def run(where: Place, kind: str, pid: int | None, count: int) -> list[report.Row]:
    """All operations on one database with so many nodes."""
    store, site = Store(where), Site(count)
    try:
        await site.fill(store)
        size = await store.read(_bytes)
        found = [
            {"nodes": count, "database": kind, "what": what, **await measure(site, store, pid, what)}
            for what in OPERATIONS
        ]
    finally:
        await asyncio.to_thread(store.close)
    return [*found, {"nodes": count, "database": kind, "what": "size", "KiB a node": round(size / count / 1024, 2)}]


def _bytes(connection: Connection) -> int:
    """What the database takes on disk, indexes included."""
    said = {
        "sqlite": "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()",
        "postgresql": "SELECT pg_database_size(current_database())",
        "mariadb": "SELECT SUM(data_length + index_length) FROM information_schema.tables "
        "WHERE table_schema = DATABASE()",
    }
    return int(connection.execute(text(said[connection.dialect.name])).scalar() or 0)


def main() -> None:
    parser = report.parser(__doc__)
    parser.add_argument("--nodes", type=int, nargs="+", default=[10_000, 50_000, 200_000])
    parser.add_argument("--databases", nargs="+", default=["sqlite", "postgresql"], choices=["sqlite", *KINDS])
    wanted = parser.parse_args()
    taking = report.Taking(wanted)
    servers = Databases(durable=True)
    found: list[report.Row] = []
    try:
        with tempfile.TemporaryDirectory() as folder:
            for kind in wanted.databases:
                for count in wanted.nodes:
                    sqlite = kind == "sqlite"
                    where: Place = Path(folder) / f"{count}.db" if sqlite else servers.new(kind)
                    upgrade.upgrade(where)
                    pid = None if sqlite else servers.server(kind).pid
                    found += asyncio.run(run(where, kind, pid, count))
    finally:
        servers.remove()
    most = max(wanted.nodes)
    told = [
        f"{row['database']} {row['what']} {row['seconds, ms']:g} ms"
        for row in found
        if row["nodes"] == most and row["what"] in ("look for work", "power sync's list", "page of 1000")
    ]
    taking.tell(
        f"with {most:,} nodes: {', '.join(told)}",
        None,
        found,
        curves={"x": "nodes", "y": ["seconds, ms", "KiB a node"]},
    )


if __name__ == "__main__":
    main()
