"""A door from the host into a network namespace: one TCP port of the host's loopback leads to one address inside.

Why: the rack has a network of its own, but its user's browser and tools are on the host. A socket belongs to the
namespace of the thread that made it, so no interface has to cross. May not: listen beyond loopback.
Invariant: closing it ends every connection through it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from concurrent.futures import ThreadPoolExecutor

from ingot.domain import errors
from ingot_rack import network

_BLOCK = 65536
_LOOPBACK = "127.0.0.1"


class Door:
    """Leads to ``target`` inside the namespace. ``open`` it, then ``close`` it."""

    def __init__(self, rack: str, namespace: str, target: tuple[str, int]) -> None:
        self._target = target
        inside = network.Network(rack, namespace)
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="door", initializer=inside.enter)
        self._server: asyncio.Server | None = None
        self._visits: set[asyncio.Task[None]] = set()

    async def open(self, port: int) -> int:
        """Listen on the port (0: any free one); the port. Raises errors.Conflict when it is taken."""
        try:
            self._server = await asyncio.start_server(self._welcome, _LOOPBACK, port)
        except OSError as error:
            raise errors.Conflict(
                f"Port {port} of this host cannot be used: {error.strerror}", hint="Name another with --port."
            ) from error
        opened: int = self._server.sockets[0].getsockname()[1]
        return opened

    async def close(self) -> None:
        """Stop listening and end what goes through."""
        if self._server is not None:
            self._server.close()
        for visit in tuple(self._visits):
            visit.cancel()
        await asyncio.gather(*self._visits, return_exceptions=True)
        self._threads.shutdown(wait=False)

    def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visit = asyncio.ensure_future(self._lead(reader, writer))
        self._visits.add(visit)
        visit.add_done_callback(self._visits.discard)

    async def _lead(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError), contextlib.closing(writer):
            inside = await loop.run_in_executor(self._threads, _make_socket)
            try:
                await loop.sock_connect(inside, self._target)
            except OSError:
                inside.close()
                raise
            there, here = await asyncio.open_connection(sock=inside)
            with contextlib.closing(here):
                await asyncio.gather(_pump(reader, here), _pump(there, writer))


def _make_socket() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    made.setblocking(False)
    return made


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while block := await source.read(_BLOCK):
        target.write(block)
        await target.drain()
    if target.can_write_eof():
        target.write_eof()
