"""A few lines that stay up to date: a live table on a terminal, dated plain lines anywhere else.

Why: the demo and `node watch` show many things that move at once. May not: know where the news come from.
Invariant: in plain mode each line is printed once per change of its text, quarter of its bar, and half minute.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Generator
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import click

from ingot.cli import drawing

_AGAIN_AFTER = 30.0
_REFRESH = 0.25
_QUARTERS = 4


class Mark(StrEnum):
    """How a line stands."""

    WAITING = "waiting"
    BUSY = "busy"
    DONE = "done"
    FAILED = "failed"


_SIGNS = {
    Mark.WAITING: ("·", "dim"),
    Mark.BUSY: ("●", "yellow"),
    Mark.DONE: ("✔", "green"),
    Mark.FAILED: ("✘", "red"),
}
_RANKS = {Mark.BUSY: 0, Mark.FAILED: 1, Mark.WAITING: 2, Mark.DONE: 3}


@dataclass(frozen=True)
class Line:
    """What to show for one thing. ``since`` on the monotonic clock; ``usual`` in seconds; ``done`` of ``total``."""

    text: str
    mark: Mark = Mark.BUSY
    since: float | None = None
    usual: float | None = None
    done: float | None = None
    total: float | None = None

    @property
    def part(self) -> float | None:
        """The part done, 0 to 1, None without a bar."""
        return min(1.0, self.done / self.total) if self.done is not None and self.total else None


class Board(Protocol):
    """Takes news."""

    def put(self, name: str, line: Line) -> None:
        """Show this line for ``name``."""
        ...

    def say(self, text: str) -> None:
        """Print a line that stays."""
        ...


class PlainBoard:
    """Prints news as lines with the time since the start."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._shown: dict[str, tuple[str, float, int]] = {}

    def put(self, name: str, line: Line) -> None:
        """Print the line if it tells something new."""
        now = time.monotonic()
        quarter = int((line.part or 0) * _QUARTERS)
        text, at, before = self._shown.get(name, ("", 0.0, -1))
        if line.text == text and quarter == before and (line.mark != Mark.BUSY or now - at < _AGAIN_AFTER):
            return
        self._shown[name] = (line.text, now, quarter)
        self.say(f"{name}: {line.text}{amount(line)}{passed(line, now)}")

    def say(self, text: str) -> None:
        """Print a dated line."""
        seconds = int(time.monotonic() - self._began)
        click.echo(f"[{seconds // 60:02}:{seconds % 60:02}] {text}")


class LiveBoard:
    """Redraws a table at the bottom of the terminal."""

    def __init__(self) -> None:
        self._lines: dict[str, Line] = {}
        self._region = drawing.Region()
        self._lock = threading.Lock()

    def put(self, name: str, line: Line) -> None:
        """Replace the line; drawn at the next refresh."""
        self._lines[name] = line

    def say(self, text: str) -> None:
        """Print above the table."""
        with self._lock:
            self._region.above(text)

    def draw(self, *, whole: bool = False) -> None:
        """Show how things stand, as much of it as the terminal has room for, or the ``whole``."""
        columns, lines = drawing.size()
        with self._lock:
            self._region.draw(self.render(columns - 1, None if whole else lines - 2))

    def render(self, width: int, height: int | None = None) -> list[str]:
        """The table as it is now; ``height`` None: all of it."""
        shown = self._fitting(height)
        rows = [_cells(name, line) for name, line in shown]
        if len(shown) < len(self._lines):
            more = f"and {len(self._lines) - len(shown)} more"
            rows.append([*[drawing.Cell("")] * 2, drawing.Cell(more, "dim"), *[drawing.Cell("")] * 2])
        return drawing.columns(rows, width, 1)[:height]

    def _fitting(self, height: int | None) -> list[tuple[str, Line]]:
        """What there is room for: if not all, what moves first, what rests last."""
        lines = list(self._lines.items())
        if height is None or len(lines) <= height:
            return lines
        return sorted(lines, key=lambda one: _RANKS[one[1].mark])[: max(height - 1, 1)]


def _cells(name: str, line: Line) -> list[drawing.Cell]:
    sign, style = _SIGNS[line.mark]
    story = drawing.Cell(line.text + amount(line), "red" if line.mark is Mark.FAILED else "")
    since = drawing.Cell(passed(line, time.monotonic()).lstrip(), "dim")
    return [drawing.Cell(sign, style), drawing.Cell(name, "bold"), story, drawing.bar(line.part, "cyan"), since]


@contextlib.contextmanager
def opened() -> Generator[Board]:
    """The board that fits standard output, open until the block ends."""
    if not sys.stdout.isatty() or drawing.is_dumb():
        yield PlainBoard()
        return
    board, ended = LiveBoard(), threading.Event()

    def redraw() -> None:
        while not ended.wait(_REFRESH):
            board.draw()

    thread = threading.Thread(target=redraw, name="board", daemon=True)
    thread.start()
    try:
        yield board
    finally:
        ended.set()
        thread.join()
        board.draw(whole=True)


def passed(line: Line, now: float) -> str:
    """ " 12 s (usual 90 s)", "" without a start."""
    if line.since is None or line.mark is not Mark.BUSY:
        return ""
    elapsed = max(0.0, now - line.since)
    usual = f" (usual {duration(line.usual)})" if line.usual else ""
    return f" {duration(elapsed)}{usual}" if usual or elapsed >= 1 else ""


def amount(line: Line) -> str:
    """ " 120/650 MB" or " 40 %", "" without a bar."""
    if line.done is None or not line.total:
        return ""
    if line.total >= 1_000_000:
        return f" {line.done / 1e6:.0f}/{line.total / 1e6:.0f} MB"
    return f" {line.done / line.total:.0%}"


def duration(seconds: float) -> str:
    """Seconds as people say them: "42 s", "3 min 5 s"."""
    whole = int(seconds)
    return f"{whole} s" if whole < 120 else f"{whole // 60} min {whole % 60} s"
