"""The service's clock: epoch seconds that never jump.

Why: deadlines and leases are times of day in the database, and an operator (or NTP after a long sleep) may set the
host's clock by hours while a thousand runs are open. Invariant: it goes on like monotonic time from where it began,
and never back. A process that starts anew takes the host's time again; what lies between, ``store/absence.py`` mends.
"""

from __future__ import annotations

import time


class Steady:
    """Call it for the time. It begins at the host's."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def __call__(self) -> float:
        """The time in epoch seconds."""
        return self._offset + time.monotonic()

    def not_before(self, epoch: float) -> None:
        """Go on from ``epoch`` when it is later than now: somebody has seen that time already."""
        self._offset += max(0.0, epoch - self())
