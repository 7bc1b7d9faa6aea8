"""What a fleet's way through its states costs on SQLite, PostgreSQL and MariaDB: CPU of the service and of the server.

Run: ./ingot bench database_fleet [--nodes N ...] [--rounds N]     Servers are started for it and flush to disk.
One `ingot serve` with one of the databases, nodes of pretended hardware that takes no time; enrolled -> manageable ->
inspected -> available -> active -> available again as in `fleet`, all nodes asked at once over 64 connections, with an
onlooker who reads and changes one more node. The databases take turns; what is told is the round that cost the service
least. CPU is for one change of state of one node, all of the service: its API, its engine, its part of the database's
(the server's has that of making the nodes in it, too).
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import databases
import fleet
import report
import service

from servers.databases import KINDS, Databases

ALL = ("sqlite", *KINDS)


def main() -> None:
    parser = report.parser(__doc__)
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 32, 300])
    parser.add_argument("--rounds", type=int, default=3)
    wanted = parser.parse_args()
    taking = report.Taking(wanted)
    servers = Databases(durable=True)
    try:
        found = {
            nodes: [{kind: life(servers, kind, nodes) for kind in ALL} for _ in range(wanted.rounds)]
            for nodes in wanted.nodes
        }
    finally:
        servers.remove()
    rows = [row for nodes, rounds in found.items() for row in compared(nodes, rounds)]
    worst = {kind: max(row["CPU, x SQLite"] for row in rows if row["database"] == kind) for kind in KINDS}
    told = ", ".join(f"{kind} at most {worst[kind]} times" for kind in KINDS)
    taking.tell(f"CPU of the whole service for a fleet's changes of state against SQLite's: {told}", {}, rows)


def life(servers: Databases, kind: str, nodes: int) -> dict[str, float]:
    """Milliseconds for one change of state of one node, through all phases."""
    pid = None if kind == "sqlite" else servers.server(kind).pid
    settings = {} if kind == "sqlite" else {"database": servers.new(kind)}
    with tempfile.TemporaryDirectory() as folder, service.served(Path(folder), **settings) as (served, port):
        before = databases.server_cpu(pid)
        phases = fleet.fleet(served, port, nodes)
        spent = databases.server_cpu(pid) - before
    lost = sum(nodes - row["reached their goal"] for row in phases)
    if lost:
        raise SystemExit(f"{lost} changes of state did not happen on {kind}")
    each = len(phases)
    return {
        "CPU, ms": sum(row["CPU per transition, ms"] for row in phases) / each,
        "server CPU, ms": spent * 1000 / nodes / each,
        "seconds, ms": sum(row["wall, s"] for row in phases) * 1000 / nodes / each,
    }


def compared(nodes: int, rounds: list[dict[str, dict[str, float]]]) -> list[report.Row]:
    """The cheapest round of each database, and how many times SQLite's processor time it took."""
    best = {kind: min((one[kind] for one in rounds), key=lambda told: told["CPU, ms"]) for kind in ALL}
    return [
        {
            "nodes at once": nodes,
            "database": kind,
            **{name: round(value, 2) for name, value in told.items()},
            "CPU, x SQLite": round(told["CPU, ms"] / best["sqlite"]["CPU, ms"], 2),
        }
        for kind, told in best.items()
    ]


if __name__ == "__main__":
    main()
