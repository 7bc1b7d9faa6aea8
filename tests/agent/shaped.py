"""A rack of agents that get one image: each in a network namespace, on a link of its own whose rate the kernel shapes.

The controller's image cache and file server are the product's, in this process, behind one such link too; the agents
are processes that run the agent's own writing code (writer.py), onto files. Needs root, iproute2 and the kernel's tbf.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingot.images import cache, download, locate
from ingot.netboot.service import Netboot
from ingot.settings import Settings
from ingot.store import upgrade
from ingot.store.engine import Store
from netboot.lan import enter, sh

PIECE, HOLE = 128 << 10, 64 << 10
"""Each piece of data between two holes is a chunk of its own: a small image with as many chunks as a large one has."""
_HOST = "10.99.0.1"
_PORT = 6386
_WRITER = Path(__file__).with_name("writer.py")


@dataclass(frozen=True)
class Outcome:
    """What writing on all machines took: seconds, the bytes the controller's link carried to them, CPU seconds."""

    machines: int
    seconds: float
    sent: int
    controller_cpu: float
    agents_cpu: float
    largest_agent: int
    reports: list[dict[str, Any]]


def make_image(path: Path, pieces: int) -> None:
    """Pieces of random data with holes between them."""
    with path.open("wb") as file:
        for number in range(pieces):
            file.seek(number * (PIECE + HOLE))
            file.write(os.urandom(PIECE))
        file.truncate(pieces * (PIECE + HOLE))


class Rack:
    """Namespaces on one switch: the controller's, which this thread enters, and one for each machine."""

    def __init__(self, machines: int, rate: str, *, slow: int = 0, slow_rate: str = "") -> None:
        """``slow``: how many of the machines, the first ones, have links of ``slow_rate`` instead."""
        self.tag = f"ri{os.getpid() % 100000}"
        self._switch = f"{self.tag}w"
        self._rates = [rate, *[slow_rate] * slow, *[rate] * (machines - slow)]
        self.names = [f"{self.tag}c", *(f"{self.tag}m{number}" for number in range(machines))]

    def __enter__(self) -> Rack:
        self._home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        sh("ip", "netns", "add", self._switch)
        sh("ip", "-n", self._switch, "link", "add", "sw", "type", "bridge", "forward_delay", "0")
        sh("ip", "-n", self._switch, "link", "set", "sw", "up")
        for number, name in enumerate(self.names):
            self._join(number, name)
        for name in self.names:
            self._introduce(name)
        inside = os.open(f"/run/netns/{self.names[0]}", os.O_RDONLY)
        enter(inside)
        os.close(inside)
        return self

    def __exit__(self, *_: object) -> None:
        enter(self._home)
        os.close(self._home)
        for name in (*self.names, self._switch):
            subprocess.run(["ip", "netns", "del", name], check=False)

    def _join(self, number: int, name: str) -> None:
        """One cable: both of its ends send no faster than the rate."""
        sh("ip", "netns", "add", name)
        sh("ip", "-n", self._switch, "link", "add", f"p{number}", "type", "veth", "peer", "name", "nic", "netns", name)
        sh("ip", "-n", self._switch, "link", "set", f"p{number}", "master", "sw", "up")
        sh("ip", "-n", name, "link", "set", "nic", "address", _mac(number))
        sh("ip", "-n", name, "addr", "add", f"{_address(number)}/16", "dev", "nic")
        for link in ("nic", "lo"):
            sh("ip", "-n", name, "link", "set", link, "up")
        for space, link in ((name, "nic"), (self._switch, f"p{number}")):
            shape = ("tbf", "rate", self._rates[number], "burst", "64kb", "latency", "50ms")
            sh("tc", "-n", space, "qdisc", "add", "dev", link, "root", *shape)

    def _introduce(self, name: str) -> None:
        """Tell a machine all others' hardware addresses: one kernel learns 1,024, and here it plays all machines."""
        lines = [f"neigh replace {_address(n)} lladdr {_mac(n)} dev nic nud permanent" for n in range(len(self.names))]
        subprocess.run(["ip", "-n", name, "-batch", "-"], input="\n".join(lines), text=True, check=True, timeout=60)

    def sent(self) -> int:
        """Bytes that have left the controller."""
        found = json.loads(sh("ip", "-j", "-s", "-n", self.names[0], "link", "show", "nic"))
        return int(found[0]["stats64"]["tx"]["bytes"])


def _address(number: int) -> str:
    return f"10.99.{(number + 1) // 256}.{(number + 1) % 256}"


def _mac(number: int) -> str:
    return f"02:00:0a:63:{number // 256:02x}:{number % 256:02x}"


@dataclass
class Controller:
    """Image cache and file server with one image."""

    netboot: Netboot
    image: Any

    def order(self, *, shared: bool) -> dict[str, Any]:
        """The agent protocol's image_info for it."""
        key, url = self.image.key, self.netboot.image_url
        chunks = {"url": url(key, "chunks"), "digest": self.image.chunks_digest}
        if shared:
            chunks["sources"] = url(key, "sources")
        return {"urls": [url(key, "raw")], "disk_format": "raw", "ingot_chunks": chunks}


@contextlib.asynccontextmanager
async def controller(folder: Path, source: Path, host: str = _HOST, port: int = _PORT) -> AsyncIterator[Controller]:
    """Serve the image ``source`` while the context lasts."""
    upgrade.upgrade(folder / "ingot.db")
    store = Store(folder / "ingot.db")
    settings = Settings(data_dir=str(folder), provision_address=host, files_port=port)
    images = cache.ImageCache(folder / "images", 1 << 40, fetching=download.Limits(file_roots=(source.parent,)))
    with source.open("rb") as file:
        value = hashlib.file_digest(file, "sha256").hexdigest()
    try:
        image = await images.fetch(locate.ImageSource(source.as_uri(), None, value))
        async with Netboot(settings, store, images.find_file).running() as netboot:
            yield Controller(netboot, image)
    finally:
        store.close()


class Machine:
    """One agent's process."""

    def __init__(self, namespace: str, disk: Path, order: dict[str, Any], timeout: float = 20) -> None:
        self._words = ("ip", "netns", "exec", namespace) if namespace else ()
        self.disk, self._order, self._timeout = disk, order, timeout

    async def start(self, size: int) -> None:
        """Make the disk, and wait until the agent is ready."""
        with self.disk.open("wb") as file:
            file.truncate(size)
        words = (*self._words, sys.executable, str(_WRITER), str(self.disk), json.dumps(self._order))
        words = (*words, str(self._timeout))
        pipe = asyncio.subprocess.PIPE
        self.process = await asyncio.create_subprocess_exec(*words, stdin=pipe, stdout=pipe, limit=1 << 24)
        await self._line(120)

    async def write(self, within: float) -> dict[str, Any]:
        """Have the image written; what the agent reports."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        await self.process.stdin.drain()
        report = await self._line(within)
        await self.process.wait()
        return report

    async def _line(self, within: float) -> dict[str, Any]:
        assert self.process.stdout is not None
        async with asyncio.timeout(within):
            while not (line := await self.process.stdout.readline()).startswith(b"{"):
                if not line:
                    raise AssertionError("the agent's process ended")
        found: dict[str, Any] = json.loads(line)
        return found

    def end(self) -> None:
        """Kill it if it is still there."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()


async def deploy(folder: Path, source: Path, rack: Rack, *, shared: bool = True, within: float = 900) -> Outcome:
    """Write the image on all machines at once, from an empty start, and look at every byte."""
    async with controller(folder, source) as served:
        order = served.order(shared=shared)
        machines = [Machine(name, folder / f"disk{number}", order) for number, name in enumerate(rack.names[1:])]
        try:
            await asyncio.gather(*(machine.start(served.image.size + (1 << 20)) for machine in machines))
            before, cpu, began = rack.sent(), _cpu(), time.monotonic()
            reports = await asyncio.gather(*(machine.write(within) for machine in machines))
            seconds, sent, cpu = time.monotonic() - began, rack.sent() - before, _cpu() - cpu
        finally:
            for machine in machines:
                machine.end()
        failed = [report["error"] for report in reports if "error" in report]
        assert not failed, failed
        wanted = source.read_bytes()
        for machine in machines:
            with machine.disk.open("rb") as disk:
                assert disk.read(len(wanted)) == wanted, machine.disk
            machine.disk.unlink()
        agents, largest = sum(one["cpu"] for one in reports), max(one["rss"] for one in reports)
        return Outcome(len(machines), seconds, sent, cpu, agents, largest, reports)


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
