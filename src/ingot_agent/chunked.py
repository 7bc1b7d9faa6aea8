"""Write an image by its chunk map: fetch only data, verify each chunk, make the rest zero.

May not: write a chunk that is not verified. Invariant: when ``write`` returns, the disk's first ``size``
bytes are the image.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from ingot_agent import blockdev, chunkmap, commands, errors, transfer

if TYPE_CHECKING:
    from ingot_agent import sharing

_CHECKERS = max(1, min(4, os.cpu_count() or 1))
_BUFFERS = _CHECKERS + 4  # one is being filled, the others wait for their check or their write


class _Check(threading.Thread):
    """Computes the digest of one piece beside the transfer: one processor hashes slower than a fast link brings."""

    def __init__(self, extent: chunkmap.Extent, piece: transfer.Piece) -> None:
        super().__init__(name="check", daemon=True)
        self.extent, self.piece, self.own = extent, piece, b""
        self.start()

    def run(self) -> None:
        """Hash."""
        self.own = digest(self.piece.view)

    def end(self) -> transfer.Piece:
        """Wait; the piece, verified. Raises ImageChecksumError."""
        self.join()
        if self.own != self.extent.digest:
            raise errors.ImageChecksumError(
                f"The image's data at byte {self.extent.offset} has the wrong checksum: expected "
                f"{self.extent.digest.hex()}, got {self.own.hex()}. The image file was changed or damaged: "
                "import it again."
            )
        return self.piece


def fetch_run(
    run: tuple[chunkmap.Extent, ...],
    reader: transfer.Reader,
    patience: transfer.Patience,
    pipe: transfer.Pipe,
) -> None:
    """Bring one run of touching extents, going on after the last whole good one when the transfer breaks off."""
    left = list(run)
    while left:
        checks: deque[_Check] = deque()
        try:
            end = left[-1].offset + left[-1].length
            response = reader.open(left[0].offset, end - left[0].offset)
            for extent in tuple(left):
                checks.append(_Check(extent, _fetch_extent(extent, response.readinto, pipe)))
                if len(checks) > _CHECKERS:
                    _hand_over(checks, left, patience, pipe)
            while checks:
                _hand_over(checks, left, patience, pipe)
        except (errors.Unreachable, errors.ImageChecksumError) as error:
            reader.close()
            _hand_over_good(checks, left, patience, pipe)
            if pipe.stopped.is_set():
                raise
            if isinstance(error, errors.ImageChecksumError):
                patience.failed(_second_look(error, left[0], reader), left[0].offset)
            else:
                patience.failed(error, left[0].offset)


def _hand_over(
    checks: deque[_Check], left: list[chunkmap.Extent], patience: transfer.Patience, pipe: transfer.Pipe
) -> None:
    """Give the oldest piece to the writer once it is verified. Raises ImageChecksumError; it stays the oldest then."""
    pipe.put(checks[0].end())
    checks.popleft()
    left.pop(0)
    patience.progress()


def _hand_over_good(
    checks: deque[_Check], left: list[chunkmap.Extent], patience: transfer.Patience, pipe: transfer.Pipe
) -> None:
    """After a failure: what came whole before it is written, what came after it is fetched again."""
    try:
        while checks:
            _hand_over(checks, left, patience, pipe)
    except errors.ImageChecksumError:
        for check in checks:
            check.join()
            pipe.give_back(check.piece)


def _second_look(
    error: errors.ImageChecksumError, extent: chunkmap.Extent, reader: transfer.Reader
) -> errors.Unreachable:
    """Fetch a chunk that came damaged once more, alone; give the failure of the way there that patience counts.

    Raises ``error`` when the chunk is damaged at its source, ImageWriteError when the server refuses.
    """
    try:
        buffer = memoryview(bytearray(extent.length))
        reader.open(extent.offset, extent.length).readinto(buffer)
    except errors.Unreachable as broken:
        return broken
    finally:
        reader.close()
    if digest(buffer) != extent.digest:
        raise error
    return errors.Unreachable(f"The image's data at byte {extent.offset} is damaged on the way, but not at its source.")


def _fetch_extent(
    extent: chunkmap.Extent, readinto: Callable[[memoryview], int], pipe: transfer.Pipe
) -> transfer.Piece:
    buffer = pipe.buffer()
    piece = transfer.Piece(extent.offset, memoryview(buffer)[: extent.length], buffer)
    try:
        readinto(piece.view)
    except errors.AgentError:
        pipe.give_back(piece)
        raise
    return piece


def digest(view: memoryview) -> bytes:
    """The blake2b-256 of a chunk."""
    import hashlib  # loads OpenSSL: only when wanted

    return hashlib.blake2b(view, digest_size=32).digest()


def _zeroed(device: blockdev.Device, holes: list[tuple[int, int]]) -> Iterator[int]:
    for offset, length in holes:
        yield from device.zero(offset, length)


def write(
    device: blockdev.Device,
    plan: chunkmap.ChunkMap,
    source: transfer.Source,
    progress: commands.Progress,
    together: sharing.Sharing | None = None,
) -> None:
    """Write the image to the start of the disk; ``together``: with other machines that get it too.

    Raises ImageWriteError, ImageChecksumError, BlockDeviceError.
    """
    progress.begin("clearing the ranges without data")
    for _ in _zeroed(device, plan.holes()):
        pass
    progress.begin("writing the image", sum(extent.length for extent in plan.extents))

    def fill(pipe: transfer.Pipe) -> None:
        reader = transfer.Reader(source)
        patience = transfer.Patience(source, pipe.stopped)
        try:
            for run in plan.runs():
                fetch_run(run, reader, patience, pipe)
        finally:
            reader.close()

    pipe = transfer.Pipe(plan.chunk_size, _BUFFERS, together.fill if together else fill)
    for piece in pipe.pieces():
        device.write(piece.view, piece.offset, page_aligned=True)
        if together:
            together.written(piece)
        progress.add(len(piece.view))
        pipe.give_back(piece)
