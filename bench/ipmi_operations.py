"""Packets and CPU per IPMI operation: our client beside ipmitool, against the same BMC in the same run.

Run: ./ingot bench ipmi_operations [--ours N] [--ipmitool N]   The BMC is the rack's, in a process of its own, suite 17.
CPU is user and system time of the client alone: of this process, or of the ipmitool processes. Packets are those that
the BMC was sent. An operation is what a driver does: choosing a boot device also asks the BMC not to forget it (both),
and reads it back (ours); ipmitool is called as Ironic calls it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import report
import uvloop
from bmc_reads import PASSWORD, address, running_fleet, status

from ingot.clients.ipmi import chassis, records, sensors
from ingot.clients.ipmi.client import IpmiPool
from ingot.clients.ipmi.target import Target

Json = dict[str, Any]
Act = Callable[[IpmiPool, Target], Awaitable[object]]


async def choose_boot_device(pool: IpmiPool, target: Target) -> None:
    await chassis.disable_boot_timeout(pool, target)
    await chassis.set_boot_device(pool, target, chassis.BootDevice.PXE, persistent=False, uefi=True)
    assert (await chassis.get_boot_device(pool, target)).device is chassis.BootDevice.PXE


async def read_sensors_anew(pool: IpmiPool, target: Target) -> None:
    pool.records = records.Records()
    assert len(await sensors.read(pool, target)) > 10


async def log_in_and_read(_: IpmiPool, target: Target) -> None:
    pool = IpmiPool()
    await chassis.power_state(pool, target)
    await pool.close()


OURS: dict[str, tuple[Act, int]] = {
    "power read, session kept": (chassis.power_state, 10),
    "power read, new session": (log_in_and_read, 2),
    "boot device": (choose_boot_device, 5),
    "all sensors, records kept": (sensors.read, 1),
    "all sensors, first time": (read_sensors_anew, 1),
}
"""Name -> what is done, and how many times more often than asked."""
IPMITOOL = {
    "power read": [["power", "status"]],
    "boot device": [["raw", "0x00", "0x08", "0x03", "0x08"], ["chassis", "bootdev", "pxe", "options=efiboot"]],
    "all sensors": [["sdr", "-v"]],
}


async def packets(socket: Path) -> int:
    return int((await status(socket))["messages"]["ipmi"])


async def ours(target: Target, socket: Path, rounds: int) -> Json:
    pool = IpmiPool()
    await chassis.control(pool, target, chassis.Control.ON)
    found: Json = {}
    for name, (act, factor) in OURS.items():
        await act(pool, target)
        sent, cpu = await packets(socket), time.process_time()
        for _ in range(rounds * factor):
            await act(pool, target)
        cpu = time.process_time() - cpu
        sent = await packets(socket) - sent
        count = rounds * factor
        found[name] = {"packets": round(sent / count, 1), "CPU, ms": round(cpu / count * 1000, 3)}
    await pool.close()
    return found


def children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


async def ipmitool(target: Target, socket: Path, rounds: int) -> Json:
    where = ["ipmitool", "-I", "lanplus", "-H", target.address, "-p", str(target.port), "-U", target.username, "-E"]
    env = {**os.environ, "IPMI_PASSWORD": PASSWORD}
    found: Json = {}
    for name, commands in IPMITOOL.items():
        sent, cpu = await packets(socket), children()
        for _ in range(rounds):
            for words in commands:
                await asyncio.to_thread(
                    subprocess.run, [*where, *words], env=env, check=True, capture_output=True, timeout=60
                )
        cpu = children() - cpu
        sent = await packets(socket) - sent
        found[name] = {"packets": round(sent / rounds, 1), "CPU, ms": round(cpu / rounds * 1000, 3)}
    return found


async def measure(port: int, socket: Path, wanted: argparse.Namespace) -> Json:
    target = Target(address(0), port, "admin", PASSWORD, cipher_suite=17)
    return {
        "ours": await ours(target, socket, wanted.ours),
        "ipmitool": await ipmitool(target, socket, wanted.ipmitool),
    }


def main() -> None:
    parser = report.parser(__doc__)
    parser.add_argument("--ours", type=int, default=200)
    parser.add_argument("--ipmitool", type=int, default=20)
    wanted = parser.parse_args()
    taking = report.Taking(wanted)
    with tempfile.TemporaryDirectory() as folder, running_fleet(Path(folder), "--ipmi", "1") as (ports, socket):
        found = uvloop.run(measure(ports["ipmi"], socket, wanted))
    taking.tell(headline(found), rows=rows(found))


def headline(found: Json) -> str:
    ours, theirs = found["ours"]["power read, session kept"], found["ipmitool"]["power read"]
    return (
        f"power read: {ours['packets']:g} packet, {ours['CPU, ms']:g} ms of CPU; ipmitool: {theirs['packets']:g}, "
        f"{theirs['CPU, ms']:g}"
    )


def rows(found: Json) -> list[report.Row]:
    """A row for each operation, and for each way of it."""
    return [
        {"client": "ingot" if client == "ours" else client, "operation": name, **figures}
        for client, operations in found.items()
        for name, figures in operations.items()
    ]


if __name__ == "__main__":
    main()
