"""Tickets: short-lived words that let their holder watch one console, for a browser that cannot send a password.

May not: outlive the process. Invariant: only a hash of a ticket is kept.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable

LIFE = 600.0
"""Seconds a ticket opens its console; a connection made in that time may last."""


class Tickets:
    """All tickets of this process."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._given: dict[bytes, tuple[str, float]] = {}

    def give(self, uuid: str) -> str:
        """A new ticket for a node's console."""
        now = self._clock()
        self._given = {key: entry for key, entry in self._given.items() if entry[1] > now}
        ticket = secrets.token_urlsafe(24)
        self._given[_hash(ticket)] = (uuid, now + LIFE)
        return ticket

    def find(self, ticket: str) -> str | None:
        """The node whose console a ticket opens, None for one that is unknown or too old."""
        uuid, until = self._given.get(_hash(ticket), ("", 0.0))
        return uuid if until > self._clock() else None


def _hash(ticket: str) -> bytes:
    return hashlib.sha256(ticket.encode()).digest()
