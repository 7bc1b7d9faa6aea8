"""Text on a terminal: aligned columns whose words wrap, colours, and a few last lines that are drawn again and again.

Why by hand: it is all that was used of a library which was 6 MiB in four packages. May not: know what is drawn.
Invariant: no line is wider than asked for, while each column gets four places, and a control character in a cell never
reaches the terminal.
"""

from __future__ import annotations

import os
import shutil
import sys
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple, TextIO

_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
_LEAST = 4
"""Characters below which a column does not give way."""
_BAR = 20
_FULL, _EMPTY = "\N{BOX DRAWINGS HEAVY HORIZONTAL}", "\N{MIDDLE DOT}"


class Cell(NamedTuple):
    """A text and its style: one of bold, dim, red, green, yellow, cyan, or "" for none.

    ``part``: it is a bar as wide as its column, so much of which (0 to 1) is full; ``text`` only says how wide at most.
    """

    text: str
    style: str = ""
    part: float | None = None


def size() -> os.terminal_size:
    """Columns and lines of the terminal."""
    return shutil.get_terminal_size()


def is_dumb() -> bool:
    """Whether the terminal knows no control sequences (an editor's shell, a log)."""
    return os.environ.get("TERM") == "dumb"


def styled(text: str, style: str) -> str:
    """The text in a style, unless the environment asks for none (NO_COLOR, TERM=dumb)."""
    if not style or not text or os.environ.get("NO_COLOR") or is_dumb():
        return text
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m"


def bar(part: float | None, style: str) -> Cell:
    """A bar of usual length, so much of which is full; nothing for None."""
    return Cell("" if part is None else " " * _BAR, style, part)


def columns(rows: Sequence[Sequence[Cell]], width: int, gap: int, *, headed: bool = False) -> list[str]:
    """Rows as lines of aligned cells; where they are too wide, the widest columns give way and their words wrap.

    ``headed``: with a rule below the first row.
    """
    if not rows:
        return []
    plain = [[cell._replace(text=cleaned(cell.text)) for cell in row] for row in rows]
    widths = [max(_width(cell.text) for cell in column) for column in zip(*plain, strict=True)]
    widths = _narrowed(widths, width - gap * (len(widths) - 1))
    drawn = [_lines(row, widths, gap) for row in plain]
    if headed:
        whole = sum(widths) + gap * (len(widths) - 1)
        drawn.insert(1, [styled("\N{BOX DRAWINGS LIGHT HORIZONTAL}" * whole, "dim")])
    return [line for lines in drawn for line in lines]


def _lines(row: Sequence[Cell], widths: Sequence[int], gap: int) -> list[str]:
    """A row: as many lines as its tallest cell."""
    stacks = [_stacked(cell, width) for cell, width in zip(row, widths, strict=True)]
    found: list[str] = []
    for number in range(max(map(len, stacks))):
        line, owed = "", 0
        for cell, stack, width in zip(row, stacks, widths, strict=True):
            text = stack[number] if number < len(stack) else ""
            line += " " * owed * bool(text) + styled(text, cell.style)
            owed = (0 if text else owed) + width - _width(text) + gap
        found.append(line)
    return found


def _narrowed(widths: list[int], room: int) -> list[int]:
    found = list(widths)
    while sum(found) > room and max(found) > _LEAST:
        found[found.index(max(found))] -= 1
    return found


def _stacked(cell: Cell, width: int) -> list[str]:
    """The lines of a cell."""
    if cell.part is None:
        return _wrapped(cell.text, width)
    full = round(cell.part * width)
    return [_FULL * full + _EMPTY * (width - full)]


def _wrapped(text: str, width: int) -> list[str]:
    """Lines no wider than ``width``, broken between words where there is a gap, else anywhere."""
    lines: list[str] = []
    while _width(text) > width:
        most = _fitting(text, width)
        at = text.rfind(" ", 1, most + 1)
        at = at if at > 0 else most
        lines.append(text[:at].rstrip())
        text = text[at:].lstrip()
    return [*lines, text]


def _fitting(text: str, width: int) -> int:
    """How many characters fit, one at least."""
    taken = 0
    for at, character in enumerate(text):
        taken += _width(character)
        if taken > width:
            return max(at, 1)
    return len(text)


def _width(text: str) -> int:
    """Places on the screen."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(one) else 1 + (unicodedata.east_asian_width(one) in "WF") for one in text)


def cleaned(text: str) -> str:
    """The text without what a terminal would obey."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else " " if one.isspace() else "\N{REPLACEMENT CHARACTER}" for one in text)


class Region:
    """The last lines of a terminal. What is printed meanwhile goes through ``above``."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._drawn = 0

    def draw(self, lines: Sequence[str]) -> None:
        """Put these lines in the place of those that were drawn last."""
        self._write("".join(f"{line}\x1b[K\n" for line in lines) + "\x1b[J")
        self._drawn = len(lines)

    def above(self, text: str) -> None:
        """Print a text that stays; the lines come again with the next drawing."""
        self._write(f"\x1b[J{text}\n")
        self._drawn = 0

    def _write(self, text: str) -> None:
        back = f"\x1b[{self._drawn}F" if self._drawn else ""
        self._stream.write(back + text)
        self._stream.flush()
