"""Who is asking: HTTP basic against the local users, a token of theirs or of Keystone's, or nobody at all where that
was asked for.

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
from collections.abc import Awaitable

import bcrypt

from ingot.api import limits, wire
from ingot.clients import keystone
from ingot.deps import Deps
from ingot.domain import errors, roles
from ingot.services import users as user_service
from ingot.settings import Settings
from ingot.store import tokens, users
from ingot.tls import wanted

REMEMBER = 60.0
"""Seconds a proved password is believed again; a removed user or changed password acts after that at the latest."""
_KEPT = 1024
_AT_ONCE = 2
_ASKED_AT_ONCE = 16
_REFUSED = 10.0
"""Seconds for which Keystone is not asked again about a token that it did not know."""
_PATIENCE = 30.0
"""Seconds that one token of Keystone's may take, with the wait for those before it: else who asks while Keystone hangs
would wait for all of them, one round after the other."""
NOBODY = wire.Caller(None, roles.held(()))
"""The caller of a route that is open to all."""
OPERATOR = wire.Caller(None, roles.held(roles.ALL), system=True)
"""Whoever calls while nobody is asked for a name."""
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

    def __init__(self, deps: Deps, limited: limits.Limits, patience: float = _PATIENCE) -> None:
        check(deps.settings)
        self._deps = deps
        self._limits = limited
        self._key = os.urandom(32)
        self._proved: dict[bytes, tuple[wire.Caller, float]] = {}
        self._refused: dict[bytes, float] = {}
        self._slots = asyncio.Semaphore(_AT_ONCE)
        settings = deps.settings
        self._keystone = (
            None if settings.keystone_url is None else keystone.Keystone(settings.keystone_url, settings.keystone_ca)
        )
        self._asking = asyncio.Semaphore(_ASKED_AT_ONCE)
        self._patience = patience

    async def close(self) -> None:
        """Hang up."""
        if self._keystone is not None:
            await self._keystone.close()

    async def caller(self, headers: dict[str, str], address: str) -> wire.Caller:
        """Who asks, from ``address``. Raises errors.Unauthorized, errors.TooMany after too many failures."""
        if self._deps.settings.noauth:
            return OPERATOR
        token = _token(headers)
        if self._keystone is not None and not token.startswith(user_service.TOKENS):
            if token:
                return await self._visitor(self._keystone, address, token, headers.get("x-service-token", "").strip())
            if "authorization" not in headers:
                raise wire.NoToken(self._keystone.url)
        name, password = ("", token) if token else _credentials(headers.get("authorization", ""))
        key = self._key_of(name, password)
        known = self._find(key)
        if known is not None:
            return known
        self._limits.check_login(address, name)
        if token:
            return await self._note(self._prove_token(token), key, address, name)
        async with self._slots:
            # While this one waited, others may have proved the same password, or guessed wrong too often.
            known = self._find(key)
            if known is not None:
                return known
            self._limits.check_login(address, name)
            return await self._note(self._prove(name, password), key, address, name)

    async def _visitor(self, judge: keystone.Keystone, address: str, token: str, helper: str) -> wire.Caller:
        """Whose token of Keystone's this is; ``helper``: the token of the service that sends it on, "" for none.

        As upstream has it, a helper's token that is not valid, or not of the role service, spoils the request.
        Raises errors.TooMany for an address that has made up too many.
        """
        key = self._key_of("keystone", token, helper)
        known = self._find(key)
        if known is not None:
            return known
        if helper and (
            helper.startswith(user_service.TOKENS)  # ours is no business of Keystone's
            or roles.SERVICE not in (await self._visitor(judge, address, helper, "")).roles
        ):
            raise wire.NoToken(judge.url)
        self._check_unknown(judge, key, address)
        try:
            async with asyncio.timeout(self._patience), self._asking:
                # While this one waited, others may have asked about the same token, or made up too many.
                known = self._find(key)
                if known is not None:
                    return known
                self._check_unknown(judge, key, address)
                found = await judge.find(token)
                if found is None and helper:
                    found = await judge.find(token, helper=helper)
        except TimeoutError as error:
            raise judge.too_slow(self._patience) from error
        if found is None:
            self._limits.note_failed_login(address)
            if len(self._refused) >= _KEPT:
                self._refused.clear()
            self._refused[key] = self._deps.clock() + _REFUSED
            raise wire.NoToken(judge.url)
        until = self._deps.clock() + REMEMBER
        if not helper:
            until = min(until, found.expires_at.timestamp())
        return self._remember(key, _known_there(found, self._deps.settings), until)

    def _check_unknown(self, judge: keystone.Keystone, key: bytes, address: str) -> None:
        """Before Keystone is asked: it refused this token a moment ago, or too many from there (errors.TooMany)."""
        if self._refused.get(key, 0.0) > self._deps.clock():
            raise wire.NoToken(judge.url)
        self._limits.check_login(address)

    def _key_of(self, *words: str) -> bytes:
        """Under which it is remembered what these prove."""
        return hmac.digest(self._key, "\0".join(words).encode(), hashlib.sha256)

    def _remember(self, key: bytes, proved: wire.Caller, until: float) -> wire.Caller:
        if len(self._proved) >= _KEPT:
            self._proved.clear()
        self._proved[key] = (proved, until)
        return proved

    def _find(self, key: bytes) -> wire.Caller | None:
        """Whom the key proved a short time ago."""
        known = self._proved.get(key)
        return known[0] if known is not None and known[1] > self._deps.clock() else None

    async def _note(
        self, proving: Awaitable[tuple[wire.Caller, float]], key: bytes, address: str, name: str
    ) -> wire.Caller:
        """The outcome, remembered or counted."""
        try:
            proved, until = await proving
        except errors.Unauthorized:
            self._limits.note_failed_login(address, name)
            raise
        return self._remember(key, proved, until)

    async def _prove(self, name: str, password: str) -> tuple[wire.Caller, float]:
        found = await self._deps.store.read(users.find, name)
        stored = found.password_hash.encode() if found else _DUMMY
        secret = password.encode()
        # bcrypt reads 72 bytes and refuses longer input.
        fits = await asyncio.to_thread(bcrypt.checkpw, secret[:72], stored)
        if found is None or not fits or len(secret) > 72:
            raise errors.Unauthorized("Incorrect username or password")
        return self._local(found, roles.held((found.role,))), self._deps.clock() + REMEMBER

    async def _prove_token(self, token: str) -> tuple[wire.Caller, float]:
        now = self._deps.clock()
        found = await self._deps.store.read(tokens.find_caller, user_service.digest(token))
        if found is None or found[0].expires_at <= now:
            hint = "Make a new one: ingot user token create." if found else "Check it, or make a new one."
            raise errors.Unauthorized(f"This token {'has expired' if found else 'is not known'}", hint=hint)
        known, user = found
        shared = roles.held((known.role,)) & roles.held((user.role,))
        return self._local(user, shared), min(known.expires_at, now + REMEMBER)

    def _local(self, user: users.User, held: frozenset[str]) -> wire.Caller:
        """A user of ours, whose project has no name but its id."""
        elevated = _is_elevated(self._deps.settings, held, user.project)
        return wire.Caller(user.name, held, system=user.project is None, project=user.project, elevated=elevated)


def _is_elevated(settings: Settings, held: frozenset[str], project_name: str | None) -> bool:
    """Whether a program of the cloud, in a project of this name, may what the system's members may."""
    wanted_name = settings.rbac_service_project_name if settings.rbac_service_role_elevated_access else ""
    return bool(wanted_name) and project_name == wanted_name and roles.SERVICE in held


def _known_there(found: keystone.Token, settings: Settings) -> wire.Caller:
    """A user of Keystone's. Roles in a domain are no roles here: nothing here belongs to a domain."""
    system = bool(found.system and found.system.get("all"))
    project = found.project.id if found.project else None
    held = roles.held([role.name.lower() for role in found.roles] if system or project else [])
    elevated = _is_elevated(settings, held, found.project.name if found.project else None)
    return wire.Caller(found.user.name, held, system=system, project=project, elevated=elevated)


def _token(headers: dict[str, str]) -> str:
    """What X-Auth-Token or "Authorization: Bearer" holds; "" when there is neither."""
    scheme, _, rest = headers.get("authorization", "").partition(" ")
    return headers.get("x-auth-token", "").strip() or (rest.strip() if scheme.lower() == "bearer" else "")


def _credentials(header: str) -> tuple[str, str]:
    scheme, _, encoded = header.partition(" ")
    if not header:
        raise errors.Unauthorized("Authorization required")
    if not encoded.strip():
        raise wire.BadCredentials("Could not parse Authorization header")
    if scheme.lower() != "basic":
        raise wire.BadCredentials(f'Unsupported authorization type "{scheme[:40]}"')
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise wire.BadCredentials("Could not decode authorization token") from error
    name, separator, password = text.partition(":")
    if not separator or "\0" in text:
        raise wire.BadCredentials("Could not decode authorization token")
    return name, password
