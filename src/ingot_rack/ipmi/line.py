"""A console's end of serial over LAN: packets, acknowledgements and retries.

Why: the stream logic of IPMI 2.0 section 15.9 apart from the commands that open and close it.
May not: know devices or sockets. Invariant: bytes are never sent to the serial line twice.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from ingot_rack import errors
from ingot_rack.hardware import Console
from ingot_rack.ipmi import session, wire

CHUNK = 200
RETRY_SECONDS, RETRIES = 0.5, 10
NACK = 0x40

Send = Callable[[bytes], None]


class Line:
    """One active console: bytes from the serial line to the session and back. ``console``: None while there is none."""

    def __init__(
        self, owner: session.Session, console: Console | None, reopen: Callable[[], Awaitable[Console]]
    ) -> None:
        self.owner = owner
        self._reopen = reopen
        self.send: Send | None = None
        self._console = console
        self._acked = asyncio.Event()
        self._sequence = 0
        self._last_seen = 0
        self._last_accepted = 0
        self._pump = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        """A machine's line ends with its power; the console outlives that, as its plug stays in the machine."""
        while True:
            if self._console is None:
                await asyncio.sleep(RETRY_SECONDS)
                with contextlib.suppress(errors.RackError, OSError):
                    self._console = await self._reopen()
                continue
            reader, writer = self._console
            with contextlib.suppress(ConnectionError):
                while data := await reader.read(CHUNK):
                    self._sequence = self._sequence % 15 + 1
                    await self._deliver(bytes([self._sequence, 0, 0, 0]) + data)
            writer.close()
            self._console = None

    async def _deliver(self, payload: bytes) -> None:
        """Send until acknowledged, a few times; then the bytes are lost, as on a real line."""
        self._acked.clear()
        for _ in range(RETRIES):
            if self.send:
                self.send(self.owner.seal(wire.PAYLOAD_SOL, payload))
            try:
                async with asyncio.timeout(RETRY_SECONDS):
                    await self._acked.wait()
                return
            except TimeoutError:
                continue

    def take(self, payload: bytes) -> bytes | None:
        """Accept a packet from the console; the acknowledgement to send, or None."""
        if len(payload) < 4:
            return None
        sequence, acked = payload[0] & 0x0F, payload[1] & 0x0F
        if acked and acked == self._sequence and not payload[3] & NACK:
            self._acked.set()
        if not sequence:
            return None
        if sequence != self._last_seen:
            if self._console is not None:
                self._console[1].write(payload[4:])
            self._last_seen, self._last_accepted = sequence, len(payload) - 4
        return bytes([0, sequence, self._last_accepted & 0xFF, 0])

    def close(self) -> None:
        """Give the serial line back."""
        self._pump.cancel()
        if self._console is not None:
            self._console[1].close()
