"""The page docs/explanation/capacity.md: a model of how large a site gets, computed from bench/results.

INGOT_WRITE_DOCS=1 ./ingot docs writes it anew. No figure of the page is written by hand: a constant comes from a
result's file, named beside it, and what follows from constants is computed here, so a new measurement is a new page.
Standard library only; the same results give the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs/explanation/capacity.md"
SIZES = (10_000, 50_000, 200_000)
HOUR = 3600.0
_SCALED = "power sync's list by as many times"
INTERVAL = 60.0
"""Of power sync, as delivered."""
CONDUCTORS = 4
LOCK = "writer's lock:"
"""A column of scale_out."""
_SIDE_BY_SIDE = "2026-11-22 06:50 UTC"
"""Since when units of different nodes share messages to a server (docs/decisions/0032)."""


class Constants(NamedTuple):
    """What was measured; processor time in milliseconds."""

    ipmi: float
    redfish: float
    around: float
    conductor: float
    database: float
    lock: float
    """Of the clock: for which the one who writes holds the database."""
    api: float
    both: float
    memory: float
    idle: float
    per_session: float


def files() -> dict[Path, str]:
    """Every file to write, with its text."""
    return {PAGE: text()}


def text() -> str:
    """The page."""
    found = _constants()
    return _TEXT.format(
        constants="\n".join(_constant_rows(found)),
        model="\n".join(_model_rows(found)),
        records="\n".join(_record_rows()),
        scale="\n".join(_scale_rows()),
        bmcs="\n".join(_bmc_rows()),
        most=f"{1000 / found.lock:.0f}",
        largest=f"{max(SIZES):,}",
        fastest=f"{max(SIZES) * found.lock / 1000 / HOUR:.1f}",
        conductors=CONDUCTORS,
        unshown="\n".join(_unshown()),
    )


def _result(name: str) -> dict[str, Any]:
    return json.loads((HERE / "results" / f"{name}.json").read_text())


def _largest(protocol: str) -> dict[str, Any]:
    rows = [row for row in _result("bmc_reads")["rows"] if row["protocol"] == protocol]
    return max(rows, key=lambda row: row["BMCs"])


def _constants() -> Constants:
    ipmi, redfish = _largest("ipmi"), _largest("https")
    sweep = _result("power_sync")["rows"][0]
    phases = _orders(min)
    spent = {part: sum(row["CPU, ms each:"][part] for row in phases) for part in ("conductors", "database", "api")}
    read = ipmi["kept"]["CPU, us"] / 1000
    return Constants(
        ipmi=read,
        redfish=redfish["kept"]["CPU, us"] / 1000,
        around=max(0.0, sweep["CPU per message, us"] / 1000 - read),
        conductor=spent["conductors"],
        database=spent["database"],
        lock=_held(),
        api=spent["api"],
        both=len(phases) * _result("database_fleet")["rows"][0]["postgresql, ms"],
        memory=_at_rest("memory after start"),
        idle=_at_rest("idle CPU,", "idle CPU over"),
        per_session=_growth(redfish) * 1024,
    )


def _at_rest(*beginnings: str) -> float:
    """What a process costs that does nothing; results recorded without upstream beside them have it as a figure."""
    found = _result("service")
    told = found["figures"] | {row["what"]: row["ingot"] for row in found["rows"] if "what" in row}
    return next(value for name, value in told.items() if name.startswith(beginnings))


def _growth(redfish: dict[str, Any]) -> float:
    """MiB of a session: how much the memory of a process grew between few and many of them."""
    few = min((row for row in _result("bmc_reads")["rows"] if row["protocol"] == "https"), key=lambda row: row["BMCs"])
    more = redfish["BMCs"] - few["BMCs"]
    return max(0.0, (redfish["memory, MiB"] - few["memory, MiB"]) / more) if more else 0.0


def _orders(which: Callable[[Iterable[int]], int]) -> list[dict[str, Any]]:
    """The rows of an order, which is a deployment and its release, with the fewest conductors (min) or the most."""
    rows = _result("scale_out")["rows"]
    number = which(row["conductors"] for row in rows)
    return [row for row in rows if row["conductors"] == number and row["verb"] in ("active", "deleted")]


def _held() -> float:
    """Of an order where most conductors write: fewer units share a commit, so it is dearer than with one."""
    return sum(row[LOCK]["ms each"] for row in _orders(max))


def _constant_rows(found: Constants) -> Iterator[str]:
    reads, orders = _taken("bmc_reads"), _taken("scale_out")
    yield _row("a power read by IPMI, session kept", f"{found.ipmi:.3f} ms", "conductor", reads)
    yield _row("a power read by Redfish over TLS, session kept", f"{found.redfish:.3f} ms", "conductor", reads)
    around = f"{_taken('power_sync')}, less the read"
    yield _row("what the service does around each read", f"{found.around:.3f} ms", "conductor", around)
    yield _row("a deployment and its release with cleaning", f"{found.conductor:.1f} ms", "conductor", orders)
    yield _row("the same", f"{found.database:.1f} ms", "database (PostgreSQL)", orders)
    many = f"{_orders(max)[0]['conductors']} conductors together, of the clock"
    yield _row(
        "the same: the one lock under which the database is written is held", f"{found.lock:.1f} ms", many, orders
    )
    yield _row("the same, asked for and looked at", f"{found.api:.1f} ms", "API process", orders)
    both = "API and conductor in one process that has a core"
    yield _row("the same", f"{found.both:.1f} ms", both, _taken("database_fleet"))
    yield _row("a session with a BMC, TLS", f"{found.per_session:.0f} KiB", "conductor's memory", reads)
    rest = f"{found.memory:.0f} MiB, {found.idle:.1f} % of a core"
    yield _row("a process at rest", rest, "its host", _taken("service"))


def _taken(name: str) -> str:
    """A result's file, and when it was taken."""
    return f"`{name}.json`, {_result(name)['when']}"


def _model_rows(found: Constants) -> Iterator[str]:
    """For each size the cores of each part in the heaviest hour, and which of them is full first."""
    read = (found.ipmi + found.redfish) / 2 + found.around
    for size in SIZES:
        reads, orders = size / INTERVAL, size / HOUR
        scan = _record(size, "power sync's list")
        scans = CONDUCTORS / INTERVAL * size / scan["nodes"]
        swept = reads * read / 1000
        # Each conductor reads the list of all machines once per interval.
        listed = scans * scan["CPU, ms"] / 1000
        conductors = swept + listed + orders * found.conductor / 1000
        looked = CONDUCTORS * _record(size, "look for work")["server CPU, ms"] / 1000 / 5.0
        database = orders * found.database / 1000 + looked + scans * scan["server CPU, ms"] / 1000
        api = orders * found.api / 1000
        memory = size / 2 * found.per_session / 1024 / 1024 + CONDUCTORS * found.memory / 1024
        disk = size * _record(size, "size")["KiB a node"] / 1024 / 1024
        yield _row(
            f"{size:,}",
            f"{reads:,.0f}/s",
            f"{orders:.1f}/s",
            f"{conductors:.2f}",
            f"{database:.2f}",
            f"{api:.2f}",
            f"{memory:.1f} GiB",
            f"{disk:.2f} GiB",
            _bound(max(database, orders * found.lock / 1000), conductors),
        )


def _bound(database: float, conductors: float) -> str:
    if database >= 1:
        return "the database's one writer: spread the work over more hours, or over sites"
    if database >= conductors / CONDUCTORS:
        return f"the database's one writer, {database:.0%} busy"
    return f"the conductors, {conductors / CONDUCTORS:.0%} of a core each"


def _record(size: int, what: str, database: str = "postgresql") -> dict[str, Any]:
    """The measured operation at this size, or at the nearest that was measured."""
    rows = [row for row in _result("records")["rows"] if row["what"] == what and row["database"] == database]
    return min(rows, key=lambda row: abs(row["nodes"] - size))


def _record_rows() -> Iterator[str]:
    rows = _result("records")["rows"]
    for database in dict.fromkeys(row["database"] for row in rows):
        for what in dict.fromkeys(row["what"] for row in rows if row["what"] != "size"):
            mine = {row["nodes"]: row for row in rows if row["database"] == database and row["what"] == what}
            cells = (_spent(mine[size]) if size in mine else "not measured" for size in SIZES)
            yield _row(database, what, *cells)


def _spent(row: dict[str, Any]) -> str:
    server = (
        f" + {row['server CPU, ms']:.1f} of the server" if row["server CPU, ms"] > 0 else ""
    )  # less: a backend of it ended meanwhile
    return f"{row['seconds, ms']:.2f} ms ({row['CPU, ms']:.2f}{server})"


def _scale_rows() -> Iterator[str]:
    result = _result("scale_out")
    rows = [row for row in result["rows"] if row["verb"] == "active"]
    one = next(row["per second"] / row["conductors"] for row in rows)
    for row in rows:
        cores = row["cores used:"]
        yield _row(
            str(row["conductors"]),
            f"{row['per second']:g}/s",
            f"{row['per second'] / one:.2f}",
            f"{cores['conductors']:.2f}",
            f"{cores['database']:.2f}",
            f"{cores['api']:.2f}",
            f"{row[LOCK]['held']:.0%}",
        )


def _bmc_rows() -> Iterator[str]:
    for row in _result("bmc_reads")["rows"]:
        kept = row["kept"]
        yield _row(
            row["protocol"],
            f"{row['BMCs']:,}",
            f"{kept['CPU, us']:.0f} us",
            f"{kept['reads/s']:,}",
            str(kept["failed"]),
        )


def _unshown() -> Iterator[str]:
    """What the files do not reach."""
    most = max(row["BMCs"] for row in _result("bmc_reads")["rows"])
    if most < min(SIZES):
        yield f"- Reads of more than {most:,} BMCs at once: `./ingot bench bmc_reads` was not recorded with more."
    sizes = {row["nodes"] for row in _result("records")["rows"]}
    for size in SIZES:
        if size not in sizes:
            yield f"- A database with {size:,} machines: the nearest measured size stands in for it ({_SCALED})."
    most = max(row["conductors"] for row in _result("scale_out")["rows"])
    yield f"- More than {most} conductors, conductors on hosts of their own, a network between them and the database."
    old = [name for name in ("scale_out", "records") if _result(name)["when"] < _SIDE_BY_SIDE]
    if old:
        yield (
            f"- {' and '.join(f'`{name}.json`' for name in old)} after units of different nodes had come to share "
            "messages to the server ([decision 32](../decisions/0032-units-side-by-side.md)): what they say of an "
            "order bounds its cost from above."
        )
    load = max(_load(name) for name in ("scale_out", "records", "bmc_reads", "power_sync"))
    if load > 4:
        yield (
            f"- A quiet machine: the load beside was up to {load:g} on two processors. Rates are what was left; "
            "processor time is changed less by that."
        )


def _load(name: str) -> float:
    found = _result(name)["load"]["before"]
    return found if isinstance(found, int | float) else 0.0


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


_TEXT = """# How large it gets, and what bounds it

A model from measured costs, not a promise: each part's work per machine, times how often it comes, against what one
core or one lock can do. This page is written by `bench/capacity.py` from [the results](../../bench/results/README.md),
the constants as well as what follows from them; a test compares.

## The costs

| what | processor time | whose | measured |
|---|---|---|---|
{constants}

The model below takes the dearer figures of an order, those of conductors that had a part of a core each. Deployments
are of pretended hardware. What a real BMC and agent are told comes on top, 0.1 to 0.5 ms a message.

## What adds up

Let N be the machines, each read once per `power_sync_interval` (60 s), and D the orders a second.

- **Conductors' cores** = N/60 x read + D x order. Conductors share nothing, so cores add up by adding conductors. Each
  also reads the list of all machines once per interval, whichever are its own.
- **API's cores**: requests and heartbeats; API processes hold nothing and add up as well.
- **The database** has one writer at a time ([decision 21](../decisions/0021-databases.md)), which commits units in
  groups. It is the part that does not add up: while one process writes, all others wait. At the time for which its lock
  is held for an order {most} orders a second are the most, with however many conductors, and a fleet of {largest}
  takes {fastest} hours at that rate. For more than half of that time the server waits for a conductor that has a part
  of a core; one with a core of its own holds the lock for less, a database that is far away makes it hold it longer
  ([what bounds several conductors](../../bench/results/README.md)). Power reads write nothing unless something changed.
- **The broker**: a ring is some hundred bytes, and those of 5 ms travel together; it bounds nothing below.
- **The network**: 2 GiB of image take about 2 s of a 10 Gbit/s link; machines hand chunks on to each other
  ([images](images.md)), so it is the rack's link that fills, not the conductor's.

## What that means

Computed from the constants, half of the BMCs IPMI and half Redfish, {conductors} conductors, PostgreSQL, and all
machines deployed and released within one hour as the heaviest case. Cores are those of all processes of a kind
together; Redfish sessions take memory of the conductors.

| machines | reads at rest | orders | cores: conductors | database | API | sessions | on disk | what is full first |
|---|---|---|---|---|---|---|---|---|
{model}

Processor time is rarely why one would run many conductors: reach (a conductor group per network), images, and
outliving a host are.

## What was checked by simulation

**The database with as many machines** (`./ingot bench records`, rows without hardware behind them): seconds for one
operation, and in brackets the processor time of ingot's process and of the server.

| database | operation | 10,000 machines | 50,000 | 200,000 |
|---|---|---|---|---|
{records}

**Conductors side by side** (`./ingot bench scale_out`): each with a part of a core of its own, so that one machine is
as good as several small hosts; deployments a second, how many times one conductor's, the cores that were used, and for
how much of the time somebody held the writers' lock.

| conductors | deployments | times one's | conductors' cores | database's | API's | lock held |
|---|---|---|---|---|---|---|
{scale}

**BMCs** (`./ingot bench bmc_reads`): simulated ones with an address each, read over sessions that are kept.

| protocol | BMCs | CPU a read | reads a second on this machine | failed |
|---|---|---|---|---|
{bmcs}

What one process does with many nodes is in [performance](performance.md).

## What was not

{unshown}
"""
