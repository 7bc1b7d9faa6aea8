"""Many machines that want one image of a server at once: what it costs the controller, in this process.

The source is a qcow2 file on an HTTP server of another process; the machines are one more process, which reads the raw
image over as many connections as there are machines, each byte of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from ingot.images import cache, download, entries, locate
from ingot.netboot.service import Netboot
from ingot.settings import Settings
from ingot.store import upgrade
from ingot.store.engine import Store

MIB = 1 << 20
_READERS = """
import socket, sys, threading
host, port, path, count, size = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
wrong = []
def read():
    buffer, done = bytearray(1 << 20), 0
    with socket.create_connection((host, port), 60) as server:
        lines = (f"GET {path} HTTP/1.1", "Host: x", f"Range: bytes=0-{size - 1}", "Connection: close", "", "")
        server.sendall("\\r\\n".join(lines).encode())
        while count := server.recv_into(buffer):
            done += count
    if not size < done < size + 2000:
        wrong.append(done)
threads = [threading.Thread(target=read) for _ in range(count)]
for one in threads: one.start()
for one in threads: one.join()
sys.exit(f"short: {wrong}" if wrong else 0)
"""


@dataclass(frozen=True)
class Pulled:
    """What it took: ``growth`` of the controller's memory at most, in bytes; ``cpu`` seconds of its process."""

    machines: int
    fetched: int
    converted: int
    growth: int
    seconds: float
    cpu: float
    sent: int


async def pull(folder: Path, port: int, machines: int, size: int) -> Pulled:
    """Have an image of ``size`` bytes of data asked for and read by all machines at once."""
    digest = await asyncio.to_thread(_make, folder / "source", size)
    upgrade.upgrade(folder / "ingot.db")
    store = Store(folder / "ingot.db")
    images = cache.ImageCache(folder / "images", 1 << 40, fetching=download.Limits())
    settings = Settings(data_dir=str(folder), provision_address="127.0.0.1", files_port=port)
    try:
        async with _served(folder / "source") as url, Netboot(settings, store, images.find_file).running() as netboot:
            wanted = locate.ImageSource(f"{url}/i.qcow2", None, digest)
            before = _forget_peak()
            image, converted = await _ask(images, wanted, machines)
            cpu, began = time.process_time(), time.monotonic()
            path = "/" + netboot.image_url(image.key, "raw").split("/", 3)[3]
            words = ("127.0.0.1", str(port), path, str(machines), str(image.size))
            readers = await asyncio.create_subprocess_exec(sys.executable, "-c", _READERS, *words)
            async with asyncio.timeout(300):
                assert await readers.wait() == 0
            seconds, cpu = time.monotonic() - began, time.process_time() - cpu
            fetched = (folder / "source" / "log").read_text().count("GET /i.qcow2")
            return Pulled(machines, fetched, converted, _peak() - before, seconds, cpu, machines * image.size)
    finally:
        store.close()


async def _ask(images: cache.ImageCache, wanted: locate.ImageSource, machines: int) -> tuple[entries.CachedImage, int]:
    """As so many deployments would; the image, and how often it was converted."""
    ended: Counter[int] = Counter()

    async def one(number: int) -> entries.CachedImage:
        def heard(phase: cache.Phase, done: int, total: int | None) -> None:
            if phase is cache.Phase.CONVERT and done == total:
                ended[number] += 1

        return await images.fetch(wanted, heard)

    found = await asyncio.gather(*(one(number) for number in range(machines)))
    return found[0], sum(ended.values())


@contextlib.asynccontextmanager
async def _served(folder: Path) -> AsyncIterator[str]:
    """The standard library's web server on a folder, with its log in there."""
    with (folder / "log").open("wb") as log:
        words = ("-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(folder))
        pipe = asyncio.subprocess.PIPE
        server = await asyncio.create_subprocess_exec(sys.executable, *words, stdout=pipe, stderr=log)
    assert server.stdout is not None
    try:
        async with asyncio.timeout(60):
            said = await server.stdout.readline()
        yield f"http://127.0.0.1:{said.split()[5].decode()}"
    finally:
        server.kill()
        await server.wait()


def _make(folder: Path, size: int) -> str:
    """The source's file; its sha256."""
    folder.mkdir()
    raw, packed = folder / "i.raw", folder / "i.qcow2"
    with raw.open("wb") as file:
        for _ in range(size // MIB):
            file.write(os.urandom(MIB))
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", str(raw), str(packed)], check=True)
    raw.unlink()
    with packed.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _forget_peak() -> int:
    """Let the kernel count the most memory from now on; what is used now."""
    Path("/proc/self/clear_refs").write_text("5")
    return _peak()


def _peak() -> int:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) << 10
