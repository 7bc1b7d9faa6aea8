"""A real HTTP server for images that breaks off, stalls, forgets ranges or changes the file, as asked."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator


class ImageServer:
    """Serves ``files`` (path -> bytes); the switches say how it misbehaves."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.break_after: list[int] = []  # bytes of the body before each coming break
        self.stall_after: int | None = None
        self.ranges = True
        self.etag = '"one"'
        self.status: list[int] = []
        self.requests: list[tuple[str, str | None]] = []
        self.url = ""

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncGenerator[ImageServer]:
        tasks: set[asyncio.Task[None]] = set()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            tasks.add(asyncio.ensure_future(self._serve(reader, writer)))

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError), contextlib.closing(writer):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            path = head.split(" ")[1].split("?")[0]
            headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
            wanted = headers.get("range")
            self.requests.append((path, wanted))
            await self._answer(writer, path, wanted, headers.get("if-range"))

    async def _answer(self, writer: asyncio.StreamWriter, path: str, wanted: str | None, condition: str | None) -> None:
        status = self.status.pop(0) if self.status else 200
        data = self.files.get(path)
        if data is None or status != 200:
            writer.write(f"HTTP/1.1 {404 if data is None else status} No\r\nContent-Length: 0\r\n\r\n".encode())
            await writer.drain()
            return
        start = 0
        line = "HTTP/1.1 200 OK\r\n"
        if wanted and self.ranges and condition in (None, self.etag):
            start = int(wanted.removeprefix("bytes=").split("-")[0])
            line = f"HTTP/1.1 206 Part\r\nContent-Range: bytes {start}-{len(data) - 1}/{len(data)}\r\n"
        body = data[start:]
        writer.write(f"{line}ETag: {self.etag}\r\nContent-Length: {len(body)}\r\n\r\n".encode())
        if self.break_after:
            writer.write(body[: self.break_after.pop(0)])
            await writer.drain()
            return
        if self.stall_after is not None:
            writer.write(body[: self.stall_after])
            await writer.drain()
            await asyncio.sleep(30)
            return
        writer.write(body)
        await writer.drain()
