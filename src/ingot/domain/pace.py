"""How long leases have to be for this process to keep them.

Why: where too many share the processor, beats come late again and again. Leases of the usual length would run out by
turns, each conductor take what the other works on, and no step come to its end. May not: know what a lease is for.
Invariant: a single long pause changes nothing, so what a conductor holds that dies is free as soon as ever.
"""

from __future__ import annotations

from collections import deque

_LAST = 5
"""Beats that are looked at."""
_LONGEST = 10
"""Times the usual lease; whoever is later is not waited for."""


class Pace:
    """``usual``: seconds of a lease that is renewed in time; a third of it is the time from beat to beat."""

    def __init__(self, usual: float) -> None:
        self._usual = usual
        self.every = usual / 3
        self._late = deque([0.0] * _LAST, _LAST)

    def beaten(self, late: float) -> None:
        """A beat was given, so many seconds late."""
        self._late.append(late)

    @property
    def lease(self) -> float:
        """Seconds: twice the time between beats as late as the last ones, of which the latest does not count."""
        late = sorted(self._late)[-2]
        return min(max(self._usual, 2 * (self.every + late)), _LONGEST * self._usual)
