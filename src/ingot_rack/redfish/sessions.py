"""Who may come in: X-Auth-Token sessions and Basic credentials of one Redfish BMC.

Why: BMCs cap and time out sessions, and clients must cope (DSP0266, section 13).
May not: answer HTTP itself. Invariant: a token is accepted only until it idles for `IDLE_SECONDS`.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import secrets
import time

from ingot_rack import bmc as bmcs
from ingot_rack.redfish.wire import Refused

IDLE_SECONDS = 1800.0
LIMIT = 16


@dataclasses.dataclass(slots=True)
class _Entry:
    number: str
    user: str
    used_at: float


class Sessions:
    """The session table of one BMC."""

    __slots__ = ("_bmc", "_count", "_table")

    def __init__(self, bmc: bmcs.Bmc) -> None:
        self._bmc = bmc
        self._table: dict[str, _Entry] = {}
        self._count = 0

    def open(self, user: str, password: str) -> tuple[str, str]:
        """Log in: (token, session number); raises Refused 401, or 503 when the table is full."""
        now = time.monotonic()
        self._table = {key: one for key, one in self._table.items() if now - one.used_at < IDLE_SECONDS}
        if not self._bmc.accepts(user, password):
            raise Refused(401, "ResourceAtUriUnauthorized", "/redfish/v1/SessionService/Sessions", "Invalid login")
        if self._bmc.faults.sessions_full or len(self._table) >= LIMIT:
            raise Refused(503, "SessionLimitExceeded")
        self._count += 1
        token = secrets.token_hex(16)
        self._table[token] = _Entry(str(self._count), user, now)
        return token, str(self._count)

    def close(self, number: str) -> None:
        """End a session by number."""
        self._table = {key: one for key, one in self._table.items() if one.number != number}

    def drop_all(self) -> None:
        """Forget every session, as a BMC does that restarts."""
        self._table.clear()

    def user(self, number: str) -> str | None:
        """Whose session this is, or None."""
        return next((one.user for one in self._table.values() if one.number == number), None)

    def numbers(self) -> list[str]:
        """All open sessions."""
        return [one.number for one in self._table.values()]

    def tokens(self) -> list[str]:
        """What opens them: for tests that look where they get to."""
        return list(self._table)

    def check(self, token: str | None, authorization: str | None) -> None:
        """Let a request pass by its token or its Basic credentials; raises Refused 401."""
        if token is not None:
            entry = self._table.get(token)
            if entry and time.monotonic() - entry.used_at < IDLE_SECONDS:
                entry.used_at = time.monotonic()
                return
        elif authorization and self._basic(authorization):
            return
        raise Refused(401, "NoValidSession")

    def _basic(self, authorization: str) -> bool:
        scheme, _, encoded = authorization.partition(" ")
        if scheme.lower() != "basic":
            return False
        try:
            user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return False
        return self._bmc.accepts(user, password)
