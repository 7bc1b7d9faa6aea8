"""The bus of one process: rings wake the conductor, calls are answered by functions it registers.

A ring carries no data and may be lost (claims poll as well). ``call`` is only for API requests that are
synchronous by contract. May not: know what a verb means.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from ingot.domain import errors

Answer = Callable[..., Awaitable[Any]]
NODES = "nodes"
"""The topic that wakes who works on nodes."""


class MemoryBus:
    """Rings and calls inside one event loop."""

    def __init__(self) -> None:
        self._listeners: dict[str, list[Callable[[str], None]]] = {}
        self._answers: dict[str, Answer] = {}

    def listen(self, listener: Callable[[str], None], topic: str = NODES) -> None:
        """Call ``listener(uuid)`` at every ring of this topic."""
        self._listeners.setdefault(topic, []).append(listener)

    def ring(self, uuid: str, topic: str = NODES) -> None:
        """Say that something about this node (or whatever the topic names) is worth a look."""
        for listener in self._listeners.get(topic, ()):
            listener(uuid)

    def answer(self, verb: str, function: Answer) -> None:
        """Let ``function(**payload)`` answer calls of ``verb``."""
        self._answers[verb] = function

    def answers(self, verb: str) -> bool:
        """Whether somebody of this process answers calls of ``verb``."""
        return verb in self._answers

    async def call(self, verb: str, within: float = 60.0, **payload: Any) -> Any:
        """Ask the conductor and wait for its answer. Raises errors.Unreachable when none is there or in time."""
        function = self._answers.get(verb)
        if function is None:
            raise errors.Unreachable(
                "No conductor is running that could do this", hint="Start one with: ingot serve --only conductor."
            )
        try:
            async with asyncio.timeout(within):
                return await function(**payload)
        except TimeoutError as error:
            raise errors.TimedOut(
                f"The conductor did not finish {verb} within {within:.0f} s", hint="The BMC may hang: try again."
            ) from error
