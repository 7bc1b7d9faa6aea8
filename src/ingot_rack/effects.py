"""The journal of what was done to simulated machines, so that tests can prove nothing ran twice.

Why: a deploy that erases a disk twice ends in the same state as one that does it once; only a journal tells.
May not: judge. Invariant: an effect is written down before its success is reported to anyone.
"""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path


@dataclasses.dataclass(frozen=True, slots=True)
class Effect:
    """One thing done to one node; at is seconds since the epoch."""

    at: float
    node: str
    kind: str
    detail: str = ""


class Effects:
    """An append-only list, also on disk as JSON lines when a path is given."""

    def __init__(self, path: Path | None = None) -> None:
        self.all: list[Effect] = []
        self._file = path.open("a", buffering=1) if path else None

    def note(self, node: str, kind: str, detail: str = "") -> None:
        """Write one effect down."""
        effect = Effect(time.time(), node, kind, detail)
        self.all.append(effect)
        if self._file:
            self._file.write(json.dumps(dataclasses.asdict(effect)) + "\n")

    def count(self, kind: str, node: str | None = None) -> int:
        """How often a kind of effect happened, to one node or to all."""
        return sum(1 for one in self.all if one.kind == kind and node in {None, one.node})

    def close(self) -> None:
        """Close the file."""
        if self._file:
            self._file.close()
            self._file = None


def read(path: Path) -> list[Effect]:
    """The effects in a file; a half-written last line is left out."""
    found: list[Effect] = []
    for line in path.read_text().splitlines():
        try:
            found.append(Effect(**json.loads(line)))
        except (ValueError, TypeError):
            continue
    return found
