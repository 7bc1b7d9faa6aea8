"""A small HTTP server for the provisioning network: kernels, ramdisks and images, by sendfile, with ranges.

Why: racks of machines fetch gigabytes at once; sendfile costs a quarter of a CPU second per GiB and needs no
second web server. May not: know a node; resolvers decide what a path means. Invariant: each wait for a peer has
a deadline, and a slow peer delays no other.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Awaitable, Callable

import structlog

from ingot.domain import errors
from ingot.netboot import httpwire
from ingot.netboot.connection import Connection, Deadlines
from ingot.netboot.httpwire import Answer, BytesAnswer, FileAnswer, Request

_PIECE = 1024 * 1024
_MAX_CONNECTIONS = 4000
_PASSING = (errno.EMFILE, errno.ENFILE, errno.ECONNABORTED, errno.ENOBUFS)
_LOG = structlog.get_logger(__name__)


Resolver = Callable[[str, Request], Answer | Awaitable[Answer]]


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
        connection = Connection(peer, client, self.deadlines)
        with peer:
            peer.setblocking(False)
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with contextlib.suppress(OSError, TimeoutError):
                while await self._one_request(connection):
                    pass

    async def _one_request(self, connection: Connection) -> bool:
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

    async def _send_file(self, connection: Connection, request: Request, answer: FileAnswer) -> bool:
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

    async def _send_span(self, connection: Connection, fd: int, span: httpwire.Span) -> bool:
        sent = 0
        while sent < span.length:
            count = await connection.sendfile(fd, span.start + sent, min(_PIECE, span.length - sent))
            if count == 0:  # the file became shorter: only closing tells the peer
                return False
            sent += count
        return True


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
