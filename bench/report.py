"""What every bench does with its findings: a table for people, JSON for programs, and a file with its command.

In a bench NAME.py (`./ingot bench NAME`), whose docstring begins with one sentence of what it measures and has a line
``Run: ./ingot bench NAME ...``:

    parser = report.parser(__doc__)         # knows --json and --record
    parser.add_argument("--nodes", ...)
    taking = report.Taking(parser.parse_args())
    ...measure...
    taking.tell("10,000 nodes in 4 s", {"wall, s": 4.2}, rows=[{"nodes": 10000, "ingot": 4.2, "upstream": 60}])

``figures`` are single values by name; ``rows`` are lines of a table, alike in their keys; a value may be a dict, whose
keys become columns. A row with numbers (or dicts of the same keys) under "ingot" and "upstream" is given their ratio,
upstream's over ours. --record writes bench/results/NAME.json, which `./ingot bench` lists by its headline and
bench/curves.py draws. Standard library only.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).with_name("results")
Row = dict[str, Any]


def parser(about: str | None) -> argparse.ArgumentParser:
    """The options that every bench has."""
    made = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--json", action="store_true", help="print JSON instead of a table")
    made.add_argument("--record", action="store_true", help="keep the result in bench/results")
    return made


class Taking:
    """One run of a bench, from its first second to its result. ``name``: of the result, if not the bench's."""

    def __init__(self, wanted: argparse.Namespace, name: str = "") -> None:
        self._wanted = wanted
        self._name = name or Path(sys.argv[0]).stem
        self._begun = time.monotonic()
        self._load = os.getloadavg()[0]

    def tell(
        self, headline: str, figures: Row | None = None, rows: list[Row] | None = None, *, curves: Row | None = None
    ) -> None:
        """Print the result as it is wanted and, with --record, keep it.

        ``headline``: the one line to remember. ``curves``: {"x": the column that says how much work, "y": [columns to
        draw over it], "where": {values of the rows to draw}}; rows of different words or sides are lines of their own.
        """
        result = {
            "command": _command(),
            "headline": headline,
            "when": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
            "machine": machine(),
            "load": {"before": round(self._load, 1), "after": round(os.getloadavg()[0], 1)},
            "took, s": round(time.monotonic() - self._begun, 1),
            "figures": figures or {},
            "rows": [_compared(row) for row in rows or []],
            **({"curves": curves} if curves else {}),
        }
        written = json.dumps(result, indent=1)
        print(written if self._wanted.json else text(result))
        if self._wanted.record:
            kept = RESULTS / f"{self._name}.json"
            kept.write_text(written + "\n")
            print(f"kept in {kept}", file=sys.stderr)


def machine() -> str:
    """The machine in a line: processors, memory, kernel, interpreter."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    python = platform.python_version()
    return f"{os.cpu_count()} processors, {memory:.0f} GiB, Linux {platform.release()}, Python {python}"


def text(result: Row) -> str:
    """The result for people: headline, tables, and what it was taken on."""
    load = result["load"]
    figures = table([{"": name, "value": one} for name, one in result["figures"].items()])
    last = [f"{result['command']}: {result['took, s']} s, load {load['before']} to {load['after']}"]
    last += [f"{result['machine']}, {result['when']}"]
    blocks = [[result["headline"]], figures, table(result["rows"]), last]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def table(rows: list[Row]) -> list[str]:
    """Rows as aligned lines below their headings; numbers to the right."""
    flat = [_flat(row) for row in rows]
    names = list(dict.fromkeys(name for row in flat for name in row))
    cells = [[_shown(row.get(name, "")) for name in names] for row in flat]
    widths = [max(len(line[column]) for line in [names, *cells]) for column in range(len(names))]
    left = [any(isinstance(row.get(name), str) for row in flat) for name in names]

    def aligned(line: list[str]) -> str:
        pairs = zip(line, widths, left, strict=True)
        return "  ".join(each.ljust(width) if to_left else each.rjust(width) for each, width, to_left in pairs).rstrip()

    headings = [aligned(names)] if any(names) and names != ["", "value"] else []
    return [*headings, *map(aligned, cells)]


def _command() -> str:
    words = [word for word in sys.argv[1:] if word not in ("--json", "--record")]
    return " ".join(["./ingot bench", Path(sys.argv[0]).stem, *words])


def _compared(row: Row) -> Row:
    """The row with how many times upstream's value is ours, where it has both."""
    ours, theirs = row.get("ingot"), row.get("upstream")
    if "ratio" in row or ours is None or theirs is None:
        return row
    if not isinstance(ours, dict):
        return {**row, "ratio": _ratio(theirs, ours)}
    found = {name: _ratio(theirs[name], one) for name, one in ours.items() if name in theirs}
    return {**row, "ratio": {name: value for name, value in found.items() if value is not None}}


def _ratio(theirs: Any, ours: Any) -> float | None:
    both = isinstance(theirs, int | float) and isinstance(ours, int | float)
    return round(theirs / ours, 2 if theirs < ours else 1) if both and ours else None


def _flat(row: Row) -> Row:
    found: Row = {}
    for name, value in row.items():
        if isinstance(value, dict):
            found |= {f"{name} {inner}".strip(): one for inner, one in value.items()}
        else:
            found[name] = value
    return found


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
