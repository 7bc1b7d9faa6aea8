"""The sensors of BMCs met before, each list with the state of the repository it was read from.

Why: walking a repository costs a hundred messages, asking whether it changed costs one. May not: talk to a BMC.
Invariant: no more than ``KEPT`` lists; the one not used longest goes first.
"""

from __future__ import annotations

from ingot.clients.ipmi.sdr import Sensor
from ingot.clients.ipmi.target import Target

KEPT = 1000


class Records:
    """Lists of sensors by BMC."""

    def __init__(self) -> None:
        self._known: dict[Target, tuple[bytes, list[Sensor]]] = {}

    def find(self, target: Target, stamp: bytes) -> list[Sensor] | None:
        """The list read when the repository was in the state ``stamp``; None when there is none of that state."""
        known = self._known.pop(target, None)
        if known is None or known[0] != stamp:
            return None
        self._known[target] = known
        return known[1]

    def keep(self, target: Target, stamp: bytes, found: list[Sensor]) -> None:
        """Remember a list."""
        self._known[target] = (stamp, found)
        if len(self._known) > KEPT:
            del self._known[next(iter(self._known))]
