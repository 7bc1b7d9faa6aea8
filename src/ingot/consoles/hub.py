"""Consoles that are served: one line to each machine, any number of watchers, one writer, a log.

The line is opened again when it drops; watchers stay and are told. May not: know a node beyond its uuid, or how a
line is opened. Invariant: what a machine says goes to its log before it goes to anybody else, and a watcher that
does not read is let go instead of holding up the others.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import structlog

from ingot.consoles.line import Line
from ingot.consoles.logs import Log
from ingot.domain import errors

_log = structlog.get_logger("ingot.consoles")
SCROLLBACK = 64 * 1024
"""What a new watcher is shown of what was said before, in bytes."""
BACKLOG = 512
"""Pieces a watcher may be behind."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0


class Watcher:
    """Somebody who looks at a console, and may type if they hold the keyboard."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._pieces: asyncio.Queue[bytes | None] = asyncio.Queue(BACKLOG)
        self.ended: str | None = None

    @property
    def writes(self) -> bool:
        """Whether this one holds the keyboard."""
        return self._console.writer is self

    @property
    def company(self) -> int:
        """How many watch this console, this one included."""
        return self._console.watchers

    async def read(self) -> bytes | None:
        """The next piece the machine said; None at the end (``ended`` says why)."""
        if self.ended is not None and self._pieces.empty():
            return None
        return await self._pieces.get()

    def take(self, *, force: bool = False) -> bool:
        """Ask for the keyboard; whether it was given. ``force`` takes it from who has it."""
        if force or self._console.writer is None:
            self._console.writer = self
        return self.writes

    async def write(self, data: bytes) -> None:
        """Type. Raises errors.Forbidden without the keyboard, errors.Unreachable while the line is down."""
        await (await self._line()).write(data)

    async def send_break(self) -> None:
        """Send a serial break. Raises as ``write``."""
        await (await self._line()).send_break()

    def leave(self) -> None:
        """Stop watching."""
        self.end("left")

    def end(self, reason: str) -> None:
        """Let this one go."""
        if self.ended is None:
            self.ended = reason
            self._console.forget(self)
            with contextlib.suppress(asyncio.QueueFull):
                self._pieces.put_nowait(None)

    def hear(self, piece: bytes) -> None:
        """Pass on a piece; one who does not read is let go."""
        try:
            self._pieces.put_nowait(piece)
        except asyncio.QueueFull:
            self._pieces.get_nowait()
            self.end("too slow")

    async def _line(self) -> Line:
        if not self.writes:
            raise errors.Forbidden("Somebody else has the keyboard of this console", hint="Take it over first.")
        return self._console.line()


class Console:
    """One machine's console."""

    def __init__(self, name: str, open_line: Callable[[], Awaitable[Line]], log: Log) -> None:
        self.name = name
        self._open = open_line
        self._log = log
        self._line: Line | None = None
        self._said = bytearray()
        self._watchers: set[Watcher] = set()
        self.writer: Watcher | None = None
        self.problem: str | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Open the line and go on serving it. Raises what opening raises; then nothing is served."""
        self._line = await self._open()
        self._task = asyncio.create_task(self._serve())

    def start_later(self) -> None:
        """As ``start``, but a line that does not open now is tried again and again."""
        self._task = asyncio.create_task(self._serve())

    async def stop(self) -> None:
        """Hang up and let everybody go."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._line is not None:
            await self._line.close()
        for watcher in list(self._watchers):
            watcher.end("the console is not served any more")
        await self._log.close()

    def watch(self) -> Watcher:
        """A new watcher, who is shown the last of what was said."""
        watcher = Watcher(self)
        self._watchers.add(watcher)
        if self._said:
            watcher.hear(bytes(self._said))
        return watcher

    def forget(self, watcher: Watcher) -> None:
        """One watcher less; the keyboard is free if they had it."""
        self._watchers.discard(watcher)
        if self.writer is watcher:
            self.writer = None

    def line(self) -> Line:
        """The open line. Raises errors.Unreachable while there is none."""
        if self._line is None:
            raise errors.Unreachable(
                f"The line to the console is down: {self.problem or 'it is being opened'}", hint="Wait a little."
            )
        return self._line

    @property
    def watchers(self) -> int:
        """How many look at it."""
        return len(self._watchers)

    async def _serve(self) -> None:
        pause, loop = FIRST_PAUSE, asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                if self._line is None:
                    self._line = await self._open()
                    self._tell("the line is up again")
                self.problem = None
                await self._pump(self._line)
                self.problem = "the machine's BMC hung up"
            except errors.IngotError as error:
                self.problem = error.sentence()
            if loop.time() - began > LONGEST_PAUSE:  # a line that ends as soon as it is open is asked less and less
                pause = FIRST_PAUSE
            await self._drop()
            self._tell(f"{self.problem}; trying again in {pause:.0f} s")
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _pump(self, line: Line) -> None:
        while piece := await line.read():
            self._log.write(piece)
            self._said += piece
            del self._said[:-SCROLLBACK]
            for watcher in list(self._watchers):
                watcher.hear(piece)

    async def _drop(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            await line.close()

    def _tell(self, words: str) -> None:
        """A note of our own on everybody's screen; it is not in the log, the machine did not say it."""
        _log.info("console", node=self.name, state=words)
        for watcher in list(self._watchers):
            watcher.hear(f"\r\n[ingot: {words}]\r\n".encode())
