"""What ingot is to reach on two cores, and where a result says whether it does; bench/curves.py makes the table of it.

A goal names the bench whose result has the figure, the row (or none: ``figures``) and the column as the bench's table
heads it; ``bound`` is the part of bench/results/README.md that says what bounds it and what was tried. May not: hold a
measured value.
"""

from __future__ import annotations

from typing import Any, NamedTuple

Result = dict[str, Any]


class Goal(NamedTuple):
    """``least`` or ``most``: the bound of the column's value in the row that has the values of ``row``."""

    what: str
    bench: str
    row: dict[str, object]
    column: str
    bound: str
    least: float | None = None
    most: float | None = None

    def wanted(self) -> str:
        return f"at least {self.least:,g}" if self.least is not None else f"at most {self.most:,g}"

    def holds(self, value: float) -> bool:
        return value >= self.least if self.least is not None else value <= (self.most or 0)


def _reads(protocol: str) -> dict[str, object]:
    return {"protocol": protocol, "BMCs": 10_000}


def _footprint(what: str) -> dict[str, object]:
    return {"what": what}


def _asked(request: str, connections: int) -> dict[str, object]:
    return {"nodes": 1000, "request": request, "connections": connections}


_SICK: dict[str, object] = {"": "every 9 s"}
_BMC, _FLEET, _IDLE, _START = "reading-bmcs", "a-fleet", "idling", "a-start"
_API, _RACK = "an-api-request", "an-image-for-a-rack"
_FULL, _GREW = "with 10000 nodes", "memory the controller grew by at most, MiB"
_PLACED: dict[str, object] = {"asked for": "plain", "connections": 64}
GOALS = (
    Goal("power reads of 10,000 BMCs by IPMI, a second", "bmc_reads", _reads("ipmi"), "kept reads/s", _BMC, least=5000),
    Goal("the same by Redfish over HTTP", "bmc_reads", _reads("http"), "kept reads/s", _BMC, least=2500),
    Goal("the same over HTTPS, kept alive", "bmc_reads", _reads("https"), "kept reads/s", _BMC, least=1200),
    Goal("memory with an HTTPS session to each, MiB", "bmc_reads", _reads("https"), "memory, MiB", _BMC, most=1024),
    Goal("a sweep over 10,000 BMCs, s", "power_sync", {"": "flat out"}, "a sweep, s", _BMC, most=5),
    Goal("beside sick BMCs a change shows after, p99, s", "power_sync", _SICK, "shows after, s p99", _BMC, most=10),
    Goal("the API's p99 meanwhile, ms", "power_sync", _SICK, "API, ms p99", _BMC, most=100),
    Goal(
        "sessions of a BMC within a minute of kill -9",
        "power_sync",
        {"": "killed, again"},
        "most of a BMC",
        _BMC,
        most=1,
    ),
    Goal(
        "1,000 pretended machines to active, s (upstream: 193)",
        "fleet",
        {},
        "1000 nodes to active, s",
        _FLEET,
        most=3.9,
    ),
    Goal(
        "a node's time among 10,000 by that among 1,000",
        "fleet",
        {},
        "time per node, 10000 over 1000",
        _FLEET,
        most=1.2,
    ),
    Goal("start to ready, s", "service", _footprint("start to ready, s"), "ingot", _START, most=0.3),
    Goal("memory after start, MiB", "service", _footprint("memory after start, MiB (PSS)"), "ingot", _START, most=50),
    Goal("memory with 10,000 nodes, MiB", "service", _footprint(f"memory {_FULL}, MiB (PSS)"), "ingot", _IDLE, most=90),
    Goal(
        "idle with them, % of a core", "service", _footprint(f"idle CPU {_FULL}, % of a core"), "ingot", _IDLE, most=0.5
    ),
    Goal("installed, MiB", "service", _footprint("installed, MiB"), "ingot", _START, most=60),
    Goal(
        "80 machines get one image, times the time of one", "rack_images", {"machines": 80}, "of one", _RACK, most=1.3
    ),
    Goal("100 machines pull one: the controller grows by, MiB", "rack_images", {}, _GREW, _RACK, most=50),
    Goal("get a node: upstream's CPU over ours", "api", _asked("get one", 8), "ratio CPU", _API, least=25),
    Goal("create a node: the same", "api", _asked("create", 8), "ratio CPU", _API, least=30),
    Goal("patch a node: the same", "api", _asked("patch", 8), "ratio CPU", _API, least=60),
    Goal("list 1,000 nodes: the same", "api", _asked("list, 1,000 a page", 1), "ratio CPU", _API, least=60),
    Goal("list 1,000 nodes in detail: the same", "api", _asked("list, detail", 1), "ratio CPU", _API, least=60),
    Goal("nodes created a second: ours over upstream's", "api", _asked("create", 64), "ratio rate", _API, least=50),
    Goal("allocations a second over 10,000 nodes", "allocations", _PLACED, "placements, 1/s", _API, least=1000),
)


def table(results: dict[str, Result]) -> str:
    """The goals with what was taken, as lines of Markdown."""
    lines = ["| goal | wanted | taken | |", "|---|---|---|---|"]
    for goal in GOALS:
        value = taken(goal, results.get(goal.bench, {}))
        if value is None:
            lines.append(f"| {goal.what} | {goal.wanted()} | | not taken yet by `{goal.bench}` |")
        else:
            lines.append(f"| {goal.what} | {goal.wanted()} | {value:,g} | {_verdict(goal, value)} |")
    return "\n".join(lines) + "\n"


def taken(goal: Goal, result: Result) -> float | None:
    """The figure in a result, None where it has none."""
    if not goal.row:
        return result.get("figures", {}).get(goal.column)
    for row in result.get("rows", []):
        if all(row.get(name) == value for name, value in goal.row.items()):
            inner = {
                f"{name} {key}": one for name, of in row.items() if isinstance(of, dict) for key, one in of.items()
            }
            return {**row, **inner}.get(goal.column)
    return None


def _verdict(goal: Goal, value: float) -> str:
    if goal.holds(value):
        return "reached"
    return f"**missed**: [what bounds it](../../bench/results/README.md#what-bounds-{goal.bound})"
