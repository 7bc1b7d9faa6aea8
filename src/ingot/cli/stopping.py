"""Ending in good order when told to: temporary files and child processes must not outlive a command.

May not: decide what to clean up. Invariant: SIGTERM and Ctrl-C unwind the stack, so every ``finally`` runs once.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Callable, Coroutine, Generator
from types import FrameType
from typing import Any, TypeVar

import click

T = TypeVar("T")
_BY_SIGNAL = 128


class Stopped(Exception):
    """The user asked the program to stop."""


def _leave(number: int, _frame: FrameType | None) -> None:
    sys.exit(_BY_SIGNAL + number)


@contextlib.contextmanager
def on_sigterm() -> Generator[None]:
    """While the block runs, SIGTERM raises SystemExit in it, and so does the terminal's end, unless under nohup."""
    both = (signal.SIGTERM, signal.SIGHUP)
    before = {each: signal.signal(each, _leave) for each in both if signal.getsignal(each) is not signal.SIG_IGN}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def run(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run ``main()`` in an event loop; the first SIGINT, SIGTERM or SIGHUP cancels it, later ones change nothing.

    Raises Stopped when it was told to stop.
    """
    told = False

    async def guarded() -> T:
        task = asyncio.current_task()
        loop = asyncio.get_running_loop()

        def stop() -> None:
            nonlocal told
            if told:
                click.echo("ingot: still cleaning up", err=True)
            elif task is not None:
                told = True
                task.cancel()

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, stop)
        return await main()

    try:
        return asyncio.run(guarded())
    except asyncio.CancelledError:
        raise Stopped from None
