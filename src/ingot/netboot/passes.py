"""Passes: short texts in URLs that let whoever was told the URL fetch one thing for a while, and nobody else.

Why: iPXE and ramdisks cannot log in, and what a machine boots or is given to write is nobody else's business.
May not: keep state: a pass is its end and a keyed hash, so any process with the key can check it, also after a restart.
Invariant: a pass for one thing opens no other thing.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Callable

_SIZE = 16


class Passes:
    """Gives and checks passes under one 32-byte key. ``clock``: epoch seconds."""

    def __init__(self, key: bytes, clock: Callable[[], float] = time.time) -> None:
        self._key = key
        self._clock = clock

    def give(self, thing: str, lifetime: float) -> str:
        """A pass for ``thing`` that ends in ``lifetime`` seconds; letters, digits, dash and underscore."""
        end = f"{int(self._clock() + lifetime):x}"
        return f"{end}-{self._digest(thing, end)}"

    def fits(self, thing: str, text: str) -> bool:
        """Whether ``text`` is a pass for ``thing`` that has not ended."""
        end, _, digest = text.partition("-")
        if not hmac.compare_digest(self._digest(thing, end).encode(), digest.encode()):
            return False
        return int(end, 16) >= self._clock()

    def _digest(self, thing: str, end: str) -> str:
        found = hmac.digest(self._key, f"{thing}\0{end}".encode(), hashlib.sha256)[:_SIZE]
        return base64.urlsafe_b64encode(found).decode().rstrip("=")
