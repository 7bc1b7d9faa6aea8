"""One peer of the file server: reads heads and writes answers, each wait under its deadline.

uvloop has no ``loop.sendfile``, so accepted sockets are ours and ``os.sendfile`` runs non-blocking on them.
May not: decide what is served. Invariant: no wait for a peer is without end.
"""

from __future__ import annotations

import asyncio
import mimetypes
import os
import socket

import msgspec

from ingot.netboot import httpwire
from ingot.netboot.httpwire import BytesAnswer, FileAnswer, Request


class Deadlines(msgspec.Struct, frozen=True):
    """Seconds to wait for: a first or next request's ``head``, and any ``stall`` while sending."""

    head: float = 30
    stall: float = 60


class Connection:
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
