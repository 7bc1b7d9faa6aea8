"""What the whole service costs on SQLite, PostgreSQL and MariaDB: CPU for a fleet's changes of state and for reads.

Run: ./ingot bench database_fleet [--nodes N] [--rounds N]     Servers are started for it and flush to disk.
One `ingot serve` with one of the databases, nodes of pretended hardware that takes no time; enrolled -> manageable ->
inspected -> available -> active -> available again as in `fleet`, all nodes asked at once over 64 connections; then one
node after another is read over one connection and over 32. CPU is that of the service alone, its API, its engine and
its part of the database's, for one change of state of one node and for one answer. The databases take turns; what is
told is the round that cost the service least.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import allocations
import fleet
import report
import service

from servers.databases import KINDS, Databases

ALL = ("sqlite", *KINDS)
READS = 500


def main() -> None:
    parser = report.parser(__doc__)
    parser.add_argument("--nodes", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    wanted = parser.parse_args()
    taking = report.Taking(wanted)
    servers = Databases(durable=True)
    try:
        rounds = [{kind: spent(servers, kind, wanted.nodes) for kind in ALL} for _ in range(wanted.rounds)]
    finally:
        servers.remove()
    rows = compared(rounds)
    told = ", ".join(f"{row['what']}: PostgreSQL {row['postgresql, x']}, MariaDB {row['mariadb, x']}" for row in rows)
    taking.tell(f"CPU of the whole service against SQLite's: {told}", {"nodes": wanted.nodes}, rows)


def spent(servers: Databases, kind: str, nodes: int) -> dict[str, float]:
    """Milliseconds of the service's CPU for each kind of work."""
    settings = {} if kind == "sqlite" else {"database": servers.new(kind)}
    with tempfile.TemporaryDirectory() as folder, service.served(Path(folder), **settings) as (pid, port):
        phases = fleet.fleet(pid, port, nodes)
        lost = sum(nodes - row["reached their goal"] for row in phases)
        if lost:
            raise SystemExit(f"{lost} changes of state did not happen on {kind}")
        found = {"a change of state": sum(row["CPU per transition, ms"] for row in phases) / len(phases)}
        for lanes in (1, 32):
            calls = [("GET", f"/v1/nodes/n{number % nodes}", None, fleet.VERSION) for number in range(READS)]
            before = service.cpu(pid)
            allocations.send(port, lanes, calls)
            found[f"a GET, {lanes} at once"] = (service.cpu(pid) - before) * 1000 / READS
    return found


def compared(rounds: list[dict[str, dict[str, float]]]) -> list[report.Row]:
    """The cheapest round of each database, and how many times SQLite's processor time it took."""
    rows: list[report.Row] = []
    for what in rounds[0]["sqlite"]:
        best = {kind: min(one[kind][what] for one in rounds) for kind in ALL}
        times = {f"{kind}, x": round(best[kind] / best["sqlite"], 2) for kind in KINDS}
        rows.append({"what": what, **{f"{kind}, ms": round(value, 2) for kind, value in best.items()}, **times})
    return rows


if __name__ == "__main__":
    main()
