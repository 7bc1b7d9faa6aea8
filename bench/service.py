"""How long `ingot serve` takes to its first answer, and what it costs while it does nothing; upstream's beside it.

Run: ./ingot bench service [--rounds N] [--idle SECONDS] [--nodes N] [--alone]

Starts the service on loopback with an empty data folder, and once with N available nodes of pretended hardware in its
database, whose power it asks for every minute. Memory is the proportional set size of the process; idle CPU is its own
processor time over the idle seconds, with nodes over two minutes after the first look at all of them. Installed are the
Python packages that the service needs, itself among them, without compiled caches and system packages; the largest are
named. Upstream's service, with SQLite too, is started once on a database that is there, without nodes; --alone leaves
it out.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Generator
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import report
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PYTHON = os.environ.get("INGOT_RUN_PYTHON", sys.executable)
"""That of the environment in which users run the service, which has no libraries for tests."""
IDLE_WITH_NODES = 120.0
"""Seconds: two looks at the power of all nodes, each spread over half of its minute."""
SMALL = 1.0
"""MiB from which a package has a line of its own."""


class Start(NamedTuple):
    """Seconds to the first answer, seconds of CPU until then, MiB, and the share of a core used while idle."""

    ready: float
    cpu: float
    memory: float
    busy: float


def main() -> None:
    parser = report.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--idle", type=float, default=20.0)
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--alone", action="store_true")
    wanted = parser.parse_args()
    taking = report.Taking(wanted)
    with tempfile.TemporaryDirectory() as folder:
        first = one_start(Path(folder), idle=0)
        rounds = [one_start(Path(folder), idle=0) for _ in range(wanted.rounds)]
        last = one_start(Path(folder), idle=wanted.idle)
    full = with_nodes(wanted.nodes)
    ready, spent = (statistics.median(values) for values in zip(*((one.ready, one.cpu) for one in rounds), strict=True))
    sizes = installed(PYTHON, tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"])
    folders = ("src/ingot", "src/ingot_agent", "src/ingot_rack", "ramdisk")
    sizes["ingot"] = sum(_size(path) for folder in folders for path in (ROOT / folder).rglob("*"))
    ours = compared(Start(ready, spent, last.memory, last.busy), sizes)
    ours |= footprint(wanted.nodes, full)
    theirs = {} if wanted.alone else upstream(wanted.idle)
    figures = {"first start (makes the database), s": round(first.ready, 2)}
    figures |= {
        f"of what is installed: {name}, MiB": round(size, 1)
        for name, size in sorted(sizes.items(), key=lambda one: -one[1])
        if size >= SMALL
    }
    rows = [
        {"what": what, "ingot": value, **({"upstream": theirs[what]} if what in theirs else {})}
        for what, value in ours.items()
    ]
    headline = f"ready in {ready:.2f} s, {last.memory:.1f} MiB, idle at {last.busy * 100:.1f} % of a core"
    taking.tell(f"{headline}; {len(sizes)} packages, {sum(sizes.values()):.0f} MiB installed", figures, rows)


def compared(one: Start, sizes: dict[str, float]) -> dict[str, float]:
    """What both sides tell."""
    return {
        "start to ready, s": round(one.ready, 2),
        "CPU of a start, s": round(one.cpu, 2),
        "memory after start, MiB (PSS)": round(one.memory, 1),
        "idle CPU, % of a core": round(one.busy * 100, 2),
        "packages installed": len(sizes),
        "installed, MiB": round(sum(sizes.values()), 1),
    }


def footprint(nodes: int, full: Start) -> dict[str, float]:
    """What so many nodes cost while nobody asks for anything."""
    return {
        f"memory with {nodes} nodes, MiB (PSS)": round(full.memory, 1),
        f"idle CPU with {nodes} nodes, % of a core": round(full.busy * 100, 2),
    }


def upstream(idle: float) -> dict[str, float]:
    """The same of upstream's service; its time to ready begins with its process, when its database is there."""
    import upstream_service

    with tempfile.TemporaryDirectory() as folder:
        chosen, port = upstream_service.prepare(Path(folder))
        begun = time.monotonic()
        with upstream_service.running(chosen, port) as pid:
            ready, used = time.monotonic() - begun, cpu(pid)
            time.sleep(idle)  # noqa: TID251  idling is what is measured
            found = Start(ready, used, pss(pid), (cpu(pid) - used) / idle if idle else 0.0)
    return compared(found, installed(os.environ["INGOT_UPSTREAM_PYTHON"], ["ironic"]))


def installed(python: str, wanted: list[str]) -> dict[str, float]:
    """MiB of files by package, of all that these requirements need in the environment of an interpreter."""
    libraries = [str(path) for path in Path(python).parents[1].glob("lib/python3*/site-packages")]
    found: dict[str, float] = {}
    wanted = [*wanted]
    while wanted:
        need = Requirement(wanted.pop())
        name = need.name.lower().replace("_", "-")
        if name in found:
            continue
        package = next(iter(metadata.distributions(name=need.name, path=libraries)))
        found[name] = sum(_size(Path(str(file.locate()))) for file in package.files or [])
        wanted += [line for extra in ("", *need.extras) for line in _required(package, extra)]
    return found


def _required(package: metadata.Distribution, extra: str) -> list[str]:
    needs = [Requirement(line) for line in package.requires or []]
    return [one.name for one in needs if one.marker is None or one.marker.evaluate({"extra": extra})]


def _size(path: Path) -> float:
    return path.stat().st_size / 2**20 if path.is_file() and "__pycache__" not in path.parts else 0.0


def one_start(folder: Path, idle: float) -> Start:
    """Start, wait for the first answer, idle, stop."""
    begun = time.monotonic()
    with served(folder) as (pid, _):
        ready, used = time.monotonic() - begun, cpu(pid)
        return idling(pid, idle)._replace(ready=ready, cpu=used)


def idling(pid: int, seconds: float) -> Start:
    """What a service that has nothing to do uses meanwhile."""
    before = cpu(pid)
    time.sleep(seconds)  # noqa: TID251  idling is what is measured
    return Start(0.0, 0.0, pss(pid), (cpu(pid) - before) / seconds if seconds else 0.0)


def with_nodes(nodes: int) -> Start:
    """Idling with so many available nodes, once the power of all of them is known."""
    import power_sync

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        machines = [{"name": f"n{number}", "driver": "fake-hardware", "driver_info": {}} for number in range(nodes)]
        asyncio.run(power_sync.fill(folder, machines))
        with served(folder) as (pid, port):
            asyncio.run(power_sync.Site(folder, pid, port, folder).until_known(0))
            return idling(pid, IDLE_WITH_NODES)


def make_nodes(port: int, count: int) -> None:
    """Make nodes of pretended hardware, n0 and on."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    heads = {"X-OpenStack-Ironic-API-Version": "1.95", "Content-Type": "application/json"}
    for number in range(count):
        body = json.dumps({"driver": "fake-hardware", "name": f"n{number}"})
        connection.request("POST", "/v1/nodes", body, heads)
        answer = connection.getresponse()
        answer.read()
        if answer.status != 201:
            raise SystemExit(f"a node could not be made: {answer.status}")


@contextlib.contextmanager
def served(folder: Path, *more: str, **settings: str) -> Generator[tuple[int, int]]:
    """A service on loopback without authentication, its data in ``folder``: (its pid, its port).

    ``more``: options; ``settings``: such as nobody shall see in a list of processes.
    """
    port = free_port()
    command = [PYTHON, "-P", "-m", "ingot.cli.main", "serve", "--noauth", "--port", str(port)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTHONDONTWRITEBYTECODE": ""}
    environment |= {f"INGOT_{name.upper()}": value for name, value in settings.items()}
    command += ["--data-dir", str(folder), *more]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, env=environment, stdout=quiet, stderr=quiet) as process:
        try:
            wait_ready(port, process)
            yield process.pid, port
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_ready(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
            connection.request("GET", "/v1")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.005)  # noqa: TID251  looking for the moment it answers
    raise SystemExit("ingot serve did not answer within 30 s")


def pss(pid: int) -> float:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(text.split("Pss:")[1].split()[0]) / 1024


def cpu(pid: int) -> float:
    """Seconds of processor time that a process and its children used so far."""
    # Linux makes a clock's number of a process's id like this (clock_getcpuclockid); it counts nanoseconds.
    children = [child for task in Path(f"/proc/{pid}/task").glob("*/children") for child in task.read_text().split()]
    used = time.clock_gettime((~pid << 3) | 2)
    for child in children:
        with contextlib.suppress(OSError):  # it has ended meanwhile
            used += cpu(int(child))
    return used


if __name__ == "__main__":
    main()
