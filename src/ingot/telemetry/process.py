"""What this process costs, and how late its event loop is: read when asked for, but for the loop, which is watched.

Why a watch: a loop that is kept busy answers nobody, and only the loop itself can tell. May not: cost anything worth
mentioning; one timer a second.
"""

from __future__ import annotations

import asyncio
import os
import resource
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from ingot.telemetry import metrics

_EVERY = 1.0
_PAGE = os.sysconf("SC_PAGE_SIZE")
_KEPT = 60
"""Looks at the loop that the greatest lateness is taken from."""


class LoopWatch:
    """How late timers of the running loop fire."""

    def __init__(self) -> None:
        self._late: list[float] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    @contextmanager
    def running(self) -> Generator[None]:
        """Watch the running loop while the context lasts."""
        self._loop = asyncio.get_running_loop()
        handle = self._loop.create_task(self._look())
        try:
            yield
        finally:
            handle.cancel()
            self._loop = None

    async def _look(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + _EVERY
            await asyncio.sleep(_EVERY)
            self._late = [*self._late[1 - _KEPT :], max(0.0, loop.time() - due)]

    def tasks(self) -> int:
        """How many tasks the loop has that have not ended; 0 where none is watched."""
        return 0 if self._loop is None else len(asyncio.all_tasks(self._loop))

    def lag(self) -> float:
        """Seconds that a timer was late at most within the last minute."""
        return max(self._late, default=0.0)


LOOP = LoopWatch()


def families() -> list[metrics.Family]:
    """Memory, processor time, open files, the tasks of the loop and its lateness."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE
    files = sum(1 for _ in Path("/proc/self/fd").iterdir())
    spent = metrics.Counter("process_cpu_seconds_total", "Processor time that this process has spent, in seconds.")
    spent.count(by=used.ru_utime + used.ru_stime)
    return [
        spent.family(),
        metrics.gauge("process_resident_memory_bytes", "Memory of this process.", {(): resident}),
        metrics.gauge("process_open_fds", "Open files and sockets of this process.", {(): files}),
        metrics.gauge("ingot_loop_tasks", "Tasks of the event loop.", {(): LOOP.tasks()}),
        metrics.gauge(
            "ingot_loop_lag_seconds", "How late a timer of the event loop fired at most, last minute.", {(): LOOP.lag()}
        ),
    ]
