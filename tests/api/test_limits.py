"""Rate limits by themselves: who is refused, who is not, and that memory stays bounded."""

from __future__ import annotations

import resource

import pytest

from ingot.api import limits, listen
from ingot.domain import errors


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def lookups(limit: limits.Limits, address: str, count: int, machine: str = "m{}") -> int:
    """How many of ``count`` lookups are admitted."""
    admitted = 0
    for number in range(count):
        try:
            limit.admit_agent("lookup", address, machine.format(number))
            admitted += 1
        except errors.TooMany as refused:
            assert refused.retry_after >= 1
    return admitted


def test_an_address_has_a_burst_and_then_a_rate() -> None:
    clock = Clock()
    limit = limits.Limits(5.0, clock)
    assert lookups(limit, "192.0.2.1", 100) == 60
    assert lookups(limit, "192.0.2.2", 10) == 10, "another address is not held back"
    clock.now += 2
    assert lookups(limit, "192.0.2.1", 100) == 10
    clock.now += 3600
    assert lookups(limit, "192.0.2.1", 100) == 60


def test_one_host_with_many_ipv6_addresses_is_one_caller() -> None:
    limit = limits.Limits(5.0, Clock())
    assert sum(lookups(limit, f"2001:db8::{number:x}", 1, f"m{number}") for number in range(100)) == 60
    assert lookups(limit, "2001:db8:0:1::1", 1) == 1


def test_this_host_is_limited_per_machine_only() -> None:
    limit = limits.Limits(5.0, Clock())
    assert lookups(limit, "127.0.0.1", 1000) == 1000
    assert lookups(limit, "127.0.0.1", 100, "same") == 10


def test_zero_switches_the_limits_of_agents_off() -> None:
    assert lookups(limits.Limits(0, Clock()), "192.0.2.1", 1000, "same") == 1000


def test_memory_is_bounded_and_the_busiest_stay_known() -> None:
    clock = Clock()
    limiter = limits.Limiter(limits.Rate(2, 0.001), "tries", clock)
    for number in range(100_000):
        limiter.take(f"10.0.{number}")
        if number % 1000 == 0:
            limiter.take("guesser")
            limiter.take("guesser")
    assert len(limiter._left) <= 8192
    with pytest.raises(errors.TooMany):
        limiter.check("guesser")


def test_failed_logins_are_counted_and_good_ones_are_not() -> None:
    clock = Clock()
    limit = limits.Limits(5.0, clock)
    for _ in range(10):
        limit.check_login("192.0.2.1", "ann")
        limit.note_failed_login("192.0.2.1", "ann")
    with pytest.raises(errors.TooMany, match="in this name"):
        limit.check_login("192.0.2.1", "ann")
    limit.check_login("192.0.2.1", "bob")
    limit.check_login("192.0.2.2", "ann")
    for number in range(25):
        limit.note_failed_login("192.0.2.1", f"name-{number}")
    with pytest.raises(errors.TooMany, match="Too many failed logins from"):
        limit.check_login("192.0.2.1", "never seen")


@pytest.mark.parametrize("listeners", [1, 2])
def test_listeners_together_leave_a_quarter_of_the_open_files_to_others(listeners: int) -> None:
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    together = listeners * listen.most_connections(listeners)
    assert files // 2 < together <= files * 3 // 4


def test_made_up_tokens_are_failed_logins_of_no_name() -> None:
    limit = limits.Limits(5.0, Clock())
    for _ in range(30):
        limit.check_login("192.0.2.1")
        limit.note_failed_login("192.0.2.1")
    with pytest.raises(errors.TooMany, match="Too many failed logins from"):
        limit.check_login("192.0.2.1")
    limit.check_login("192.0.2.2")
