"""What ingot is to reach on two cores, and where a result says whether it does; bench/curves.py makes the table of it.

A goal names the bench whose result has the figure, the row (or none: ``figures``) and the column as the bench's table
heads it. Where it is missed, ``bound`` is the part of bench/results/README.md that says what bounds it and what was
tried. May not: hold a measured value.
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
    least: float | None = None
    most: float | None = None
    bound: str = ""

    def wanted(self) -> str:
        return f"at least {self.least:,g}" if self.least is not None else f"at most {self.most:,g}"

    def holds(self, value: float) -> bool:
        return value >= self.least if self.least is not None else value <= (self.most or 0)


def _reads(protocol: str) -> dict[str, object]:
    return {"protocol": protocol, "BMCs": 10_000}


def _asked(request: str, connections: int) -> dict[str, object]:
    return {"nodes": 1000, "request": request, "connections": connections}


_SICK: dict[str, object] = {"": "every 9 s"}
_BMC, _FLEET, _START = "reading-bmcs", "a-fleet", "a-start"
_API, _RACK = "an-api-request", "an-image-for-a-rack"
GOALS = (
    Goal("power reads of 10,000 BMCs by IPMI, a second", "bmc_reads", _reads("ipmi"), "kept reads/s", least=5000),
    Goal("the same by Redfish over HTTP", "bmc_reads", _reads("http"), "kept reads/s", least=2500),
    Goal("the same over HTTPS, kept alive", "bmc_reads", _reads("https"), "kept reads/s", least=1200),
    Goal("memory with an HTTPS session to each, MiB", "bmc_reads", _reads("https"), "memory, MiB", most=1024),
    Goal("a sweep over 10,000 BMCs, s", "power_sync", {"": "flat out"}, "a sweep, s", most=5),
    Goal(
        "with sick BMCs, p99: a change from outside shows after, s", "power_sync", _SICK, "shows after, s p99", most=10
    ),
    Goal("the API's p99 meanwhile, ms", "power_sync", _SICK, "API, ms p99", most=100),
    Goal(
        "most sessions of a BMC after kill -9, within a minute",
        "power_sync",
        {"": "killed, again"},
        "most of a BMC",
        most=1,
        bound=_BMC,
    ),
    Goal(
        "1,000 pretended machines to active, s (upstream: 193)",
        "fleet",
        {},
        "1000 nodes to active, s",
        most=3.9,
        bound=_FLEET,
    ),
    Goal("a node's time among 10,000 over that among 1,000", "fleet", {}, "time per node, 10000 over 1000", most=1.2),
    Goal("start to ready, s", "service", {"what": "start to ready, s"}, "ingot", most=0.3, bound=_START),
    Goal("memory after start, MiB", "service", {"what": "memory after start, MiB (PSS)"}, "ingot", most=50),
    Goal("memory with 10,000 nodes, MiB", "service", {"what": "memory with 10000 nodes, MiB (PSS)"}, "ingot", most=90),
    Goal(
        "idle with 10,000 nodes, % of a core",
        "service",
        {"what": "idle CPU with 10000 nodes, % of a core"},
        "ingot",
        most=0.5,
        bound="idling",
    ),
    Goal("installed, MiB", "service", {"what": "installed, MiB"}, "ingot", most=60),
    Goal(
        "80 machines get one image, times the time of one",
        "rack_images",
        {"machines": 80},
        "of one",
        most=1.3,
        bound=_RACK,
    ),
    Goal(
        "100 machines pull an image: the controller grows by, MiB",
        "rack_images",
        {},
        "memory the controller grew by at most, MiB",
        most=50,
    ),
    Goal("get a node: upstream's CPU over ours", "api", _asked("get one", 8), "ratio CPU", least=25, bound=_API),
    Goal("create a node: the same", "api", _asked("create", 8), "ratio CPU", least=30, bound=_API),
    Goal("patch a node: the same", "api", _asked("patch", 8), "ratio CPU", least=60, bound=_API),
    Goal("list 1,000 nodes: the same", "api", _asked("list, 1,000 a page", 1), "ratio CPU", least=60, bound=_API),
    Goal("list 1,000 nodes in detail: the same", "api", _asked("list, detail", 1), "ratio CPU", least=60, bound=_API),
    Goal(
        "nodes created a second: ours over upstream's", "api", _asked("create", 64), "ratio rate", least=50, bound=_API
    ),
    Goal(
        "allocations a second over 10,000 nodes",
        "allocations",
        {"asked for": "plain", "connections": 64},
        "placements, 1/s",
        least=1000,
    ),
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
    where = f"../../bench/results/README.md#what-bounds-{goal.bound}"
    return f"**missed**: [what bounds it]({where})" if goal.bound else "**missed**"
