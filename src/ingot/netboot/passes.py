"""Passes: short texts in URLs that let whoever was told the URL fetch one thing for a while, and nobody else.

Why: iPXE and ramdisks cannot log in, and what a machine boots or is given to write is nobody else's business.
May not: keep state: a pass is its end and a keyed hash, so any process with the key can check it, also after a restart.
Invariant: a pass for one thing opens no other thing, and a key that was replaced opens nothing once what was given out
under it must have ended.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Callable

from ingot.store import seal

_SIZE = 16
LONGEST = 6 * 3600.0
"""Seconds that a pass lasts at most."""


class Passes:
    """Gives passes under the first key of a file, and checks them under all. ``clock``: epoch seconds."""

    def __init__(self, keys: seal.KeyFile, clock: Callable[[], float] = time.time) -> None:
        self._keys = keys
        self._clock = clock

    def give(self, thing: str, lifetime: float) -> str:
        """A pass for ``thing`` that ends in ``lifetime`` seconds; letters, digits, dash and underscore."""
        end = f"{int(self._clock() + min(lifetime, LONGEST)):x}"
        return f"{end}-{_digest(self._keys.keys()[0], thing, end)}"

    def fits(self, thing: str, text: str) -> bool:
        """Whether ``text`` is a pass for ``thing`` that has not ended."""
        end, _, digest = text.partition("-")
        newest, *older = self._keys.keys()
        keys = [newest, *older] if self._clock() - self._keys.changed_at() <= LONGEST else [newest]
        if not any(hmac.compare_digest(_digest(key, thing, end).encode(), digest.encode()) for key in keys):
            return False
        return int(end, 16) >= self._clock()


def _digest(key: bytes, thing: str, end: str) -> str:
    found = hmac.digest(key, f"{thing}\0{end}".encode(), hashlib.sha256)[:_SIZE]
    return base64.urlsafe_b64encode(found).decode().rstrip("=")
