"""One kept connection to one HTTP server, for one request at a time.

Why: reading the power of ten thousand BMCs is this and nothing else, and a general client costs three times the CPU.
May not: know what is asked, follow redirects, be used by two at once. Invariant: what comes after a late or abandoned
answer is never taken for the answer to another request: such a connection is closed.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import zlib
from typing import NamedTuple, cast
from urllib.parse import urlsplit

import httptools

from ingot.clients.http import client, failures, trust
from ingot.clients.http.answer import Answer
from ingot.domain import errors

_REPEATABLE = frozenset({"GET", "PUT", "DELETE"})
WARM = 1.0  # seconds since its last answer in which a connection is trusted with what must not be sent twice
_UNSAFE = re.compile(r"[^\x21-\x7e]")
_UNSAFE_VALUE = re.compile(r"[^\x20-\x7e]")


class _Place(NamedTuple):
    """Where a connection goes, and on what terms."""

    scheme: str
    host: str
    port: int
    trust: trust.Trust


class _Lost(Exception):
    """The connection ended before the answer was whole; ``silent``: before any of it came."""

    def __init__(self, *, silent: bool) -> None:
        super().__init__("connection lost")
        self.silent = silent


class _Unopened(Exception):
    """No connection came about, for the reason given as its cause."""


class Line:
    """The connection: made when first used, and anew whenever it was ended."""

    def __init__(self, contexts: trust.Contexts) -> None:
        self._contexts = contexts
        self._open: _Connection | None = None

    async def send(self, call: client.Call) -> client.Reply:
        """As ``HttpClient.send``, for a body of bytes or none, and without a proxy."""
        place, request = _write(call)
        try:
            async with asyncio.timeout(call.timeout):
                return await self._send(call, place, request)
        except TimeoutError as error:
            raise failures.too_late(call.peer, call.method, call.timeout, sent=self._open is not None) from error
        except _Unopened as error:
            assert isinstance(error.__cause__, OSError)
            raise _unopened(call.peer, error.__cause__) from error
        except (httptools.HttpParserError, zlib.error) as error:
            raise failures.not_http(call.peer, str(error)) from error
        except (_Lost, OSError) as error:
            raise failures.cut_off(call.peer) from error

    def close(self) -> None:
        """End the connection."""
        if self._open is not None:
            self._open.close()
            self._open = None

    async def _send(self, call: client.Call, place: _Place, request: bytes) -> client.Reply:
        kept = self._open
        fit = call.method in _REPEATABLE or (kept is not None and kept.is_warm)
        if kept is not None and fit and kept.usable and kept.place == place:
            try:
                return await kept.exchange(request, call.peer)
            except _Lost as lost:  # the server gave up a connection that was kept, just when it was used again
                if not lost.silent or call.method not in _REPEATABLE:
                    raise
        self.close()
        self._open = await self._connect(place, call)
        return await self._open.exchange(request, call.peer)

    async def _connect(self, place: _Place, call: client.Call) -> _Connection:
        context = await self._contexts.make(place.trust) if place.scheme == "https" else None
        made = _Connection(place)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(min(client.CONNECT_TIMEOUT, call.timeout)):
                await loop.create_connection(lambda: made, place.host, place.port, ssl=context)
        except UnicodeError as error:  # a part of the name is empty, or longer than 63
            raise failures.no_such_name(call.peer) from error
        except OSError as error:  # of which TimeoutError is one
            raise _Unopened from error
        return made


class _Connection(asyncio.Protocol):
    """One connection from its beginning to its end."""

    def __init__(self, place: _Place) -> None:
        self.place = place
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[None] | None = None
        self._answer: Answer | None = None
        self._answered = 0.0  # loop time of the last whole answer

    @property
    def is_warm(self) -> bool:
        """Whether it was of use just now, so that the other side has hardly given it up since."""
        return asyncio.get_running_loop().time() < self._answered + WARM

    @property
    def usable(self) -> bool:
        """Whether both sides have kept it open."""
        return self._transport is not None

    async def exchange(self, request: bytes, peer: str) -> client.Reply:
        """Send, and wait for the answer; anything but a whole answer ends the connection."""
        if self._transport is None:
            raise _Lost(silent=True)
        self._waiting = waiting = asyncio.get_running_loop().create_future()
        self._answer = answer = Answer(peer)
        keep = False
        try:
            self._transport.write(request)
            await waiting
            reply = answer.reply()
            keep = answer.keeps
            self._answered = asyncio.get_running_loop().time()
            return reply
        finally:
            self._waiting = self._answer = None
            if not keep:
                self.close()

    def close(self) -> None:
        """End it."""
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by class

    def data_received(self, data: bytes) -> None:
        """Some of the answer, or something that nobody has asked for."""
        answer, waiting = self._answer, self._waiting
        if answer is None or waiting is None or waiting.done():
            self.close()
            return
        try:
            answer.feed(data)
        except (httptools.HttpParserError, errors.Misbehaved) as error:
            waiting.set_exception(error)
            return
        if answer.complete:
            waiting.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """It has ended, which is also how an answer without a length does."""
        self._transport = None
        answer, waiting = self._answer, self._waiting
        if answer is None or waiting is None or waiting.done():
            return
        answer.end()
        if answer.complete:
            waiting.set_result(None)
        else:
            waiting.set_exception(_Lost(silent=not answer.begun))


def _write(call: client.Call) -> tuple[_Place, bytes]:
    """Where to, and the request in bytes. Raises ``errors.Invalid`` for what cannot be sent as it is."""
    parts = urlsplit(call.url)
    if parts.hostname is None or _UNSAFE.search(call.url) or any(map(_UNSAFE_VALUE.search, call.headers.values())):
        raise failures.bad_url(call.peer)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    lines = [f"{call.method} {target} HTTP/1.1", f"Host: {parts.netloc}"]
    lines += [f"{name}: {value}" for name, value in call.headers.items()]
    body = call.body if isinstance(call.body, bytes) else b""
    if body or call.method not in ("GET", "DELETE"):
        lines.append(f"Content-Length: {len(body)}")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return _Place(parts.scheme, parts.hostname, port, call.trust), "\r\n".join([*lines, "\r\n"]).encode() + body


def _unopened(peer: str, error: OSError) -> errors.IngotError:
    """The domain error for why no connection came about."""
    match error:
        case ssl.SSLCertVerificationError():
            return failures.untrusted(peer, error)
        case ssl.SSLError():
            return failures.no_tls(peer, error)
        case socket.gaierror():
            return failures.no_such_name(peer)
        case TimeoutError():
            return failures.no_way(peer, OSError(110, ""))
        case ConnectionResetError() | ConnectionAbortedError():
            return failures.closed_at_once(peer)
        case _:
            return failures.no_way(peer, error)
