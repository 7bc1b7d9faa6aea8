"""What consoles said, on disk: one log per run of a node, each of a limited size, the oldest thrown away.

May not: decide which run it is. Invariant: a log never holds more than ``CAP`` bytes, and what it loses is its oldest.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

CAP = 1024 * 1024
KEEP = 20
"""Logs kept of a node."""
FLUSH, _SORT = 0.5, 0.125
"""Seconds between writings, and between looks at which run is open."""
LATE = 1.0
"""Seconds for which words after a run's failure are that run's: a serial line is slower than what told of it."""
_AT_END = 1.0
IDLE = "idle"
"""The log of the time between runs."""

_LAST, _SHOWN = 4096, 160
_CONTROLS = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|[@-Z\\-_])|[\x00-\x08\x0e-\x1f\x7f]")
_BREAKS = re.compile(r"[\r\n\v\f]+")

RunOf = Callable[[], Awaitable[str | None]]


class Log:
    """The logs of one node. ``run_of`` tells the id of the run whose words come now, None between runs."""

    def __init__(self, folder: Path, run_of: RunOf) -> None:
        self._folder = folder
        self._run_of = run_of
        self._said = bytearray()
        self._waiting: list[tuple[str, bytes]] = []
        self._task: asyncio.Task[None] | None = None

    def write(self, piece: bytes) -> None:
        """Keep a piece; it is on disk within a second."""
        self._said += piece
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._flush_soon())

    async def close(self) -> None:
        """Write what is left, as said between runs if the database does not tell within a second in which."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_AT_END):
                await self._sort()
        if self._said:  # in which run nobody could tell
            self._waiting.append((IDLE, bytes(self._said)))
            self._said.clear()
        await self._flush()

    async def _flush_soon(self) -> None:
        while self._said:  # again what was said while the last of it was being written
            for _ in range(round(FLUSH / _SORT)):
                await self._sort()
                await asyncio.sleep(_SORT)
            await self._flush()

    async def _sort(self) -> None:
        """Note in which run it was said: by the time it is written that may be over, or another one have begun."""
        if length := len(self._said):
            run = await self._run_of()
            self._waiting.append((run or IDLE, bytes(self._said[:length])))
            del self._said[:length]

    async def _flush(self) -> None:
        while self._waiting:
            run = self._waiting[0][0]
            count = next((at for at, one in enumerate(self._waiting) if one[0] != run), len(self._waiting))
            pieces = b"".join(piece for _, piece in self._waiting[:count])
            del self._waiting[:count]
            # A full disk costs the log, never the console.
            with contextlib.suppress(OSError):
                await asyncio.to_thread(_append, self._folder, run, pieces)


def folder_of(data: Path, node_uuid: str) -> Path:
    """Where a node's logs are, below the data directory."""
    return data / "consoles" / node_uuid


def last_line(folder: Path, run: str) -> str | None:
    """The last line with words that the console said in a run, without colours and cursors; None if there is none."""
    text = _CONTROLS.sub("", tail(folder, run, _LAST).decode(errors="replace"))
    lines = [" ".join(line.split()) for line in _BREAKS.split(text)]
    return next((line[-_SHOWN:] for line in reversed(lines) if any(map(str.isalnum, line))), None)


def tail(folder: Path, run: str, size: int) -> bytes:
    """The last ``size`` bytes of a run's log; empty when nothing was logged."""
    data = b"".join(path.read_bytes() for path in _parts(folder, run) if path.exists())
    return data[-size:]


def _parts(folder: Path, run: str) -> tuple[Path, Path]:
    """A log is two files: the older half and the one that grows."""
    return folder / f"{run}.old", folder / f"{run}.log"


def _append(folder: Path, run: str, piece: bytes) -> None:
    old, new = _parts(folder, run)
    if not new.exists():
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _forget_oldest(folder)
    with new.open("ab") as file:
        file.write(piece[-CAP // 2 :])
    if new.stat().st_size > CAP // 2:
        new.replace(old)


def _forget_oldest(folder: Path) -> None:
    names = {path.stem: path.stat().st_mtime for path in folder.iterdir()}
    for name in sorted(names, key=names.__getitem__)[: -KEEP + 1 or None] if len(names) >= KEEP else ():
        for path in _parts(folder, name):
            path.unlink(missing_ok=True)
