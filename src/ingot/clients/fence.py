"""The last question before anything is sent to hardware: is the run that wants it still this process's?

A process that was stopped, swapped out or cut off wakes up in the middle of a step, while another conductor has gone
on with the run. Every write to the database is refused then, but a BMC knows no leases. So whoever works on a run sets
a question here, and each client asks it right before it sends. May not: know what a run is. Invariant: who set no
question is not held up.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Generator
from contextvars import ContextVar

Question = Callable[[], Awaitable[None]]
_QUESTION: ContextVar[Question | None] = ContextVar("fence", default=None)


@contextlib.contextmanager
def asking(question: Question) -> Generator[None]:
    """Let ``question`` be asked in this task and those it makes; what it raises is not sent but raised."""
    token = _QUESTION.set(question)
    try:
        yield
    finally:
        _QUESTION.reset(token)


async def passed() -> None:
    """Raises what the question raises (errors.LostLease)."""
    question = _QUESTION.get()
    if question is not None:
        await question()
