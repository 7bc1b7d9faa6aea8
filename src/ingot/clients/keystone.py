"""What Keystone says of a token: whose it is, which roles it holds, and where.

Why no account of our own: Keystone lets every token ask about itself (``token_subject`` of its policy), and lets a
service's token ask about others. May not: know a rule of ours, or remember an answer. Invariant: tokens travel in
headers only, and never into an error. Source: Keystone's API reference, "Validate and show information for token".
"""

from __future__ import annotations

import datetime
import urllib.parse
from http import HTTPStatus
from typing import Any

import msgspec

from ingot.clients.http import client as http
from ingot.domain import errors, typed

_TIMEOUT = 20.0
_REFUSED = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND}


class _Role(msgspec.Struct):
    name: str


class _User(msgspec.Struct):
    name: str


class _Project(msgspec.Struct):
    id: str
    name: str = ""


class Token(msgspec.Struct, frozen=True):
    """A valid token. ``system``: None, or {"all": True}; a token of a domain, or of nothing, has no scope we know."""

    user: _User
    expires_at: datetime.datetime
    roles: tuple[_Role, ...] = ()
    project: _Project | None = None
    system: dict[str, Any] | None = None


class _Answer(msgspec.Struct):
    token: Token


class Keystone:
    """One Keystone. Make it inside the event loop, and ``close`` it there."""

    def __init__(self, url: str, ca: str | None) -> None:
        """``url``: with or without /v3 at its end; ``ca``: a file, None for the system's. Raises errors.Invalid."""
        netloc = _netloc(url)
        if netloc is None:
            raise errors.Invalid(f'keystone_url is "{url}"', hint="Write it as https://HOST:5000/v3.")
        self.url = url.rstrip("/").removesuffix("/v3") + "/v3"
        self._peer = f"Keystone at {netloc}"
        self._trust = True if ca is None else ca
        self._http = http.HttpClient()

    async def find(self, token: str, *, helper: str = "") -> Token | None:
        """What ``token`` is, None when it is not valid. ``helper``: a service's token, with which a token that has
        expired a short time ago is good still: it was good when the service's work began.

        Raises errors.Unreachable, errors.Misbehaved.
        """
        if not all(text.isascii() and text.isprintable() for text in (token, helper)):
            return None
        call = http.Call(
            "GET",
            f"{self.url}/auth/tokens?nocatalog{'&allow_expired=1' if helper else ''}",
            self._peer,
            {"X-Auth-Token": helper or token, "X-Subject-Token": token, "Accept": "application/json"},
            trust=self._trust,
            timeout=_TIMEOUT,
        )
        try:
            reply = await self._http.send(call)
        except errors.Invalid as error:  # the CA file: not who asks has to correct it
            raise errors.Unreachable(error.message, hint="Correct the setting keystone_ca.") from error
        if reply.status in _REFUSED:
            return None
        if reply.status != HTTPStatus.OK:
            hint = "See Keystone's log; keystone_url has to be the address of its API."
            raise errors.Unreachable(f"{self._peer} answered {reply.status} when asked about a token", hint=hint)
        try:
            return typed.decode(reply.body, _Answer).token
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise errors.Misbehaved(f"{self._peer} says nothing of a token that is readable: {error}") from error

    def too_slow(self, seconds: float) -> errors.TimedOut:
        """The error for who has waited for so long, perhaps behind others."""
        return errors.TimedOut(f"{self._peer} did not tell of a token in {seconds:g} s.", hint="See Keystone's log.")

    async def close(self) -> None:
        """Close all connections."""
        await self._http.close()


def _netloc(url: str) -> str | None:
    """Host and port of a URL; None where it is none that may be asked."""
    try:
        parts = urllib.parse.urlsplit(url)
        wrong = parts.port == 0
    except ValueError:  # brackets without an end, a port that is none
        return None
    wrong |= parts.scheme not in {"http", "https"} or not parts.hostname or parts.username is not None
    return None if wrong else parts.netloc
