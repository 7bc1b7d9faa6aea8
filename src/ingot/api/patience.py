"""HTTP connections that may not be held open for nothing: a request's head comes whole, in bounds and in time.

Why: whoever opens connections and sends a byte now and then would hold all that the process may have open, and who
sends a head without an end its memory. May not: know a request's meaning. Invariant: no connection is for longer than
``HEAD_WITHIN`` without a request that is being answered, but for the pause that a kept one is given between two.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_WITHIN = 20.0
"""Seconds from the first byte of a request, or from the connection's beginning, to the end of its head."""
LARGEST_HEAD = 64 << 10


class PatientProtocol(HttpToolsProtocol):
    """uvicorn's connection, which itself waits for a head for ever, and keeps as much of one as is sent."""

    _timer: asyncio.TimerHandle | None = None
    _head = 0
    """Bytes that came of a head which is not whole yet."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride] # as uvicorn has it
        """The time of the first head begins."""
        super().connection_made(transport)
        self._begin()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._end()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Some of a head or body; a connection whose head is too long is given up.

        Between two requests anything is of a head: uvicorn forgets the pause's end over line ends alone, too.
        """
        answering = self.cycle and not self.cycle.response_complete
        if not answering:
            self._begin()
        if self._timer is not None:
            self._head += len(data)
        super().data_received(data)
        if self._timer is not None and self._head > LARGEST_HEAD:
            self.transport.abort()

    def on_message_begin(self) -> None:
        """A request that comes before the last one is answered has its time from here."""
        super().on_message_begin()
        self._begin()

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._end()
        super().on_headers_complete()

    def _begin(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(HEAD_WITHIN, self.transport.abort)

    def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._head = 0
