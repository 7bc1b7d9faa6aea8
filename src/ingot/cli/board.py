"""A few lines that stay up to date: a live table on a terminal, dated plain lines anywhere else.

Why: the demo and `node watch` show many things that move at once. May not: know where the news come from.
Invariant: in plain mode each line is printed once per change of its text, quarter of its bar, and half minute.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Generator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

import click

if TYPE_CHECKING:
    from rich.table import Table

_AGAIN_AFTER = 30.0
_QUARTERS = 4


class Mark(StrEnum):
    """How a line stands."""

    WAITING = "waiting"
    BUSY = "busy"
    DONE = "done"
    FAILED = "failed"


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
    """Redraws a table at the bottom of the terminal; ``live`` is set while the board is open."""

    def __init__(self) -> None:
        self._lines: dict[str, Line] = {}
        self.live: Any = None

    def put(self, name: str, line: Line) -> None:
        """Replace the line; drawn at the next refresh."""
        self._lines[name] = line

    def say(self, text: str) -> None:
        """Print above the table."""
        self.live.console.print(text, highlight=False, markup=False)

    def render(self) -> Table:
        """The table as it is now."""
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        marks = {Mark.WAITING: ("·", "dim"), Mark.BUSY: ("●", "yellow"), Mark.DONE: ("✔", "green")}
        marks[Mark.FAILED] = ("✘", "red")
        grid = Table.grid(padding=(0, 1))
        now = time.monotonic()
        shown = self._fitting()
        for name, line in shown:
            sign, style = marks[line.mark]
            bar = "" if line.part is None else ProgressBar(1.0, line.part, width=20)
            story = Text(line.text + amount(line), style="red" if line.mark is Mark.FAILED else "")
            grid.add_row(Text(sign, style), Text(name, "bold"), story, bar, Text(passed(line, now), "dim"))
        if len(shown) < len(self._lines):
            grid.add_row("", "", Text(f"and {len(self._lines) - len(shown)} more", "dim"))
        return grid

    def _fitting(self) -> list[tuple[str, Line]]:
        """What the terminal has room for: if not all, what moves first, what rests last. In the end all is told."""
        lines = list(self._lines.items())
        if self.live is None or self.live.vertical_overflow == "visible":  # rich's word for the last drawing
            return lines
        room = self.live.console.size.height - 2
        return lines if len(lines) <= room else sorted(lines, key=lambda one: _RANKS[one[1].mark])[: max(room - 1, 1)]


@contextlib.contextmanager
def opened() -> Generator[Board]:
    """The board that fits standard output, open until the block ends."""
    if not sys.stdout.isatty():
        yield PlainBoard()
        return
    from rich.live import Live

    board = LiveBoard()
    with Live(get_renderable=board.render, refresh_per_second=4) as live:
        board.live = live
        yield board


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
