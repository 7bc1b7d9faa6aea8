"""CPU per IPMI power read: sessions kept, and new ones, against the rack's fleet in a process of its own.

    python bench/ipmi_reads.py [BMCS] [ROUNDS]        (default 1000 BMCs, 20 rounds)

Prints one line of figures; CPU is that of this process (user + system), so of the client alone.
"""

from __future__ import annotations

import asyncio
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import uvloop

from ingot.clients.ipmi import chassis
from ingot.clients.ipmi.client import IpmiPool
from ingot.clients.ipmi.target import Target
from ingot.domain import errors

FIRST = (127, 40, 0, 1)
PASSWORD = "fleet-password"
IN_FLIGHT = 256  # how many reads power sync would have under way


def address(index: int) -> str:
    number = int.from_bytes(bytes(FIRST), "big") + index
    return ".".join(map(str, number.to_bytes(4, "big")))


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("0.0.0.0", 0))
        return int(probe.getsockname()[1])


async def sweep(pool: IpmiPool, targets: list[Target]) -> None:
    queue = iter(targets)

    async def worker() -> None:
        for target in queue:
            await chassis.power_state(pool, target)

    await asyncio.gather(*(worker() for _ in range(IN_FLIGHT)))


async def wait_ready(pool: IpmiPool, target: Target) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                await chassis.power_state(pool, target)
                return
            except errors.Unreachable:
                continue


async def measure(targets: list[Target], rounds: int) -> str:
    pool = IpmiPool()
    await wait_ready(pool, targets[-1])
    cpu, wall = time.process_time(), time.perf_counter()
    await sweep(pool, targets)
    first_cpu, first_wall = time.process_time() - cpu, time.perf_counter() - wall
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(rounds):
        await sweep(pool, targets)
    kept_cpu, kept_wall = time.process_time() - cpu, time.perf_counter() - wall
    assert pool.kept_sessions == len(targets)
    await pool.close()
    count, reads = len(targets), len(targets) * rounds
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return (
        f"{count} BMCs, suite 17: login+read {first_cpu / count * 1e6:.0f} us CPU {count / first_wall:.0f}/s; "
        f"kept read {kept_cpu / reads * 1e6:.1f} us CPU {reads / kept_wall:.0f}/s; memory {memory:.0f} MiB"
    )


@contextmanager
def running_fleet(count: int, folder: Path, *more: str) -> Generator[int]:
    """That many BMCs in a process of their own, from ``address(0)`` on; their port."""
    port = free_port()
    command = [sys.executable, "-m", "ingot_rack", "fleet", "--ipmi", str(count), "--ipmi-port", str(port)]
    with (folder / "fleet.log").open("wb") as log:
        fleet = subprocess.Popen([*command, "--first", address(0), *more], stdout=log, stderr=log)
        try:
            yield port
        finally:
            fleet.terminate()
            fleet.wait(10)


def main() -> None:
    count, rounds = (int(word) for word in (sys.argv[1:] + ["1000", "20"][len(sys.argv) - 1 :]))
    with tempfile.TemporaryDirectory() as folder, running_fleet(count, Path(folder)) as port:
        targets = [Target(address(i), port, "admin", PASSWORD, cipher_suite=17) for i in range(count)]
        print(uvloop.run(measure(targets, rounds)))


if __name__ == "__main__":
    main()
