"""Fetch ranges of a file over one kept connection, in a thread of its own, with patience.

Why: the network fills one buffer while the disk takes another. May not: touch a disk. Invariants: buffers
are page-aligned (a direct write needs that) and few; a transfer that breaks off goes on where it broke off;
patience ends with a sentence.
"""

from __future__ import annotations

import mmap
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ingot_agent import errors, guard, log, wire

_ATTEMPTS = 7
_FIRST_PAUSE = 0.5
_REDIRECTS = (301, 302, 303, 307, 308)


@dataclass(frozen=True)
class Piece:
    """Data at a place of the image, in a buffer that ``give_back`` returns."""

    offset: int
    view: memoryview
    buffer: mmap.mmap


@dataclass(frozen=True)
class Source:
    """Where the data comes from and how long to wait for it; ``tell`` is given each failure that is not the last."""

    url: str
    timeout: float
    insecure: bool = False
    tell: Callable[[str], None] = log.line
    attempts: int = _ATTEMPTS
    first_pause: float = _FIRST_PAUSE


class NoRanges(errors.ImageWriteError):
    """The server answers with the whole file where a part was asked for."""


class Patience:
    """Counts failures without progress and says how long to pause; ``give_up`` makes the final error."""

    def __init__(self, source: Source, stop: threading.Event) -> None:
        self._source = source
        self._stop = stop
        self._failures = 0

    def progress(self) -> None:
        """Data came: start counting anew."""
        self._failures = 0

    def failed(self, error: errors.AgentError, offset: int) -> None:
        """Pause and return, or raise ImageWriteError when it was once too often."""
        self._failures += 1
        if self._failures >= self._source.attempts or self._stop.is_set():
            url = wire.parse_url(self._source.url)
            raise errors.ImageWriteError(
                f"The image server {url.host}:{url.port} failed {self._failures} times in a row at byte "
                f"{offset}: "
                f"{error.message} Check that it runs and that this machine reaches it, then deploy again."
            ) from error
        pause = min(self._source.first_pause * 2 ** (self._failures - 1), 30.0)
        self._source.tell(f"{error.message} Going on at byte {offset} in {pause:.1f} s")
        self._stop.wait(pause)


class Reader:
    """Keeps one connection to the source; follows redirects; asks for ranges of one version of the file only."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._url = source.url
        self._version = ""
        self._connection: wire.Connection | None = None

    def close(self) -> None:
        """Drop the connection."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def open(self, offset: int, length: int | None) -> wire.Response:
        """Ask for a range (``length`` None: to the end).

        Raises Unreachable, ImageWriteError (no such file, no ranges).
        """
        for _ in range(6):
            url = wire.parse_url(self._url)
            if self._connection is None:
                self._connection = wire.Connection(url, timeout=self._source.timeout, insecure=self._source.insecure)
            headers: dict[str, str] = {}
            if offset or length is not None:
                headers["Range"] = f"bytes={offset}-{'' if length is None else offset + length - 1}"
                headers |= {"If-Range": self._version} if self._version else {}
            response = self._connection.request("GET", url.path, headers)
            if response.status not in _REDIRECTS:
                return self._checked(response, offset, length)
            self._url = wire.join(self._url, response.headers.get("location", ""))
            self.close()
        raise errors.ImageWriteError("The image's address redirects without end. Correct it.")

    def _checked(self, response: wire.Response, offset: int, length: int | None) -> wire.Response:
        if response.status == 206 and not _begins_at(response, offset):
            self.close()
            raise NoRanges(
                f"The image server was asked for byte {offset} and gave "
                f"{response.headers.get('content-range') or 'no range'!r}. Use a server that knows Range requests."
            )
        if response.status == 206 or (response.status == 200 and offset == 0 and length is None):
            version = response.headers.get("etag", "")
            self._version = version if version.startswith('"') else ""  # a weak one may not be asked for
            return response
        self.close()
        if response.status == 200 and self._version:
            raise errors.ImageWriteError("The image on the server was changed while it was written. Deploy again.")
        if response.status == 200:
            raise NoRanges("The image server ignores ranges. Use a server that knows Range requests.")
        if response.status >= 500 or response.status in (408, 429):
            raise errors.Unreachable(f"The image server answered {response.status}.")
        raise errors.ImageWriteError(
            f"The image server answered {response.status} for "
            f"{wire.parse_url(self._url).path.partition('?')[0]}. "
            "Check the image's address."
        )


def _begins_at(response: wire.Response, offset: int) -> bool:
    """Whether a part is of the place asked for (RFC 9110, 14.4: ``bytes FIRST-LAST/SIZE``)."""
    unit, _, rest = response.headers.get("content-range", "").partition(" ")
    return unit.lower() == "bytes" and rest.partition("-")[0].strip() == str(offset)


class Pipe:
    """A ring of buffers filled by a thread that runs ``fill`` and emptied by iterating."""

    def __init__(self, buffer_size: int, count: int, fill: Callable[[Pipe], None]) -> None:
        self._free: queue.SimpleQueue[mmap.mmap] = queue.SimpleQueue()
        self._full: queue.SimpleQueue[Piece | Exception | None] = queue.SimpleQueue()
        self.stopped = threading.Event()
        self._fill = fill
        for _ in range(count):
            self._free.put(mmap.mmap(-1, buffer_size))
        self._thread = threading.Thread(target=self._run, name="transfer", daemon=True)

    def _run(self) -> None:
        self._full.put(guard.outcome(lambda: self._fill(self))[1])

    def buffer(self) -> mmap.mmap:
        """A free buffer; waits for one. Raises Unreachable when the writer has given up."""
        while True:
            try:
                return self._free.get(timeout=0.5)
            except queue.Empty:
                if self.stopped.is_set():
                    raise errors.Unreachable("The writer has stopped.") from None

    def put(self, piece: Piece) -> None:
        """Hand a filled buffer to the writer."""
        self._full.put(piece)

    def give_back(self, piece: Piece) -> None:
        """Return a buffer that is written."""
        piece.view.release()
        self._free.put(piece.buffer)

    def pieces(self) -> Iterator[Piece]:
        """Pieces as they come; raises what the filling thread raised."""
        self._thread.start()
        try:
            while (item := self._full.get()) is not None:
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            self.stopped.set()
