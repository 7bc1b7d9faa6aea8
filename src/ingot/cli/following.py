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


def follow(client: api.Client, names: Sequence[str], timeout: float, *, forever: bool = False) -> dict[str, Progress]:
    """Show the nodes until all rest; what each came to. ``forever``: until interrupted.

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
                    lines.put(name, line(seen[name]))
            if not forever and all(one.resting for one in seen.values()):
                return seen
            if time.monotonic() > deadline:
                raise _too_late(list(seen.values()), timeout)
            pause.wait(INTERVAL)


def line(seen: Progress) -> board.Line:
    """A node's progress as a line of a board."""
    since = None if seen.elapsed is None or seen.resting else time.monotonic() - seen.elapsed
    mark = board.Mark.BUSY
    if seen.resting:
        mark = board.Mark.FAILED if seen.failed else board.Mark.DONE
    return board.Line(seen.told(), mark, since, seen.usual, seen.done, seen.total)


def expect(end: Progress, state: str) -> None:
    """Raise errors.IngotError with the node's own reason unless it came to rest in ``state``."""
    if end.state != state:
        raise failure(end)


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


def _too_late(seen: list[Progress], timeout: float) -> errors.TimedOut:
    busy = "; ".join(f"{one.name}: {one.told()}" for one in seen if not one.resting)
    return errors.TimedOut(
        f"Not done after {board.duration(timeout)}: {busy}",
        hint='The work goes on; see it with "ingot node watch", or end it with "ingot node abort".',
    )
