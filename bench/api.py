"""What one API request costs the service: its CPU, the rate, and how long clients wait; upstream's service beside it.

Run: ./ingot bench api [--nodes N ...] [--rounds N] [--seconds S] [--alone] [--lists N]     Speaks only the wire, to
services on loopback with SQLite and no authentication, both up all the time and measured in turns. CPU is that of the
service's own processes (user and system) per request; the clients are in another process (bench/load.py). The table
has medians of the rounds. --alone leaves upstream out; --lists 100000 measures our lists with so many nodes. Upstream's
nodes but the first are rows put into its database.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import report
import service
import upstream_service

CONNECTIONS = (1, 8, 64)
LOAD = Path(__file__).with_name("load.py")
NODE = {"driver": "fake-hardware", "properties": {"cpus": 8, "memory_mb": 65536}}
FIGURES = ("CPU, ms", "rate, 1/s", "p50, ms", "p99, ms", "refused")
HEAD = "{:>20}".format
_MOST = 1_000_000


class Kind(NamedTuple):
    """One kind of request; {number} in path and body is the request's number, up to ``nodes`` if ``wraps``."""

    name: str
    method: str
    path: str
    body: object = None
    wraps: bool = True


class Service(NamedTuple):
    """One service under load, its data in ``folder``."""

    name: str
    folder: Path
    pid: int
    port: int


LISTS = [
    Kind("list, 1,000 a page", "GET", "/v1/nodes?limit=1000"),
    Kind("list, two fields", "GET", "/v1/nodes?limit=1000&fields=uuid,name"),
    Kind("list, detail", "GET", "/v1/nodes/detail?limit=1000"),
    Kind("list, filtered to none", "GET", "/v1/nodes?provision_state=active"),
]
KINDS = [
    Kind("get one", "GET", "/v1/nodes/n{number}"),
    Kind("patch", "PATCH", "/v1/nodes/n{number}", [{"op": "add", "path": "/extra/rack", "value": "r{number}"}]),
    *LISTS,
    Kind("create", "POST", "/v1/nodes", {**NODE, "name": "x{number}"}, wraps=False),
]


def main() -> None:
    parser = report.parser(__doc__)
    parser.add_argument("--nodes", type=int, nargs="+", default=[1000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--alone", action="store_true")
    parser.add_argument("--lists", type=int, default=0)
    wanted = parser.parse_args()
    taking = report.Taking(wanted)
    rows: list[dict[str, Any]] = []
    print(f"{'request':<24}{'nodes':>7}{'conn':>5}  {''.join(map(HEAD, FIGURES))}  better", file=sys.stderr)
    for nodes in wanted.nodes:
        rows += compare(nodes, KINDS, wanted, alone=wanted.alone)
    if wanted.lists:
        rows += compare(wanted.lists, LISTS, wanted, alone=True)
    one = next(each for each in rows if each["connections"] == 8)
    better = f", {one['ratio']['CPU']:g} times less than upstream" if "ratio" in one else ""
    curves = {"x": "nodes", "y": ["CPU, ms"], "where": {"connections": 8}}
    taking.tell(f"{one['request']}: {one['ingot']['CPU, ms']:g} ms of CPU{better}", rows=rows, curves=curves)


def compare(nodes: int, kinds: list[Kind], wanted: argparse.Namespace, *, alone: bool) -> list[dict[str, Any]]:
    """One row for each kind and number of connections: the figures of each service and upstream's over ours."""
    with ExitStack() as stack:
        places = [("ingot", service.served)] + ([] if alone else [("upstream", upstream_service.served)])
        folders = [Path(stack.enter_context(tempfile.TemporaryDirectory())) for _ in places]
        services = [
            Service(name, folder, *stack.enter_context(served(folder)))
            for (name, served), folder in zip(places, folders, strict=True)
        ]
        fresh = itertools.count()
        for each in services:
            fill(each, nodes)
        rows: list[dict[str, Any]] = []
        for kind, connections in itertools.product(kinds, CONNECTIONS):
            found: dict[str, list[dict[str, float]]] = {each.name: [] for each in services}
            for _ in range(wanted.rounds):
                for each in services:
                    first = next(fresh) * _MOST if not kind.wraps else 0
                    load = plan(kind, connections, wanted.seconds, first, nodes)
                    found[each.name].append(measure(each, load))
            rows.append(row(nodes, kind, connections, found))
            print(line(rows[-1]), file=sys.stderr, flush=True)
    return rows


def fill(target: Service, nodes: int) -> None:
    """Make the nodes n0, n1, ... over eight connections; of upstream's the first, and the others in its database."""
    kind = Kind("fill", "POST", "/v1/nodes", {**NODE, "name": "n{number}"})
    run(target, {**plan(kind, 8, 7200.0, 0, nodes), "most": nodes if target.name == "ingot" else 1})
    if target.name != "ingot":
        upstream_service.multiply(target.folder, nodes)


def plan(kind: Kind, connections: int, seconds: float, first: int, nodes: int) -> dict[str, Any]:
    found = {"connections": connections, "seconds": seconds, "method": kind.method, "path": kind.path, "first": first}
    found |= {"most": _MOST, "wrap": nodes if kind.wraps else 0}
    return found if kind.body is None else {**found, "body": kind.body}


def measure(target: Service, load: dict[str, Any]) -> dict[str, float]:
    run(target, {**load, "most": 8, "first": load["first"] + _MOST // 2})
    before = service.cpu(target.pid)
    found = run(target, load)
    spent = service.cpu(target.pid) - before
    waits: list[float] = sorted(found["waits"])
    if not waits or (found["refused"] and target.name == "ingot"):
        raise SystemExit(f"{target.name}, {load['method']} {load['path']} was answered {found['refused'][:5]}")
    values = (
        spent / len(waits) * 1000,
        len(waits) / found["seconds"],
        statistics.median(waits) * 1000,
        waits[int(len(waits) * 0.99)] * 1000,
        len(found["refused"]),
    )
    return dict(zip(FIGURES, values, strict=True))


def run(target: Service, load: dict[str, Any]) -> dict[str, Any]:
    """Have the load generator do this: seconds it took, the wait for each answer, what was refused."""
    text = json.dumps({**load, "port": target.port})
    done = subprocess.run([sys.executable, LOAD], input=text, capture_output=True, text=True, timeout=7300, check=False)
    if done.returncode:
        raise SystemExit(f"{target.name}, {load['method']} {load['path']}: {done.stderr[-600:]}")
    return json.loads(done.stdout)


def row(nodes: int, kind: Kind, connections: int, found: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    made: dict[str, Any] = {"nodes": nodes, "request": kind.name, "connections": connections}
    for name, rounds in found.items():
        made[name] = {figure: round(statistics.median(each[figure] for each in rounds), 2) for figure in FIGURES}
    if "upstream" in found:
        ours, theirs = made["ingot"], made["upstream"]
        made["ratio"] = {
            "CPU": round(theirs["CPU, ms"] / ours["CPU, ms"], 1),
            "rate": round(ours["rate, 1/s"] / theirs["rate, 1/s"], 1),
        }
    return made


def line(each: dict[str, Any]) -> str:
    """A row of the table: ours, upstream's, and how many times better ours is."""
    pairs = [" / ".join(f"{each[name][what]:g}" for name in ("ingot", "upstream") if name in each) for what in FIGURES]
    ratio = each.get("ratio")
    better = f"  {ratio['CPU']:g}x CPU, {ratio['rate']:g}x rate" if ratio else ""
    return f"{each['request']:<24}{each['nodes']:>7}{each['connections']:>5}  {''.join(map(HEAD, pairs))}{better}"


if __name__ == "__main__":
    main()
