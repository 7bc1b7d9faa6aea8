"""Waiting for nodes while showing what they do, until they rest.

May not: ask for a change. Invariant: asks no more once the deadline has passed, and rides out a restart of the service.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from ingot.cli import board
from ingot.cli import client as api
from ingot.cli.progress import Progress, observe
from ingot.domain import errors

INTERVAL = 1.0
PATIENCE = 60.0
"""How long the API may be away (a restart) before that is an error."""


def arrive(client: api.Client, names: Sequence[str], timeout: float, state: str) -> None:
    """Show the nodes until all rest. Raises as ``follow``, and errors.IngotError unless all came to ``state``."""
    expect(list(follow(client, names, timeout, reasons=False).values()), state)


def follow(
    client: api.Client, names: Sequence[str], timeout: float, *, forever: bool = False, reasons: bool = True
) -> dict[str, Progress]:
    """Show the nodes until all rest; what each came to. ``forever``: until interrupted.

    ``reasons``: say why one failed; False where the caller raises that, so that nobody reads it twice.

    Raises errors.TimedOut after ``timeout`` seconds, errors.Unreachable when the API stays away.
    """
    pause = threading.Event()
    deadline = time.monotonic() + timeout
    seen: dict[str, Progress] = {}
    with board.opened() as lines:
        while True:
            for name in names:
                if forever or name not in seen or not seen[name].resting:
                    seen[name] = _look(client, name, deadline, pause)
                    lines.put(name, line(seen[name], reasons=reasons))
            if not forever and all(one.resting for one in seen.values()):
                return seen
            if time.monotonic() > deadline:
                raise _too_late(list(seen.values()), timeout, reasons=reasons)
            pause.wait(INTERVAL)


def line(seen: Progress, *, reasons: bool = True) -> board.Line:
    """A node's progress as a line of a board; ``reasons``: with why it failed."""
    since = None if seen.elapsed is None or seen.resting else time.monotonic() - seen.elapsed
    mark = board.Mark.BUSY
    if seen.resting:
        mark = board.Mark.FAILED if seen.failed else board.Mark.DONE
    text = seen.state if seen.resting and not reasons else seen.told()
    return board.Line(text, mark, since, seen.usual, seen.done, seen.total)


def expect(ends: Sequence[Progress], state: str) -> None:
    """Raise errors.IngotError with the nodes' own reasons unless all came to rest in ``state``."""
    missed = [failure(end) for end in ends if end.state != state]
    if missed:
        raise missed[0] if len(missed) == 1 else errors.IngotError("\n".join(one.sentence() for one in missed), hint="")


def failure(end: Progress) -> errors.IngotError:
    """The error that tells why a node did not get where it was sent."""
    why = f": {end.reason.rstrip('.')}" if end.reason else ""
    hint = f'See "ingot node history {end.name}".'
    return errors.IngotError(f'{end.name} came to rest in "{end.state}"{why}', hint=hint)


def _look(client: api.Client, name: str, deadline: float, pause: threading.Event) -> Progress:
    until = min(deadline, time.monotonic() + PATIENCE)
    while True:
        try:
            return observe(client, name)
        except errors.Unreachable:
            if time.monotonic() > until:
                raise
            pause.wait(INTERVAL)


def _too_late(seen: list[Progress], timeout: float, *, reasons: bool) -> errors.TimedOut:
    """``reasons``: why one failed was told already."""
    told = [one for one in seen if not one.resting or (one.failed and not reasons)]
    return errors.TimedOut(
        f"Not done after {board.duration(timeout)}: {'; '.join(f'{one.name}: {one.told()}' for one in told)}",
        hint='The work goes on; see it with "ingot node watch", or end it with "ingot node abort".',
    )
