"""Power sync of a whole service: what a sweep over all BMCs takes and costs, and how soon a change from outside shows.

Run: ./ingot bench power_sync [--ipmi 10000] [--redfish 0] [--tls] [--interval 10] [--seconds 60]

`ingot serve` with that many nodes in its database; the BMCs are the rack's, in a process of their own, on the wire.
Three starts: "flat out" sweeps again and again while all BMCs are well; "every" so many seconds while 1 % of the BMCs
are dead and 5 % take 1 to 20 s for each answer, five machines a second are switched from outside, and the API is asked
50 times a second; "killed" is the start after kill -9, all BMCs well again. A change shows when the node's history has
it. CPU is the service's own; sessions are counted by the BMCs: what kill -9 left open they end after 60 s of silence.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
import os
import random
import re
import signal
import sqlite3
import statistics
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any, cast

import report
import service
from allocations import Lane
from bmc_reads import running_fleet, status

from ingot import app
from ingot.domain import ids, node, secrets, states
from ingot.settings import Settings
from ingot.store import nodes
from ingot_rack import control

Json = dict[str, Any]
SICK_DEAD, SICK_SLOW = 0.01, 0.05
SLOWNESS = (1.0, 2.0, 5.0, 10.0, 15.0, 20.0)
ASKED_PER_SECOND, SWITCHED_PER_SECOND = 50, 5
START = 300.0
BMCS_KEEP_A_SILENT_SESSION = 60.0
"""IPMI 2.0, section 6.12.15: seconds after which a BMC ends a session by itself."""
OUTSIDE = "Power changed outside ingot%"


async def fill(folder: Path, machines: list[Json]) -> None:
    """A database with these machines as available nodes, whose power is not known."""
    deps = app.make_deps(Settings(data_dir=str(folder)))
    async with asyncio.TaskGroup() as group:
        for one in machines:
            uuid, (info, hidden) = ids.new(), secrets.split(one["driver_info"], {})
            sealed = deps.sealer.seal(uuid, {"driver_info": hidden})
            value = node.Node(
                uuid=uuid,
                name=one["name"],
                driver=one["driver"],
                provision_state=states.State.AVAILABLE,
                driver_info=info,
                **cast("Any", deps.registry.defaults(one["driver"])),
            )
            group.create_task(deps.store.run(nodes.create, value, sealed))
    deps.store.close()


class Site:
    """One start of the service: looks into it from outside."""

    def __init__(self, folder: Path, pid: int, port: int, socket: Path) -> None:
        self.pid, self.port = pid, port
        self._socket = socket
        self._base = folder / "ingot.db"

    def query(self, words: str, *values: object) -> list[tuple[Any, ...]]:
        with contextlib.closing(sqlite3.connect(f"file:{self._base}?mode=ro", uri=True)) as base:
            return base.execute(words, values).fetchall()

    async def until_known(self, most_unknown: int) -> None:
        """Wait until the power of all nodes but so many is known."""
        deadline = time.monotonic() + START
        while self.query("select count(*) from nodes where power_state is null")[0][0] > most_unknown:
            if time.monotonic() > deadline:
                raise SystemExit("the first sweep did not end")
            await asyncio.sleep(0.1)

    async def sweeps(self) -> tuple[float, float]:
        """(how many sweeps have ended, the seconds of all of them), as /metrics tells."""
        text = await asyncio.to_thread(self._metrics)
        found = dict(re.findall(r'ingot_power_sweep_duration_seconds_(sum|count)\{outcome="ok"\} (\S+)', text))
        return float(found.get("count", 0)), float(found.get("sum", 0))

    def _metrics(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=60) as answer:
            return cast("bytes", answer.read()).decode()

    async def told(self) -> Json:
        return await status(self._socket)

    async def ask_bmcs(self, do: str, machines: list[str], **more: object) -> None:
        await control.call(self._socket, {"do": do, "machine": cast("Any", machines), **cast("Any", more)})


async def measure(site: Site, seconds: float) -> Json:
    """What happens within so many seconds: sweeps, reads, CPU, memory, sessions."""
    (count, total), cpu, told = await site.sweeps(), service.cpu(site.pid), await site.told()
    began = time.perf_counter()
    await asyncio.sleep(seconds)
    wall = time.perf_counter() - began
    (count_after, total_after), cpu_after, told_after = await site.sweeps(), service.cpu(site.pid), await site.told()
    messages = sum(told_after["messages"].values()) - sum(told["messages"].values())
    swept = count_after - count
    return {
        "sweeps": swept,
        "a sweep, s": round((total_after - total) / swept, 2) if swept else None,
        "messages/s": round(messages / wall),
        "CPU, % of a core": round((cpu_after - cpu) / wall * 100, 1),
        "CPU per message, us": round((cpu_after - cpu) / messages * 1e6, 1) if messages else None,
        "memory, MiB": round(service.pss(site.pid)),
        "sessions": told_after["sessions"]["all"],
        "most of a BMC": told_after["sessions"]["most"],
    }


async def ask_api(port: int, names: list[str], seconds: float) -> list[float]:
    """Ask for a node, now and then for a page of nodes, evenly; the seconds each took."""
    lane = (await asyncio.get_running_loop().create_connection(Lane, "127.0.0.1", port))[1]
    began = time.perf_counter()
    for number in range(int(seconds * ASKED_PER_SECOND)):
        await asyncio.sleep(max(0.0, began + number / ASKED_PER_SECOND - time.perf_counter()))
        path = "/v1/nodes?limit=100" if number % 10 == 0 else f"/v1/nodes/{random.choice(names)}"
        await lane.call("GET", path)
    return lane.waits


async def switch(site: Site, names: list[str], seconds: float) -> dict[str, float]:
    """Switch machines on from outside, each once; when (epoch seconds)."""
    done: dict[str, float] = {}
    for name in names[: int(seconds * SWITCHED_PER_SECOND)]:
        done[name] = time.time()
        await site.ask_bmcs("power", [name], action="on")
        await asyncio.sleep(1 / SWITCHED_PER_SECOND)
    return done


def shown(site: Site, switched: dict[str, float]) -> list[float]:
    """How long each change took to show, of those that have."""
    words = "select name, history.created_at from node_history as history join nodes on node_uuid = nodes.uuid"
    found = dict(site.query(f"{words} where event like ?", OUTSIDE))
    times = {name: datetime.datetime.fromisoformat(at).replace(tzinfo=datetime.UTC) for name, at in found.items()}
    return sorted(times[name].timestamp() - at for name, at in switched.items() if name in times)


def quantiles(values: list[float], scale: float, digits: int) -> Json:
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return {
        "p50": round(cuts[49] * scale, digits),
        "p99": round(cuts[98] * scale, digits),
        "most": round(max(values) * scale, digits),
    }


async def flat_out(site: Site, seconds: float) -> Json:
    began = time.perf_counter()
    await site.until_known(0)
    first = time.perf_counter() - began
    return {"first sweep, s": round(first, 1), **await measure(site, seconds)}


async def beside_the_sick(site: Site, names: list[str], wanted: Any) -> tuple[Json, Json]:
    """(what a stretch of time saw, what went wrong in it)."""
    shuffled = random.sample(names, len(names))
    dead, rest = shuffled[: round(len(names) * SICK_DEAD)], shuffled[round(len(names) * SICK_DEAD) :]
    slow, well = rest[: round(len(names) * SICK_SLOW)], rest[round(len(names) * SICK_SLOW) :]
    await site.ask_bmcs("faults", dead, set={"drop_rate": 1.0})
    for place, delay in enumerate(SLOWNESS):
        await site.ask_bmcs("faults", slow[place :: len(SLOWNESS)], set={"delay": delay})
    await asyncio.sleep(2 * wanted.interval)
    measured, waits, switched = await asyncio.gather(
        measure(site, wanted.seconds),
        ask_api(site.port, well, wanted.seconds),
        switch(site, well, wanted.seconds - wanted.interval),
    )
    await asyncio.sleep(wanted.interval)
    seen = shown(site, switched)
    row = {
        **measured,
        "shows after, s": quantiles(seen, 1, 1),
        "API, ms": quantiles(waits, 1000, 1),
    }
    return row, {"changes from outside": len(switched), "of which showed": len(seen)}


async def take(folder: Path, machines: list[Json], socket: Path, wanted: Any) -> tuple[list[Json], Json]:
    names = [str(one["name"]) for one in machines]
    await fill(folder, machines)
    rows: list[Json] = []
    with service.served(folder, "--set", "power_sync_interval=0.05") as (pid, port):
        row = await flat_out(Site(folder, pid, port, socket), min(wanted.seconds, 20.0))
        rows.append({"": "flat out", **row})
    figures: Json = {"sessions after a stop": (await status(socket))["sessions"]["all"]}
    with contextlib.suppress(ProcessLookupError), service.served(folder, "--set", every(wanted)) as (pid, port):
        await asyncio.sleep(wanted.interval)
        row, more = await beside_the_sick(Site(folder, pid, port, socket), names, wanted)
        rows.append({"": f"every {wanted.interval:g} s", **row})
        figures |= more
        await control.call(socket, {"do": "faults", "set": {"drop_rate": 0.0, "delay": 0.0}})
        os.kill(pid, signal.SIGKILL)
    figures["sessions after kill -9"] = (await status(socket))["sessions"]["all"]
    with service.served(folder, "--set", every(wanted)) as (pid, port):
        await asyncio.sleep(3 * wanted.interval)
        rows.append({"": "killed, again", **await measure(Site(folder, pid, port, socket), 2 * wanted.interval)})
    figures["sessions after the last stop"] = (await status(socket))["sessions"]["all"]
    await asyncio.sleep(BMCS_KEEP_A_SILENT_SESSION + 2)
    figures["of these 62 s later"] = (await status(socket))["sessions"]["all"]
    return rows, figures


def machines_in(written: Path) -> list[Json]:
    """The machines that the fleet has written down, once it has."""
    deadline = time.monotonic() + START
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, ValueError):
            return cast("list[Json]", json.loads(written.read_text())["nodes"])
        time.sleep(0.1)  # noqa: TID251  looking for the moment it is there
    raise SystemExit("the fleet did not write its machines down")


def every(wanted: Any) -> str:
    return f"power_sync_interval={wanted.interval}"


def main() -> None:
    parser = report.parser(__doc__)
    parser.add_argument("--ipmi", type=int, default=10_000)
    parser.add_argument("--redfish", type=int, default=0)
    parser.add_argument("--tls", action="store_true", help="Redfish by HTTPS")
    parser.add_argument("--interval", type=float, default=10.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    wanted = parser.parse_args()
    taking = report.Taking(wanted)
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder, "nodes.json")
        options = ["--ipmi", str(wanted.ipmi), "--redfish", str(wanted.redfish), "--write", str(written)]
        with running_fleet(Path(folder), *options, *(["--redfish-tls"] if wanted.tls else [])) as (_, socket):
            machines = machines_in(written)
            rows, figures = asyncio.run(take(Path(folder, "data"), machines, socket, wanted))
    busy = rows[1]
    headline = f"{len(machines):,} BMCs swept in {rows[0]['a sweep, s']} s, a change from outside shows after "
    taking.tell(f"{headline}{busy['shows after, s']['p99']} s (p99), API {busy['API, ms']['p99']} ms", figures, rows)


if __name__ == "__main__":
    main()
