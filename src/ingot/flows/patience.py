"""A bound on the time of a judgement that may never end by itself: a regular expression can backtrack for ever.

May not: be waited in; it is for code that computes. Invariant: a timer that somebody else had set goes on.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Generator

from ingot.domain import errors


@contextlib.contextmanager
def within(seconds: float, what: str) -> Generator[None]:
    """Stop what is computed inside after ``seconds`` of it. Raises errors.Invalid, ``what`` being its subject.

    By a signal, as ``re`` looks at those while it searches. They reach the main thread alone, where flows run; in
    another one there is no bound.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_number: int, _frame: object) -> None:
        raise errors.Invalid(
            f"{what} took more than {seconds:g} s", hint="Write it without repetitions inside of repetitions."
        )

    before = signal.signal(signal.SIGALRM, stop)
    left, every = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, left, every)
        signal.signal(signal.SIGALRM, before)
