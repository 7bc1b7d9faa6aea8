"""A console as a plain TCP port, which is what clients expect behind a console of the type "socat".

May not: listen anywhere but where it was told. Invariant: one caller at a time has the keyboard, the others watch.
"""

from __future__ import annotations

import asyncio
import contextlib

from ingot.consoles.hub import Console, Watcher
from ingot.domain import errors

PATIENCE = 30.0
"""Seconds that a caller may leave the connection's buffer full."""


class Port:
    """A listening port of one console."""

    def __init__(self, server: asyncio.Server) -> None:
        self._server = server

    @property
    def number(self) -> int:
        """The TCP port."""
        return int(self._server.sockets[0].getsockname()[1])

    def close(self) -> None:
        """Listen no more; callers end with the console."""
        self._server.close()


async def listen(console: Console, host: str, port: int, patience: float = PATIENCE) -> Port:
    """Serve ``console`` on a port of ``host`` (0: a free one). Raises errors.Conflict when it is taken."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        watcher = console.watch()
        watcher.take()
        typing = asyncio.create_task(_type(reader, watcher))
        try:
            while (piece := await watcher.read()) is not None:
                writer.write(piece)
                async with asyncio.timeout(patience):
                    await writer.drain()
        except (ConnectionError, TimeoutError):
            writer.transport.abort()  # what waits for a caller who does not read is dropped
        finally:
            typing.cancel()
            watcher.leave()
            writer.close()

    try:
        return Port(await asyncio.start_server(serve, host, port))
    except OSError as error:
        raise errors.Conflict(
            f"The console cannot listen on {host} port {port}: {error.strerror}",
            hint="Choose another port, or another console_address.",
        ) from error


async def _type(reader: asyncio.StreamReader, watcher: Watcher) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(4096):
            # Without the keyboard, or while the line is down, what is typed is lost, as on a real line.
            with contextlib.suppress(errors.IngotError):
                await watcher.write(data)
    watcher.leave()
