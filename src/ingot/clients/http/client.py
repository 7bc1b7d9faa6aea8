"""The one HTTP client: a shared aiohttp session, bounded answers, errors in words.

Why: connection reuse and TLS contexts are shared by all peers, and no caller should meet an aiohttp error.
May not: know what is asked or retry. Invariant: an error names host and port only, never a path or query
(the agent's token travels in the query).
"""

from __future__ import annotations

import asyncio
import errno
import ssl
from collections.abc import AsyncGenerator, Mapping
from http import HTTPStatus
from pathlib import Path

import aiohttp
import msgspec
import yarl

from ingot.clients.http import failures, trust
from ingot.domain import errors

LARGEST_BODY = 32 << 20
LARGEST_FILE = 4096 << 20  # of a download: more than any firmware, and room on the disk that the database is on
CONNECT_TIMEOUT = 10.0
_CHUNK = 1 << 20
KEPT_OPEN = 90.0  # longer than the interval of power sync, so that each sync finds its connections open


class Streamed(msgspec.Struct, frozen=True):
    """A body too large to hold: ``file`` between ``head`` and ``tail``."""

    head: bytes
    file: Path
    tail: bytes

    def size(self) -> int:
        """All of it in bytes."""
        return len(self.head) + self.file.stat().st_size + len(self.tail)

    async def chunks(self) -> AsyncGenerator[bytes]:
        """The body in pieces; the file is read in a thread."""
        yield self.head
        with await asyncio.to_thread(self.file.open, "rb") as source:
            while chunk := await asyncio.to_thread(source.read, _CHUNK):
                yield chunk
        yield self.tail


class Call(msgspec.Struct, frozen=True):
    """One request; ``body`` None sends none, ``peer`` is what errors call the other side."""

    method: str
    url: str
    peer: str
    headers: Mapping[str, str] = {}
    body: bytes | Streamed | None = None
    trust: trust.Trust = True
    timeout: float = 30.0
    proxy: str | None = None


class Reply(msgspec.Struct, frozen=True):
    """One answer, whatever its status; ``headers`` are case-insensitive."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    peer: str

    def json(self) -> object:
        """The decoded body; None for an empty one. Raises ``errors.Misbehaved``."""
        if not self.body.strip():
            return None
        try:
            return msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise errors.Misbehaved(f"{self.peer} sent no valid JSON (status {self.status}): {error}.") from error


class HttpClient:
    """The shared session of one event loop. Make it inside the loop, and ``close`` it there."""

    def __init__(self) -> None:
        self._opened: aiohttp.ClientSession | None = None
        self.contexts = trust.Contexts()

    @property
    def _session(self) -> aiohttp.ClientSession:
        """Made when the first request is sent: a service that talks to nobody needs no HTTP library."""
        if self._opened is None:
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEPT_OPEN, ttl_dns_cache=60)
            self._opened = aiohttp.ClientSession(
                connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=True
            )
        return self._opened

    async def send(self, call: Call) -> Reply:
        """Send a request and read the whole answer; redirects are not followed.

        Raises ``errors.Unreachable``, ``errors.TimedOut``, ``errors.Misbehaved`` (TLS, broken HTTP, too
        large), ``errors.Invalid`` (the URL, the CA file).
        """
        context = await self.contexts.find(call.trust)
        headers, data = dict(call.headers), call.body
        if isinstance(data, Streamed):  # with its length: many BMCs refuse a body in chunks
            headers["Content-Length"] = str(await asyncio.to_thread(data.size))
            data = data.chunks()
        timeout = aiohttp.ClientTimeout(total=call.timeout, sock_connect=min(CONNECT_TIMEOUT, call.timeout))
        try:
            async with self._session.request(
                call.method,
                yarl.URL(call.url, encoded=True),
                headers=headers,
                data=data,
                ssl=context,
                timeout=timeout,
                proxy=call.proxy,
                allow_redirects=False,
            ) as answer:
                body = await _read(answer, call.peer)
                return Reply(answer.status, answer.headers, body, call.peer)
        except (aiohttp.ClientError, TimeoutError, ValueError, OSError) as error:
            raise _failure(call, error) from error

    async def download(self, call: Call, file: Path) -> None:
        """Write the answer to ``call`` into ``file``; redirects are followed.

        Raises as ``send``, and ``errors.Misbehaved`` for any status but 200 and for more than ``LARGEST_FILE``.
        """
        context = await self.contexts.find(call.trust)
        timeout = aiohttp.ClientTimeout(total=call.timeout, sock_connect=CONNECT_TIMEOUT)
        try:
            async with self._session.request(call.method, call.url, ssl=context, timeout=timeout) as answer:
                if answer.status != HTTPStatus.OK:
                    raise errors.Misbehaved(f"{call.peer} answered {answer.status} to {call.method}.")
                if (answer.content_length or 0) > LARGEST_FILE:
                    raise failures.too_large(call.peer, "a file", LARGEST_FILE)
                left = LARGEST_FILE
                with await asyncio.to_thread(file.open, "wb") as target:
                    async for chunk in answer.content.iter_chunked(_CHUNK):
                        left -= len(chunk)
                        if left < 0:
                            raise failures.too_large(call.peer, "a file", LARGEST_FILE)
                        await asyncio.to_thread(target.write, chunk)
        except (aiohttp.ClientError, TimeoutError, ValueError, OSError) as error:
            raise _failure(call, error) from error

    async def close(self) -> None:
        """Close all connections."""
        if self._opened is not None:
            await self._opened.close()
        await asyncio.sleep(0)  # lets the transports close their sockets


async def _read(answer: aiohttp.ClientResponse, peer: str) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in answer.content.iter_any():
        size += len(part)
        if size > LARGEST_BODY:
            raise failures.too_large(peer, "an answer", LARGEST_BODY)
        parts.append(part)
    return b"".join(parts)


def _failure(call: Call, error: Exception) -> errors.IngotError:
    """The domain error for what aiohttp raised."""
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return failures.untrusted(call.peer, error.certificate_error)
        case aiohttp.ClientConnectorSSLError() | aiohttp.ClientSSLError() | ssl.SSLError():
            return failures.no_tls(call.peer, error)
        case aiohttp.ClientConnectorDNSError():
            return failures.no_such_name(call.peer)
        case OSError() if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return failures.disk_full(call.peer)
        case aiohttp.ClientConnectorError() if isinstance(error.os_error, ConnectionError) and not error.errno:
            return failures.closed_at_once(call.peer)
        case aiohttp.ClientConnectorError():
            return failures.no_way(call.peer, error)
        case TimeoutError():
            connecting = isinstance(error, aiohttp.ConnectionTimeoutError)
            return failures.too_late(call.peer, call.method, call.timeout, sent=not connecting)
        case aiohttp.InvalidURL() | ValueError():
            return failures.bad_url(call.peer)
        case aiohttp.ClientResponseError():
            return failures.not_http(call.peer, error.message)
        case _:
            return failures.cut_off(call.peer)
