"""What a bus does for both sides. Rings and calls may go through this process alone, or through a broker.

A ring carries no data and may be lost (claims poll as well). ``call`` is only for API requests that are
synchronous by contract. May not: know what a verb means.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

Answer = Callable[..., Awaitable[Any]]
Listener = Callable[[str], None]
Route = Callable[[dict[str, Any]], Awaitable[str | None]]
"""Names the conductor that answers a call with this payload; None: nobody but this process itself can."""
NODES = "nodes"
"""The topic that wakes who works on nodes."""


class Bus(Protocol):
    """Rings and calls."""

    def running(self, route: Route, /) -> AbstractAsyncContextManager[None]:
        """Reach other processes while the context lasts."""
        ...

    def listen(self, listener: Listener, topic: str = NODES) -> None:
        """Call ``listener(uuid)`` at every ring of this topic; the uuid is empty where any may have been rung."""
        ...

    def ring(self, uuid: str, topic: str = NODES) -> None:
        """Say that something about this node (or whatever the topic names) is worth a look."""
        ...

    def answer(self, verb: str, function: Answer) -> None:
        """Let ``function(**payload)`` answer calls of ``verb``."""
        ...

    def answers(self, verb: str) -> bool:
        """Whether somebody of this process answers calls of ``verb``."""
        ...

    async def call(self, verb: str, within: float = 60.0, **payload: Any) -> Any:
        """Ask the conductor and wait for its answer. Raises errors.Unreachable when none is there or in time."""
        ...
