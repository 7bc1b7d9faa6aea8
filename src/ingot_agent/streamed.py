"""Write a raw image as it streams in, with its checksum taken on the way.

Why: any conductor can order it; ours sends a chunk map instead. May not: leave stale bytes where the image
has zeros. Invariant: when ``write`` returns, the disk's first bytes are the image and its checksum was
right.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

from ingot_agent import blockdev, commands, errors, sysfile, transfer, wire

_BUFFER = 4 << 20
_BUFFERS = 4
_BLOCK = 64 << 10
_ZERO_BLOCK = bytes(_BLOCK)


@dataclass(frozen=True)
class Checksum:
    """The promise: algorithm (a name hashlib knows) and value in hex."""

    algorithm: str
    value: str


class Digest:
    """The checksum of what passes, compared with the promise at the end."""

    def __init__(self, promise: Checksum) -> None:
        import hashlib  # loads OpenSSL: only when wanted

        self._promise = promise
        self._found = hashlib.new(promise.algorithm)

    def update(self, view: memoryview) -> None:
        """Take the next bytes."""
        self._found.update(view)

    def judge(self) -> None:
        """Compare. Raises ImageChecksumError."""
        found = self._found.hexdigest()
        if found != self._promise.value.lower():
            raise errors.ImageChecksumError(
                f"The image has the wrong {self._promise.algorithm} checksum: expected {self._promise.value}, got "
                f"{found}. "
                "The image was changed or damaged, or the checksum belongs to another file: correct one of them."
            )


def can_zero_quickly(device: blockdev.Device, sys_root: str) -> bool:
    """Tell whether the disk zeroes ranges without having them sent to it."""
    name = device.path.rpartition("/")[2]
    return sysfile.number(f"{sys_root}/class/block/{name}/queue/write_zeroes_max_bytes") > 0


def _is_zero(view: memoryview) -> bool:
    """Cheap for data: most blocks already differ in their first bytes."""
    return bytes(view[:64]) == _ZERO_BLOCK[:64] and bytes(view) == _ZERO_BLOCK[: len(view)]


def _write_data(device: blockdev.Device, piece: transfer.Piece) -> None:
    """Write the non-zero blocks of a piece, touching ones together."""
    view, start = piece.view, -1
    for at in range(0, len(view), _BLOCK):
        if _is_zero(view[at : at + _BLOCK]):
            if start >= 0:
                device.write(view[start:at], piece.offset + start, page_aligned=True)
            start = -1
        elif start < 0:
            start = at
    if start >= 0:
        device.write(view[start:], piece.offset + start, page_aligned=True)


def _pump(response: wire.Response, offset: int, pipe: transfer.Pipe) -> int:
    """Move one answer's body into the pipe.

    Gives the bytes moved. What a broken transfer left over is fetched again.
    """
    moved = 0
    while True:
        buffer = pipe.buffer()
        view = memoryview(buffer)[:]
        try:
            count = response.readinto(view)
        except errors.Unreachable as error:
            pipe.give_back(transfer.Piece(offset, view, buffer))
            raise _Broken(moved) from error
        if count:
            pipe.put(transfer.Piece(offset + moved, view[:count], buffer))
            moved += count
        if count < len(view):
            return moved


class _Broken(errors.Unreachable):
    def __init__(self, moved: int) -> None:
        super().__init__("The transfer broke off.")
        self.moved = moved


def fill(source: transfer.Source, first: wire.Response, reader: transfer.Reader, pipe: transfer.Pipe) -> None:
    """Stream the whole file into the pipe, going on by ranges when the transfer breaks off."""
    patience = transfer.Patience(source, pipe.stopped)
    offset, response = 0, first
    while True:
        try:
            _pump(response, offset, pipe)
            break
        except _Broken as broken:
            offset += broken.moved
            if broken.moved:
                patience.progress()
            response = _again(reader, patience, offset, pipe, broken)
    reader.close()


def _again(
    reader: transfer.Reader,
    patience: transfer.Patience,
    offset: int,
    pipe: transfer.Pipe,
    error: errors.AgentError,
) -> wire.Response:
    """Ask for the rest until an answer comes or patience ends."""
    while True:
        reader.close()
        if pipe.stopped.is_set():
            raise error
        patience.failed(error, offset)
        try:
            return reader.open(offset, None)
        except errors.Unreachable as another:
            error = another


def first_answer(source: transfer.Source, reader: transfer.Reader) -> wire.Response:
    """The answer with the whole file, asked for with patience. Raises ImageWriteError."""
    patience = transfer.Patience(source, threading.Event())
    while True:
        try:
            return reader.open(0, None)
        except errors.Unreachable as error:
            reader.close()
            patience.failed(error, 0)


def write(
    device: blockdev.Device,
    source: transfer.Source,
    checksum: Checksum,
    progress: commands.Progress,
    quick_zero: bool,
) -> int:
    """Write the image; gives its size. Raises ImageWriteError, ImageChecksumError, BlockDeviceError."""
    reader = transfer.Reader(source)
    try:
        response = first_answer(source, reader)
        total = response.left
        if total is not None and total > device.size:
            raise errors.ImageWriteError(
                f"The image has {total} bytes and {device.name} has {device.size}. {device.remedy}"
            )
        sparse = quick_zero and total is not None
        if sparse:
            _clear(device, total or 0, progress)
        progress.begin("writing the image", total or 0)
        pipe = transfer.Pipe(_BUFFER, _BUFFERS, lambda pipe: fill(source, response, reader, pipe))
        return _drain(device, pipe, checksum, progress, sparse)
    finally:
        reader.close()


def _clear(device: blockdev.Device, size: int, progress: commands.Progress) -> None:
    progress.begin("clearing the image's range")
    for _ in device.zero(0, min(-(-size // device.sector) * device.sector, device.size)):
        pass


def _drain(
    device: blockdev.Device,
    pipe: transfer.Pipe,
    checksum: Checksum,
    progress: commands.Progress,
    sparse: bool,
) -> int:
    digest, done = Digest(checksum), 0
    for piece in pipe.pieces():
        digest.update(piece.view)
        check_room(device, piece)
        if sparse:
            _write_data(device, piece)
        else:
            device.write(piece.view, piece.offset, page_aligned=True)
        done = piece.offset + len(piece.view)
        progress.add(len(piece.view))
        pipe.give_back(piece)
    digest.judge()
    return done


def check_room(device: blockdev.Device, piece: transfer.Piece) -> None:
    """Refuse data beyond the disk's end (a server that told no length). Raises ImageWriteError."""
    if piece.offset + len(piece.view) > device.size:
        text = f"The image is larger than {device.name} with its {device.size} bytes. {device.remedy}"
        raise errors.ImageWriteError(text)
