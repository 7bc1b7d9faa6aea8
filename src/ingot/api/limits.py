"""How often one caller may try: logins that fail, lookups and heartbeats, per address and per thing asked for.

Why: whoever reaches the API could otherwise guess passwords and agent tokens, or keep it from answering others.
May not: ask who is calling. Invariants: memory is bounded, whatever strangers send; a caller that keeps to its rate
is never refused because of another address.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Callable

import msgspec

from ingot.domain import errors

_KEPT = 8192
"""Callers remembered at a time; the one that was silent longest is forgotten first, and may then begin anew."""


class Rate(msgspec.Struct, frozen=True):
    """``burst`` tries at once, then ``per_second``."""

    burst: float
    per_second: float


class Limiter:
    """Counts tries by key. ``clock``: seconds."""

    def __init__(self, rate: Rate, what: str, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._what = what
        self._clock = clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def check(self, key: str) -> None:
        """Raise errors.TooMany when the key has no try left; takes none."""
        left = self._present(key)
        if left < 1:
            wait = max(1, round((1 - left) / self._rate.per_second + 0.5))
            raise errors.TooMany(f"Too many {self._what} from this address", retry_after=wait)

    def take(self, key: str) -> None:
        """Take a try from the key, if it has one."""
        left = max(0.0, self._present(key) - 1)
        self._left[key] = (left, self._clock())
        self._left.move_to_end(key)
        while len(self._left) > _KEPT:
            self._left.popitem(last=False)

    def _present(self, key: str) -> float:
        left, at = self._left.get(key, (self._rate.burst, 0.0))
        return min(self._rate.burst, left + max(0.0, self._clock() - at) * self._rate.per_second)


class Limits:
    """All limits of one API process. ``agent_rate``: a second, for one address; 0 means no limit for agents."""

    def __init__(self, agent_rate: float, clock: Callable[[], float]) -> None:
        agents = Rate(60, agent_rate)
        self._logins = Limiter(Rate(30, 1.0), "failed logins", clock)
        self._names = Limiter(Rate(10, 0.2), "failed logins in this name", clock)
        self._agents = {
            "lookup": (Limiter(agents, "lookups", clock), Limiter(Rate(10, 0.2), "lookups of this machine", clock)),
            "heartbeat": (
                Limiter(agents, "heartbeats", clock),
                Limiter(Rate(20, 1.0), "heartbeats of this node", clock),
            ),
        }
        self._unlimited = agent_rate <= 0

    def check_login(self, address: str, name: str | None = None) -> None:
        """Before a password or token is looked at; ``name``: None for a token of Keystone's, which has none.

        Raises errors.TooMany.
        """
        if not _is_local(address):
            self._logins.check(_network(address))
        if name is not None:
            self._names.check(f"{_network(address)} {name}")

    def note_failed_login(self, address: str, name: str | None = None) -> None:
        """The password, or the token, was wrong."""
        self._logins.take(_network(address))
        if name is not None:
            self._names.take(f"{_network(address)} {name}")

    def admit_agent(self, call: str, address: str, asked: str) -> None:
        """A lookup or heartbeat (``call``) for ``asked`` came. Raises errors.TooMany."""
        if self._unlimited:
            return
        everything, one = self._agents[call]
        if not _is_local(address):
            everything.check(_network(address))
            everything.take(_network(address))
        key = f"{_network(address)} {asked[:200]}"
        one.check(key)
        one.take(key)


def _is_local(address: str) -> bool:
    """This host itself: a proxy, or simulated machines, of which thousands share the address."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _network(address: str) -> str:
    """What counts as one caller: an IPv4 address, or an IPv6 network of 64 bits, of which one host has any address."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    return str(ipaddress.ip_network((parsed, 64), strict=False))
