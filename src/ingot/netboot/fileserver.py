"""A small HTTP server for the provisioning network: kernels, ramdisks and images, by sendfile, with ranges.

Why: racks of machines fetch gigabytes at once; sendfile costs a quarter of a CPU second per GiB and needs no
second web server. May not: know a node; resolvers decide what a path means. Invariant: each wait for a peer has
a deadline, and a slow peer delays no other.

uvloop has no ``loop.sendfile``, so accepted sockets are ours and ``os.sendfile`` runs non-blocking on them.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import mimetypes
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import structlog

from ingot.domain import errors
from ingot.netboot import httpwire
from ingot.netboot.httpwire import Request

_PIECE = 1024 * 1024
_MAX_CONNECTIONS = 4000
_PASSING = (errno.EMFILE, errno.ENFILE, errno.ECONNABORTED, errno.ENOBUFS)
_LOG = structlog.get_logger(__name__)


class FileAnswer(msgspec.Struct, frozen=True):
    """Answer with the file at ``path``."""

    path: Path
    content_type: str | None = None


class BytesAnswer(msgspec.Struct, frozen=True):
    """Answer with ``data``."""

    data: bytes
    content_type: str = "application/octet-stream"
    status: int = 200


Answer = FileAnswer | BytesAnswer | None
Resolver = Callable[[str, Request], Answer | Awaitable[Answer]]


class Deadlines(msgspec.Struct, frozen=True):
    """Seconds to wait for: a first or next request's ``head``, and any ``stall`` while sending."""

    head: float = 30
    stall: float = 60


class FileServer:
    """Serves GET and HEAD below mounted prefixes."""

    def __init__(self, deadlines: Deadlines | None = None) -> None:
        self._mounts: list[tuple[str, Resolver]] = []
        self.deadlines = deadlines or Deadlines()
        self._listener: socket.socket | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    @property
    def connections(self) -> int:
        """How many connections are open now."""
        return max(0, len(self._tasks) - 1)

    def mount(self, prefix: str, resolver: Resolver) -> None:
        """Let ``resolver(path after prefix, request)`` answer below ``prefix``; the longest prefix wins."""
        self._mounts.append((f"/{prefix.strip('/')}/".replace("//", "/"), resolver))
        self._mounts.sort(key=lambda entry: -len(entry[0]))

    async def start(self, host: str, port: int) -> None:
        """Listen on ``host``:``port`` (0: any free one, see ``port``). Raises Conflict or Invalid."""
        try:
            self._listener = _listen(host, port)
        except OSError as error:
            raise _cannot_listen(host, port, error) from error
        self.port = self._listener.getsockname()[1]
        self._spawn(self._accept(self._listener))

    async def stop(self) -> None:
        """Close the listener and every connection."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._listener:
            self._listener.close()
            self._listener = None

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                peer, address = await loop.sock_accept(listener)
            except OSError as error:
                usual = error.errno in _PASSING
                if not usual:
                    _LOG.error("file_server_accept_failed", reason=error.strerror)
                await asyncio.sleep(0.1 if usual else 1)
                continue
            if len(self._tasks) > _MAX_CONNECTIONS:
                peer.close()
                continue
            self._spawn(self._serve(peer, str(address[0])))

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            _LOG.error("file_server_connection_failed", exc_info=error)

    async def _serve(self, peer: socket.socket, client: str) -> None:
        connection = _Connection(peer, client, self.deadlines)
        with peer:
            peer.setblocking(False)
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with contextlib.suppress(OSError, TimeoutError):
                while await self._one_request(connection):
                    pass

    async def _one_request(self, connection: _Connection) -> bool:
        """Answer one request; return whether the connection goes on."""
        try:
            request = await connection.read_request()
            if request is None:
                return False
            answer = await self._resolve(request)
        except httpwire.BadRequestError as error:
            await connection.send_text(error.status, str(error), keep_alive=False)
            await connection.linger()
            return False
        if isinstance(answer, FileAnswer):
            return await self._send_file(connection, request, answer)
        await connection.send_bytes(request, answer)
        return request.keep_alive

    async def _resolve(self, request: Request) -> FileAnswer | BytesAnswer:
        if request.method not in ("GET", "HEAD"):
            raise httpwire.BadRequestError(405, "Only GET and HEAD are served here.")
        for prefix, resolver in self._mounts:
            if not request.path.startswith(prefix):
                continue
            try:
                found = resolver(request.path[len(prefix) :], request)
                answer = await found if isinstance(found, Awaitable) else found
            except errors.NotFound as error:
                raise httpwire.BadRequestError(404, error.sentence()) from error
            except errors.IngotError as error:
                raise httpwire.BadRequestError(503, error.sentence()) from error
            if answer is not None:
                return answer
        raise httpwire.BadRequestError(404, f"There is nothing at {request.path}.")

    async def _send_file(self, connection: _Connection, request: Request, answer: FileAnswer) -> bool:
        try:
            file = answer.path.open("rb")
        except OSError:
            await connection.send_text(404, f"There is nothing at {request.path}.", keep_alive=False)
            return False
        with file:
            info = os.fstat(file.fileno())
            etag = f'"{info.st_mtime_ns:x}-{info.st_size:x}"'
            span = httpwire.span(request, info.st_size, etag)
            await connection.send_head(request, answer, span, info.st_size, etag)
            if request.method == "HEAD" or span.status not in (200, 206):
                return request.keep_alive
            return await self._send_span(connection, file.fileno(), span) and request.keep_alive

    async def _send_span(self, connection: _Connection, fd: int, span: httpwire.Span) -> bool:
        sent = 0
        while sent < span.length:
            count = await connection.sendfile(fd, span.start + sent, min(_PIECE, span.length - sent))
            if count == 0:  # the file became shorter: only closing tells the peer
                return False
            sent += count
        return True


class _Connection:
    """One peer: reads heads and writes answers, each wait under its deadline."""

    def __init__(self, peer: socket.socket, client: str, deadlines: Deadlines) -> None:
        self._peer, self._client, self._deadlines = peer, client, deadlines
        self._buffer = b""
        self._loop = asyncio.get_running_loop()

    async def read_request(self) -> Request | None:
        """Return the next request, None when the peer closed or stayed silent. Raises BadRequestError."""
        try:
            async with asyncio.timeout(self._deadlines.head):
                while b"\r\n\r\n" not in self._buffer:
                    if len(self._buffer) > httpwire.HEAD_LIMIT:
                        raise httpwire.BadRequestError(431, "The request's head is too large.")
                    data = await self._loop.sock_recv(self._peer, 65536)
                    if not data:
                        return None
                    self._buffer += data
        except TimeoutError:
            if self._buffer:
                raise httpwire.BadRequestError(408, "The request did not come in time.") from None
            return None
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        return httpwire.parse_head(head, self._client)

    async def send_text(self, status: int, text: str, *, keep_alive: bool) -> None:
        """Send ``text`` as an error's body."""
        body = f"{text}\n".encode()
        headers = {"Content-Type": "text/plain; charset=utf-8", "Content-Length": len(body)}
        await self._send(httpwire.render_head(status, headers, keep_alive=keep_alive) + body)

    async def send_bytes(self, request: Request, answer: BytesAnswer) -> None:
        """Send a rendered answer."""
        headers = {"Content-Type": answer.content_type, "Content-Length": len(answer.data)}
        head = httpwire.render_head(answer.status, headers, keep_alive=request.keep_alive)
        await self._send(head if request.method == "HEAD" else head + answer.data)

    async def send_head(self, request: Request, answer: FileAnswer, span: httpwire.Span, size: int, etag: str) -> None:
        """Send the head of a file's answer."""
        kind = answer.content_type or mimetypes.guess_type(answer.path.name)[0] or "application/octet-stream"
        headers: dict[str, str | int] = {"ETag": etag, "Accept-Ranges": "bytes", "Content-Type": kind}
        if span.status != 304:
            headers["Content-Length"] = span.length
        if span.status == 206:
            headers["Content-Range"] = f"bytes {span.start}-{span.start + span.length - 1}/{size}"
        elif span.status == 416:
            headers["Content-Range"] = f"bytes */{size}"
        await self._send(httpwire.render_head(span.status, headers, keep_alive=request.keep_alive))

    async def sendfile(self, fd: int, offset: int, count: int) -> int:
        """Send up to ``count`` bytes of ``fd``; return how many went, 0 at the file's end. Raises TimeoutError."""
        while True:
            try:
                return os.sendfile(self._peer.fileno(), fd, offset, count)
            except (BlockingIOError, InterruptedError):
                async with asyncio.timeout(self._deadlines.stall):
                    await self._writable()

    async def linger(self) -> None:
        """Let the peer finish sending: closing with unread data would reset the answer away."""
        self._peer.shutdown(socket.SHUT_WR)
        async with asyncio.timeout(min(2.0, self._deadlines.head)):
            while await self._loop.sock_recv(self._peer, 65536):
                pass

    async def _send(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[self._peer.send(view) :]
            except (BlockingIOError, InterruptedError):
                async with asyncio.timeout(self._deadlines.stall):
                    await self._writable()

    async def _writable(self) -> None:
        ready: asyncio.Future[None] = self._loop.create_future()
        fd = self._peer.fileno()
        self._loop.add_writer(fd, _set, ready)
        try:
            await ready
        finally:
            self._loop.remove_writer(fd)


def _set(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(1024)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def _cannot_listen(host: str, port: int, error: OSError) -> errors.IngotError:
    if error.errno == errno.EADDRINUSE:
        return errors.Conflict(
            f"Port {port} on {host} is taken by another program, so machines cannot fetch files.",
            hint=f"See ss -ltnp 'sport = :{port}', stop that program or choose another port.",
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return errors.Invalid(f"This host has no address {host}.", hint="See ip addr for its addresses.")
    if error.errno == errno.EACCES:
        return errors.Forbidden(
            f"Port {port} may only be opened by root.", hint="Run as root or take a port above 1023."
        )
    return errors.Invalid(f"Cannot listen on {host}:{port}: {error.strerror}.", hint="Correct the address.")
