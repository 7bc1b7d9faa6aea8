"""Runs in which processes died again and again without a step forward: they go on a few at a time.

Why: what works on hundreds at once moves all of them a little, so where it is killed every few seconds none of them
would ever come to its next line of journal. Few at a time do. And a run that kills its process does so among few.
May not: write. Invariant: a seat comes free at the run's first step forward, or after ``HEAD_START`` seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable

SEATS = 32
HEAD_START = 1.0
"""Seconds: what waits for hardware holds nobody up for longer."""


class Suspects:
    """The seats of one process."""

    def __init__(self) -> None:
        self._seats = asyncio.Semaphore(SEATS)

    @contextlib.asynccontextmanager
    async def seat(self) -> AsyncGenerator[Callable[[], None]]:
        """A seat, as soon as one is free; gives what leaves it before the end."""
        await self._seats.acquire()
        taken = [True]

        def leave() -> None:
            if taken:
                taken.clear()
                self._seats.release()

        timer = asyncio.get_running_loop().call_later(HEAD_START, leave)
        try:
            yield leave
        finally:
            timer.cancel()
            leave()
