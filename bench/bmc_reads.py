"""Power reads of a fleet of BMCs: how many a second, and what one costs, by IPMI, Redfish over HTTP and over TLS.

Run: ./ingot bench bmc_reads [--bmcs 100 1000 10000] [--seconds 5] [--protocols ipmi http https]

The BMCs are the rack's, in a process of their own, each with an address of its own on loopback; the client is ingot's,
in a process of its own for every row, with as many reads under way as power sync has. "first" is a read that logs in
first, "kept" one over the session that is there. CPU is the client's own, user and system; messages are those that the
BMCs counted; memory is the client's with a session to every BMC.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import report
import uvloop

from ingot.clients.ipmi import chassis
from ingot.clients.ipmi.client import IpmiPool
from ingot.clients.ipmi.target import Target as IpmiTarget
from ingot.clients.redfish import systems
from ingot.clients.redfish.client import RedfishPool
from ingot.clients.redfish.target import Target as RedfishTarget
from ingot.domain import errors
from ingot_rack import control
from ingot_rack.errors import RackError

FIRST = (127, 40, 0, 1)
PASSWORD = "fleet-password"
IN_FLIGHT = 256
START = 60.0
PROTOCOLS = {"ipmi": ["--ipmi"], "http": ["--redfish"], "https": ["--redfish-tls", "--redfish"]}
Json = dict[str, Any]
Read = Callable[[], Awaitable[object]]


def address(index: int) -> str:
    number = int.from_bytes(bytes(FIRST), "big") + index
    return ".".join(map(str, number.to_bytes(4, "big")))


@contextmanager
def running_fleet(folder: Path, *options: str) -> Generator[tuple[dict[str, int], Path]]:
    """A fleet in a process of its own, from ``address(0)`` on: (its ports by "ipmi" and "redfish", its control)."""
    socket = folder / "control"
    command = [sys.executable, "-m", "ingot_rack", "fleet", "--ipmi-port", "0", "--redfish-port", "0"]
    command += ["--first", address(0), "--control", str(socket), *options]
    with (folder / "fleet.log").open("wb") as log:
        fleet = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            yield _await_ports(fleet, socket), socket
        finally:
            fleet.terminate()
            fleet.wait(30)


def _await_ports(fleet: subprocess.Popen[bytes], socket: Path) -> dict[str, int]:
    deadline = time.monotonic() + START
    while fleet.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(RackError):  # it does not listen yet
            return cast("dict[str, int]", asyncio.run(status(socket))["ports"])
        time.sleep(0.02)  # noqa: TID251  looking for the moment it does
    raise SystemExit("the fleet did not start")


async def status(socket: Path) -> Json:
    """What the fleet tells: messages and open sessions among it."""
    return cast("Json", await control.call(socket, {"do": "status"}))


async def spent(socket: Path) -> tuple[int, float]:
    """Messages that the BMCs were sent so far, and the seconds of CPU their process has used."""
    told = await status(socket)
    return sum(told["messages"].values()), told["cpu_seconds"]


def readers(protocol: str, count: int, port: int) -> tuple[IpmiPool | RedfishPool, list[Read]]:
    """The pool, and for each BMC what reads its power."""
    if protocol == "ipmi":
        ipmi = IpmiPool()
        found = [IpmiTarget(address(i), port, "admin", PASSWORD) for i in range(count)]
        return ipmi, [lambda target=target: chassis.power_state(ipmi, target) for target in found]
    redfish = RedfishPool()
    urls = [f"{protocol}://{address(i)}:{port}" for i in range(count)]
    targets = [RedfishTarget(url, "/redfish/v1/Systems/1", "admin", PASSWORD, verify_ca=False) for url in urls]
    return redfish, [lambda target=target: systems.power_state(redfish, target) for target in targets]


async def sweep(reads: list[Read], until: float | None = None) -> tuple[int, int]:
    """Every read once, or one after another again and again until then (of time.perf_counter): (done, failed)."""
    done = failed = 0

    async def work(lane: int) -> None:
        nonlocal done, failed
        while True:
            for read in reads[lane::IN_FLIGHT]:
                try:
                    await read()
                    done += 1
                except errors.Unreachable:  # of a machine that has too much else to do
                    failed += 1
                if until is not None and time.perf_counter() >= until:
                    return
            if until is None:
                return

    await asyncio.gather(*(work(lane) for lane in range(min(IN_FLIGHT, len(reads)))))
    return done, failed


async def measured(socket: Path, work: Awaitable[tuple[int, int]]) -> Json:
    """Rate, CPU and messages of ``work``, which gives how many reads it did and how many failed."""
    (sent, theirs), cpu, wall = await spent(socket), time.process_time(), time.perf_counter()
    count, failed = await work
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    sent_after, theirs_after = await spent(socket)
    return {
        "reads/s": round(count / wall),
        "CPU, us": round(cpu / count * 1e6, 1),
        "messages": round((sent_after - sent) / count, 2),
        "CPU of the BMCs, us": round((theirs_after - theirs) / count * 1e6, 1),
        "failed": failed,
    }


async def measure(protocol: str, count: int, port: int, socket: Path, seconds: float) -> Json:
    """One row: first and kept reads, sessions open during them and after, memory in MiB."""
    pool, reads = readers(protocol, count, port)
    gc.freeze()  # as the service does
    first = await measured(socket, sweep(reads))
    kept = await measured(socket, sweep(reads, time.perf_counter() + seconds))
    during = (await status(socket))["sessions"]
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    await pool.close()
    after = (await status(socket))["sessions"]
    return {
        "protocol": protocol,
        "BMCs": count,
        "first": first,
        "kept": kept,
        "sessions": {"open": during["all"], "most of a BMC": during["most"], "after closing": after["all"]},
        "memory, MiB": round(memory),
    }


def one_line(protocol: str, count: int, seconds: float) -> Json:
    """Measure in a process of its own, beside the fleet's."""
    with tempfile.TemporaryDirectory() as folder:
        with running_fleet(Path(folder), *PROTOCOLS[protocol], str(count)) as (ports, socket):
            port = ports["ipmi" if protocol == "ipmi" else "redfish"]
            command = [sys.executable, __file__, "--line", protocol, str(count), str(port), str(socket), str(seconds)]
            ended = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=600)
        sys.stderr.write(ended.stdout.decode())
        return cast("Json", json.loads(ended.stdout))


def main() -> None:
    if sys.argv[1:2] == ["--line"]:
        protocol, count, port, socket, seconds = sys.argv[2:]
        print(json.dumps(uvloop.run(measure(protocol, int(count), int(port), Path(socket), float(seconds)))))
        return
    parser = report.parser(__doc__)
    parser.add_argument("--bmcs", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--protocols", nargs="+", choices=PROTOCOLS, default=list(PROTOCOLS))
    parser.add_argument("--seconds", type=float, default=5.0)
    wanted = parser.parse_args()
    taking = report.Taking(wanted)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    rows = [one_line(protocol, count, wanted.seconds) for protocol in wanted.protocols for count in wanted.bmcs]
    last = {one["protocol"]: f"{one['protocol']} {one['kept']['CPU, us']:.0f} us" for one in rows}
    headline = f"a power read of one of {max(wanted.bmcs):,} BMCs costs {', '.join(last.values())} of CPU"
    taking.tell(headline, rows=rows, curves={"x": "BMCs", "y": ["kept reads/s", "kept CPU, us", "memory, MiB"]})


if __name__ == "__main__":
    main()
