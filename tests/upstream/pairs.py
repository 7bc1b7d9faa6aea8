"""Both services, asked the same: what differs and that nobody intended.

May not: know a scenario. Invariant: the entries that were needed are noted, so that a stale one is found.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from upstream import compare, differences, sides, texts
from upstream.call import Call

Entry = differences.Intended | texts.Worded
_SHOWN = 25


class Pair:
    """Upstream and ingot. ``entries``: what may differ; ``seen``: those of them that did."""

    def __init__(self, theirs: sides.Side, ours: sides.Side, entries: Sequence[Entry]) -> None:
        self.theirs, self.ours = theirs, ours
        self.entries = entries
        self.seen: set[Entry] = set()

    def close(self) -> None:
        """Hang up."""
        self.theirs.close()
        self.ours.close()

    def check(self, name: str, calls: list[Call]) -> None:
        """Send a scenario to both; fails with the calls whose answers differ. They are written to a file too, where
        INGOT_DIFFERENCES names a folder."""
        told = self._differ(calls)
        if told and (report := os.environ.get("INGOT_DIFFERENCES")):
            Path(report, f"{name}.txt").write_text("\n\n".join(told))
        shown = "\n\n".join(told[:_SHOWN])
        assert not told, f"{len(told)} of {len(calls)} calls differ; the first {_SHOWN}:\n\n{shown}"

    def _differ(self, calls: list[Call]) -> list[str]:
        """What differs and should not, one text a call."""
        with ThreadPoolExecutor(2) as pool:
            left, right = pool.map(lambda side: side.run(calls), (self.theirs, self.ours))
        told: list[str] = []
        for call, theirs, ours in zip(calls, left, right, strict=True):
            found = [one for one in compare.compare(call, theirs, ours) if not self._intended(one)]
            if found:
                lines = "\n  ".join(map(str, found))
                told.append(f"{call}\n  {lines}\n  upstream: {theirs}\n  ingot: {ours}")
        return told

    def _intended(self, found: compare.Found) -> bool:
        entries = [entry for entry in self.entries if entry.covers(found)]
        self.seen.update(entries)
        return bool(entries)
