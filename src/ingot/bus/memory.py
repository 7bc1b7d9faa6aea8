"""The bus of one process: rings wake the conductor, calls are answered by functions it registers.

May not: know what a verb means. Invariant: a ring is heard before ``ring`` returns.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from ingot.bus.base import NODES, Answer, Listener, Route
from ingot.domain import errors


class MemoryBus:
    """Rings and calls inside one event loop."""

    def __init__(self) -> None:
        self._listeners: dict[str, list[Listener]] = {}
        self._answers: dict[str, Answer] = {}

    @asynccontextmanager
    async def running(self, _route: Route, /) -> AsyncGenerator[None]:
        """There is no other process to reach."""
        yield

    def listen(self, listener: Listener, topic: str = NODES) -> None:
        """See base.Bus."""
        self._listeners.setdefault(topic, []).append(listener)

    def ring(self, uuid: str, topic: str = NODES) -> None:
        """See base.Bus."""
        for listener in self._listeners.get(topic, ()):
            listener(uuid)

    def ring_all(self) -> None:
        """Ring every topic: who knows what was missed?"""
        for topic in self._listeners:
            self.ring("", topic)

    def answer(self, verb: str, function: Answer) -> None:
        """See base.Bus."""
        self._answers[verb] = function

    def answers(self, verb: str) -> bool:
        """See base.Bus."""
        return verb in self._answers

    async def call(self, verb: str, within: float = 60.0, **payload: Any) -> Any:
        """See base.Bus."""
        function = self._answers.get(verb)
        if function is None:
            raise errors.Unreachable(
                "No conductor is running that could do this", hint="Start one with: ingot serve --only conductor."
            )
        try:
            async with asyncio.timeout(within):
                return await function(**payload)
        except TimeoutError as error:
            raise too_late(verb, within) from error


def too_late(verb: str, within: float) -> errors.TimedOut:
    """The error of a call that nobody answered in time."""
    return errors.TimedOut(
        f"The conductor did not finish {verb} within {within:.0f} s", hint="The BMC may hang: try again."
    )
