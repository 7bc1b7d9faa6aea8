"""How long leases are for a process whose beats come late."""

from __future__ import annotations

import pytest

from ingot.domain.pace import Pace


def lease(*late: float) -> float:
    """The lease after beats that were so many seconds late, the usual one being 6 s."""
    pace = Pace(6.0)
    for each in late:
        pace.beaten(each)
    return pace.lease


@pytest.mark.parametrize("late", [(), (0.0, 0.1), (0.9, 1.0, 0.8), (30.0,), (0.0, 30.0, 0.0, 0.2)])
def test_who_beats_in_time_or_was_held_up_once_has_the_usual_lease(late: tuple[float, ...]) -> None:
    assert lease(*late) == 6.0


def test_who_is_late_again_and_again_keeps_a_lease_until_the_next_beat() -> None:
    assert lease(8.0, 1.0, 9.0, 2.0) == 2 * (2.0 + 8.0)
    assert lease(8.0, 9.0, 0.0, 0.0, 0.0) == 2 * (2.0 + 8.0)
    assert lease(8.0, 9.0, 0.0, 0.0, 0.0, 0.0, 0.0) == 6.0, "and is soon forgiven"


def test_whoever_is_too_late_is_not_waited_for() -> None:
    assert lease(500.0, 500.0) == 60.0
