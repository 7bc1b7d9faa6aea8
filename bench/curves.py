"""The page docs/explanation/performance.md and its pictures, drawn from bench/results: what grows how as work grows.

Run: ./ingot bench curves     A result is drawn when it says what to draw (``curves`` of report.Taking.tell)
and its rows have at least two sizes. Both axes are logarithmic, so that work which costs the same per machine is a
straight line, rising by one step a step. Standard library only; the same results give the same bytes.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import goals

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs/explanation/performance.md"
PICTURES = PAGE.parent / "curves"
WIDTH, HEIGHT = 720, 380
LEFT, RIGHT, TOP, BOTTOM = 64, 210, 44, 48
COLOURS = ("#1f6fb4", "#c8591b", "#2f8f57", "#7a4fb0", "#8a6d1a", "#a8336b")
DASHES = ("", "7 4", "2 4")
TELLS = """# Performance

What ingot costs, as measured; this page is written from [the results](../../bench/results/README.md), which say with
what command, on what machine and beside what load each was taken. `./ingot bench` lists them, `./ingot bench NAME`
measures again. Figures beside upstream's are of Ironic 39.0.0 in the same run on the same machine.

| bench | last result | when | load | command |
|---|---|---|---|---|
"""
AIMS = """
## Goals

On two cores, with SQLite and one process; the figures are those of the results above.

"""
GROWTH = """
## As work grows

Both axes are logarithmic: a line that rises as steeply as the dotted one costs the same for each machine, however many
there are.
"""


class Line(NamedTuple):
    """One series: its name and its points by size."""

    name: str
    points: list[tuple[float, float]]


def files() -> dict[Path, str]:
    """Every file to write, with its text."""
    results = {path.stem: json.loads(path.read_text()) for path in sorted((HERE / "results").glob("*.json"))}
    told = {name: one for name, one in results.items() if "headline" in one}
    text = TELLS + "".join(_row(name, one) for name, one in told.items()) + AIMS + goals.table(results) + GROWTH
    made: dict[Path, str] = {}
    for name, one in told.items():
        for number, (title, lines) in enumerate(_drawings(one)):
            path = PICTURES / f"{name}{number or ''}.svg"
            made[path] = draw(title, one["curves"]["x"], lines)
            text += f"\n![{name}: {title} by {one['curves']['x']}](curves/{path.name})\n"
    return {**made, PAGE: text}


def _row(name: str, one: dict[str, Any]) -> str:
    headline = one["headline"].replace("|", "/")
    return f"| {name} | {headline} | {one['when']} | {one['load']['before']} | `{one['command']}` |\n"


def _drawings(one: dict[str, Any]) -> list[tuple[str, list[Line]]]:
    """For each column that is to be drawn: its name and its lines, one for each kind of row."""
    wanted = one.get("curves") or {}
    found: list[tuple[str, list[Line]]] = []
    for column in wanted.get("y", []):
        lines: dict[str, list[tuple[float, float]]] = {}
        for row in [row for row in one["rows"] if wanted.get("where", {}).items() <= row.items()]:
            kind = ", ".join(str(value) for value in row.values() if isinstance(value, str))
            for whose, value in _values(row, column).items():
                if value > 0:
                    lines.setdefault(" ".join(filter(None, (kind, whose))) or column, []).append(
                        (row[wanted["x"]], value)
                    )
        drawn = [Line(name, sorted(points)) for name, points in lines.items() if len({size for size, _ in points}) > 1]
        if drawn:
            found.append((column, drawn))
    return found


def _values(row: dict[str, Any], column: str) -> dict[str, float]:
    """A row's figure of a column as the table names it ("kept reads/s"), or those of both sides by name."""
    inner = {name: value for name, value in row.items() if isinstance(value, dict)}
    flat = {**row, **{f"{name} {key}": one for name, value in inner.items() for key, one in value.items()}}
    sides = {"": flat.get(column)} if column in flat else {name: value.get(column) for name, value in inner.items()}
    return {name: float(one) for name, one in sides.items() if isinstance(one, int | float) and name != "ratio"}


class Axis(NamedTuple):
    """A logarithmic axis between two powers of ten, over so many pixels from ``start``."""

    low: int
    high: int
    start: float
    length: float

    def at(self, value: float) -> float:
        return round(self.start + self.length * (math.log10(value) - self.low) / (self.high - self.low), 1)

    def ticks(self) -> list[float]:
        return [10.0**power for power in range(self.low, self.high + 1)]


def _axis(values: list[float], start: float, length: float) -> Axis:
    low = math.floor(math.log10(min(values)) + 1e-9)
    return Axis(low, max(math.ceil(math.log10(max(values)) - 1e-9), low + 1), start, length)


def draw(title: str, by: str, lines: list[Line]) -> str:
    """The picture as SVG."""
    points = [point for line in lines for point in line.points]
    across = _axis([x for x, _ in points], LEFT, WIDTH - LEFT - RIGHT)
    up = _axis([y for _, y in points], HEIGHT - BOTTOM, -(HEIGHT - TOP - BOTTOM))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
        ' font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        _text(LEFT, 24, title, size=15),
        *_grid(across, up),
        _text(across.start + across.length / 2, HEIGHT - 10, by, anchor="middle"),
        _slope(across, up),
    ]
    heights = _labels([up.at(line.points[-1][1]) for line in lines])
    for number, (line, height) in enumerate(zip(lines, heights, strict=True)):
        parts += _line(line, number, across, up, height)
    return "\n".join([*parts, "</svg>", ""])


def _grid(across: Axis, up: Axis) -> list[str]:
    right, top = across.start + across.length, up.start + up.length
    found: list[str] = []
    for value in across.ticks():
        x = across.at(value)
        found.append(f'<path d="M{x} {up.start}V{top}" stroke="#dddddd"/>')
        found.append(_text(x, up.start + 18, _number(value), anchor="middle"))
    for value in up.ticks():
        y = up.at(value)
        found.append(f'<path d="M{across.start} {y}H{right}" stroke="#dddddd"/>')
        found.append(_text(across.start - 8, y + 4, _number(value), anchor="end"))
    return found


def _slope(across: Axis, up: Axis) -> str:
    """Cost in proportion to the work, from the lower left corner as far as it stays inside."""
    steps = min(across.high - across.low, up.high - up.low)
    ends = [(across.at(10.0 ** (across.low + one)), up.at(10.0 ** (up.low + one))) for one in (0, steps)]
    (x1, y1), (x2, y2) = ends
    return f'<path d="M{x1} {y1}L{x2} {y2}" stroke="#999999" stroke-dasharray="1 4" fill="none"/>'


def _line(line: Line, number: int, across: Axis, up: Axis, label: float) -> list[str]:
    colour = COLOURS[number % len(COLOURS)]
    places = [(across.at(x), up.at(y)) for x, y in line.points]
    path = "L".join(f"{x} {y}" for x, y in places)
    dash = DASHES[number // len(COLOURS) % len(DASHES)]
    found = [f'<path d="M{path}" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}" fill="none"/>']
    found += [f'<circle cx="{x}" cy="{y}" r="3.5" fill="{colour}"/>' for x, y in places]
    last = f"{line.name}: {_number(line.points[-1][1])}"
    return [*found, _text(places[-1][0] + 10, label + 4, last, colour=colour)]


def _labels(wanted: list[float]) -> list[float]:
    """Heights for the lines' names beside their last points, moved apart where they would cover each other."""
    order = sorted(range(len(wanted)), key=lambda at: wanted[at])
    placed: dict[int, float] = {}
    before = -math.inf
    for at in order:
        before = max(wanted[at], before + 15)
        placed[at] = round(before, 1)
    return [placed[at] for at in range(len(wanted))]


def _text(x: float, y: float, words: str, *, anchor: str = "start", size: int = 12, colour: str = "#333333") -> str:
    safe = words.replace("&", "&amp;").replace("<", "&lt;")
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" font-size="{size}" fill="{colour}">{safe}</text>'


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.3g}"


def main() -> None:
    """Write the page and its pictures; those whose result is gone go, too."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    PICTURES.mkdir(exist_ok=True)
    made = files()
    for path in set(PICTURES.glob("*.svg")) - set(made):
        path.unlink()
    for path, text in made.items():
        path.write_text(text)
    print(f"{PAGE} and {len(made) - 1} pictures")


if __name__ == "__main__":
    main()
