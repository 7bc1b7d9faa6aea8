"""What is done to a running service: killed, stopped, its clock moved, its disk filled, its database held.

Each returns when the harm is over; the service is running again then, though perhaps not ready.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import sqlite3
import subprocess
import time
from collections.abc import Generator
from pathlib import Path

import service
from cloud import Cloud

FAKETIME = next(iter(Path("/usr/lib").glob("*/faketime/libfaketime.so.1")), None)
RESUMED_WITHIN = 300.0
NOTICED_WITHIN = 60.0
_JUMPS = (-7200, -3600, -600, -60, 60, 600, 3600, 7200)
_NEAR = 20.0
"""Seconds by which a clock that is told may be late: less than any jump."""


@contextlib.contextmanager
def small_disk(folder: Path, mebibytes: int) -> Generator[None]:
    """A file system of its own at ``folder``; needs root."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


class Harm:
    """All that can be done to one cloud's service. ``dice`` decides when, so that a seed repeats a run."""

    def __init__(self, cloud: Cloud, dice: random.Random, lease: float) -> None:
        self._cloud, self._dice, self._lease = cloud, dice, lease
        self._clock, self._ahead = cloud.folder / "clock", 0
        self.resumed: list[float] = []
        self.ready: list[float] = []
        self.cpu: list[float] = []
        if FAKETIME is not None and cloud.ours:
            self._clock.write_text("+0\n")
            cloud.environment |= {"LD_PRELOAD": str(FAKETIME), "FAKETIME_TIMESTAMP_FILE": str(self._clock)}
            cloud.environment |= {"FAKETIME_CACHE_DURATION": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}

    async def kill(self) -> None:
        """SIGKILL and start anew. One time in three the next harm comes before the service has begun to work."""
        self._cloud.signal(signal.SIGKILL)
        assert self._cloud.process is not None
        await self._cloud.process.wait()
        held = self._held() if self._cloud.ours else {}
        begun = time.monotonic()
        await self._cloud.start()
        if self._dice.random() < 1 / 3:
            await asyncio.sleep(self._dice.uniform(0, 1.0))
            return
        await self._cloud.ready()
        self.ready.append(time.monotonic() - begun)
        if held:
            await self._wait_resumed(held, begun)

    async def stop(self) -> None:
        """SIGSTOP for longer than the lease lasts."""
        self._cloud.signal(signal.SIGSTOP)
        await asyncio.sleep(self._lease + self._dice.uniform(0.5, 3))
        self._cloud.signal(signal.SIGCONT)

    async def jump(self) -> None:
        """Move the wall clock by up to two hours, to and fro; monotonic time goes on as it does on a real machine.

        Returns once the service itself tells the other time.
        """
        self._ahead = self._dice.choice([ahead for ahead in _JUMPS if ahead != self._ahead])
        self._clock.write_text(f"{self._ahead:+d}\n")
        await asyncio.sleep(self._dice.uniform(1, 3))
        end = time.monotonic() + NOTICED_WITHIN
        while abs(await self._cloud.wall_clock() - time.time() - self._ahead) > _NEAR:
            if time.monotonic() > end:
                raise SystemExit("the service's clock was moved, and it does not show")
            await asyncio.sleep(0.2)

    async def fill(self) -> None:
        """Take every byte of the data directory's file system for some seconds."""
        filler = self._cloud.data / "filler"
        await asyncio.to_thread(_fill, filler)
        await asyncio.sleep(self._dice.uniform(2, 5))
        filler.unlink()

    async def lock(self) -> None:
        """Hold the database for writing, as a backup by somebody else's program does."""
        held = sqlite3.connect(self._cloud.data / "ingot.db", isolation_level=None, timeout=60, check_same_thread=False)
        try:
            await asyncio.to_thread(held.execute, "BEGIN IMMEDIATE")
            await asyncio.sleep(self._dice.uniform(2, 8))
            held.execute("ROLLBACK")
        finally:
            held.close()

    def _held(self) -> dict[str, int]:
        """The runs the dead service was working on, with the generation it had."""
        return dict(self._read("select id, generation from runs where status = 'open' and owner is not null"))

    def _read(self, query: str) -> list[tuple[str, int]]:
        connection = sqlite3.connect(self._cloud.data / "ingot.db", timeout=30)
        try:
            return connection.execute(query).fetchall()
        finally:
            connection.close()

    async def _wait_resumed(self, held: dict[str, int], begun: float) -> None:
        """Until every run the dead one worked on was taken up again: claimed by the new process, or ended."""
        while True:
            # Freed of the dead, a run has a generation more and a lease below 0, but nobody has it yet.
            query = "select id, generation - (lease_until < 0) from runs where status = 'open'"
            rows = await asyncio.to_thread(self._read, query)
            waiting = [run for run, generation in rows if run in held and generation <= held[run]]
            if not waiting:
                self.resumed.append(time.monotonic() - begun)
                self.cpu.append(service.cpu(self._cloud.pid))
                return
            if time.monotonic() - begun > RESUMED_WITHIN:
                raise SystemExit(f"{len(waiting)} runs were not taken up in {RESUMED_WITHIN:g} s: {waiting[:5]}")
            await asyncio.sleep(0.05)


def _fill(filler: Path) -> None:
    for size in (1 << 16, 1):
        with filler.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"x" * size)
