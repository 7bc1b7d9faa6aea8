"""Who is asking: HTTP basic against the local users, or nobody at all where that was asked for on loopback.

May not: know a rule (policy.py). Invariants: a password is compared by bcrypt in a thread, never in the event loop;
what was proved is remembered for a short time under a keyed hash, so no password stays in memory.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import os

import bcrypt

from ingot.api import wire
from ingot.deps import Deps
from ingot.domain import errors
from ingot.settings import Settings
from ingot.store import users
from ingot.tls import wanted

REMEMBER = 60.0
"""Seconds a proved password is believed again; a removed user or changed password acts after that at the latest."""
_KEPT = 1024
_AT_ONCE = 2
_NOBODY = wire.Caller(None, "")
# Compared with when there is no such user, so that the time taken does not tell: of the cost that
# services/users.py gives to real ones, and of a password nobody knows.
_DUMMY = b"$2b$12$AfhDZd08auI4Qk17YUbCw.xVPIlCywJmn6VQnRX4RKQZ5vvcm.Qg6"


def check(settings: Settings) -> None:
    """Refuse to serve without authentication on anything but loopback (errors.Invalid)."""
    if settings.noauth and not wanted.is_loopback(settings.host):
        raise errors.Invalid(
            f"noauth is on and the API would listen on {settings.host}: everyone who reaches it could erase every node",
            hint="Listen on 127.0.0.1, or switch noauth off and make a user with: ingot user add NAME.",
        )


class Gate:
    """Proves callers. One per API process."""

    def __init__(self, deps: Deps) -> None:
        check(deps.settings)
        self._deps = deps
        self._key = os.urandom(32)
        self._proved: dict[bytes, tuple[wire.Caller, float]] = {}
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def caller(self, headers: dict[str, str], *, public: bool) -> wire.Caller:
        """Who asks. Raises errors.Unauthorized unless the route is public."""
        if public:
            return _NOBODY
        if self._deps.settings.noauth:
            return wire.Caller(None, "admin")
        name, password = _credentials(headers.get("authorization", ""))
        token = hmac.digest(self._key, f"{name}\0{password}".encode(), hashlib.sha256)
        known = self._proved.get(token)
        now = self._deps.clock()
        if known is not None and known[1] > now:
            return known[0]
        proved = await self._prove(name, password)
        if len(self._proved) >= _KEPT:
            self._proved.clear()
        self._proved[token] = (proved, now + REMEMBER)
        return proved

    async def _prove(self, name: str, password: str) -> wire.Caller:
        found = await self._deps.store.read(users.find, name)
        stored = found.password_hash.encode() if found else _DUMMY
        secret = password.encode()
        async with self._slots:
            # bcrypt reads 72 bytes and refuses longer input.
            fits = await asyncio.to_thread(bcrypt.checkpw, secret[:72], stored)
        if found is None or not fits or len(secret) > 72:
            raise errors.Unauthorized("Incorrect username or password")
        return wire.Caller(found.name, found.role)


def _credentials(header: str) -> tuple[str, str]:
    scheme, _, encoded = header.partition(" ")
    if not header:
        raise errors.Unauthorized("Authorization required")
    if scheme.lower() != "basic":
        raise errors.Unauthorized("Only HTTP basic authentication is accepted")
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise errors.Unauthorized("The Authorization header cannot be read") from error
    name, separator, password = text.partition(":")
    if not separator or not name or "\0" in text:
        raise errors.Unauthorized("The Authorization header cannot be read")
    return name, password
