"""How results reach the reader: tables on a terminal, tab-separated lines in a pipe, JSON when asked for.

May not: draw for itself. Invariant: what a pipe gets has no colours, boxes or cut-off words.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click

from ingot.cli import drawing

Row = Mapping[str, Any]

_TIME = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(\.\d+)?\+00:00")
_GAP = 2
COLOURS = {
    "active": "green",
    "available": "green",
    "manageable": "cyan",
    "power on": "green",
    "error": "red",
}


def show_json(value: Any) -> None:
    """Print a value as indented JSON."""
    click.echo(json.dumps(value, indent=2))


def show_rows(rows: Sequence[Row], columns: Sequence[str], *, as_json: bool = False) -> None:
    """Print one line per row with these keys; ``as_json`` prints the rows whole."""
    if as_json:
        show_json([dict(row) for row in rows])
        return
    cells = [[text(row.get(column)) for column in columns] for row in rows]
    if not sys.stdout.isatty():
        for line in [list(columns), *cells]:
            click.echo("\t".join(one.replace("\t", " ").replace("\n", " ") for one in line))
        return
    cells = [[_TIME.sub(r"\1 \2Z", one) for one in line] for line in cells]
    _draw([_title(column) for column in columns], cells)


def show_record(record: Row, *, as_json: bool = False, order: Iterable[str] = ()) -> None:
    """Print one thing, a line per field; the keys in ``order`` come first; on a terminal without the empty ones."""
    if as_json:
        show_json(dict(record))
        return
    keys = [key for key in order if key in record]
    keys += [key for key in record if key not in keys]
    if sys.stdout.isatty():  # people read what is set; programs want every field
        keys = [key for key in keys if text(record[key])]
    rows = [{"field": key, "value": record[key]} for key in keys]
    show_rows(rows, ("field", "value"))


def text(value: Any) -> str:
    """A value as one cell: "" for None, yes and no for booleans, compact JSON for what has parts."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case str():
            return value
        case dict() | list():
            return json.dumps(value, separators=(", ", ": ")) if value else ""
        case _:
            return str(value)


def _title(column: str) -> str:
    return column.replace("_", " ")


def _draw(titles: list[str], cells: list[list[str]]) -> None:
    room = drawing.size().columns
    width = sum(max(map(len, column)) + _GAP for column in zip(titles, *cells, strict=True)) - _GAP
    if _is_named(titles, cells) and width > room:
        at = titles.index("uuid")  # each has a name to be called by: a line each is worth more
        titles, *cells = [one[:at] + one[at + 1 :] for one in (titles, *cells)]
    rows = [[drawing.Cell(title, "bold") for title in titles]]
    rows += [[drawing.Cell(one, _style(one)) for one in line] for line in cells]
    click.echo("\n".join(drawing.columns(rows, room, _GAP, headed=True)))


def _is_named(titles: list[str], cells: list[list[str]]) -> bool:
    """Whether every line has a name beside its UUID."""
    return {"name", "uuid"} <= set(titles) and all(line[titles.index("name")] for line in cells)


def _style(cell: str) -> str:
    return "red" if cell.endswith(" failed") else COLOURS.get(cell, "")
