"""Write a qcow2 image as it streams in: its tables first, by ranges, then the whole file once, with its checksum.

Why: a conductor that converts nothing orders it, and a ramdisk has no room to keep a whole image. May not: know the
format (qcow2.py). Invariant: when ``write`` returns, the disk's first bytes are the image and its checksum was right.
"""

from __future__ import annotations

import mmap
import threading
from collections.abc import Callable, Iterator

from ingot_agent import blockdev, commands, errors, qcow2, streamed, transfer, wire

_BUFFER = 4 << 20
_BUFFERS = 4


class _Tables:
    """Reads pieces of the file: by ranges, or, where the server has none, by reading on from its beginning."""

    def __init__(self, source: transfer.Source) -> None:
        self._source = source
        self._ranges = True

    def read(self, wanted: list[tuple[int, int]]) -> list[bytes]:
        """The pieces (offset, length) in this order, each shorter only at the file's end.

        Raises ImageWriteError.
        """
        patience, found = transfer.Patience(self._source, threading.Event()), list[bytes]()
        while len(found) < len(wanted):
            reader = transfer.Reader(self._source)
            try:
                for piece in self._pieces(reader, wanted[len(found) :]):
                    found.append(piece)
                    patience.progress()
            except transfer.NoRanges:
                self._ranges = False
            except errors.Unreachable as error:
                patience.failed(error, wanted[len(found)][0])
            finally:
                reader.close()
        return found

    def _pieces(self, reader: transfer.Reader, wanted: list[tuple[int, int]]) -> Iterator[bytes]:
        if self._ranges:
            for offset, length in wanted:
                yield _read(reader.open(offset, length), length)
            return
        response, at = reader.open(0, None), 0
        for offset, length in wanted:
            if offset < at:
                reader.close()
                response, at = reader.open(0, None), 0
            while at < offset and (skipped := len(_read(response, min(offset - at, _BUFFER)))):
                at += skipped
            piece = _read(response, length)
            at += len(piece)
            yield piece


def _read(response: wire.Response, length: int) -> bytes:
    piece = bytearray(length)
    return bytes(memoryview(piece)[: response.readinto(memoryview(piece))])


def _plan(device: blockdev.Device, source: transfer.Source) -> tuple[qcow2.Header, list[qcow2.Run]]:
    """Header and data of an image that fits. Raises ImageWriteError."""
    tables = _Tables(source)
    head = qcow2.header(tables.read([(0, qcow2.HEAD)])[0])
    if head.size > device.size:
        raise errors.ImageWriteError(
            f"The image has {head.size} bytes and {device.name} has {device.size}. {device.remedy}"
        )
    (l1,) = _whole(tables, [qcow2.l1_range(head)])
    wanted = sorted(qcow2.l2_ranges(head, l1), key=lambda one: one[1])
    found = _whole(tables, [(place, length) for _, place, length in wanted])
    by_guest = sorted(zip((guest for guest, _, _ in wanted), found, strict=True))
    return head, qcow2.runs(head, by_guest)


def _whole(tables: _Tables, wanted: list[tuple[int, int]]) -> list[bytes]:
    """These pieces of the file. Raises ImageWriteError when one of them is not all there."""
    found = tables.read(wanted)
    for (place, length), table in zip(wanted, found, strict=True):
        if len(table) != length:
            raise errors.ImageWriteError(f"The image ends in its tables, at byte {place}. Upload it again.")
    return found


class _Gatherer:
    """Joins neighbouring clusters in one aligned buffer, so that the disk is given large pieces."""

    def __init__(self, device: blockdev.Device) -> None:
        self._device = device
        self._buffer = mmap.mmap(-1, _BUFFER)
        self._start = self._filled = 0

    def add(self, guest: int, data: bytes | memoryview) -> None:
        """Take data (at most one cluster) for a place of the disk. Raises BlockDeviceError."""
        if guest != self._start + self._filled or self._filled + len(data) > _BUFFER:
            self.flush()
            self._start = guest
        self._buffer[self._filled : self._filled + len(data)] = data
        self._filled += len(data)

    def flush(self) -> None:
        """Write what was taken. Raises BlockDeviceError."""
        if self._filled:
            with memoryview(self._buffer) as view, view[: self._filled] as part:
                self._device.write(part, self._start, page_aligned=True)
        self._filled = 0


class _Placer:
    """Brings the file, given piece by piece in its order, to the places of the disk."""

    def __init__(self, device: blockdev.Device, head: qcow2.Header, runs: list[qcow2.Run]) -> None:
        self._device, self._head, self._runs = device, head, runs
        self._next = 0
        self._open: list[tuple[qcow2.Run, bytearray]] = []
        self._out = _Gatherer(device)

    def take(self, offset: int, view: memoryview) -> None:
        """The next piece of the file. Raises ImageWriteError, BlockDeviceError."""
        end, still = offset + len(view), list[tuple[qcow2.Run, bytearray]]()
        while self._next < len(self._runs) and self._runs[self._next].host < end:
            self._open.append((self._runs[self._next], bytearray()))
            self._next += 1
        for run, kept in self._open:
            first, last = max(run.host, offset) - offset, min(run.host + run.size, end) - offset
            if run.packed:
                kept.extend(view[first:last])
            else:
                self._place(run.guest + offset + first - run.host, view[first:last], aligned=first % 4096 == 0)
            if run.host + run.size > end:
                still.append((run, kept))
            elif run.packed:
                self._unpack(run, kept)
        self._open = still

    def end(self, size: int) -> None:
        """The file of ``size`` bytes is over. Raises ImageWriteError when data lacks."""
        for run, kept in self._open:
            if not run.packed:
                raise _cut(run.host, size)
            self._unpack(run, kept)  # its last sector may reach beyond the end
        if self._next < len(self._runs):
            raise _cut(self._runs[self._next].host, size)
        self._out.flush()

    def _place(self, guest: int, part: memoryview, *, aligned: bool) -> None:
        if len(part) < 1 << 18:
            self._out.add(guest, part)
        else:
            self._device.write(part, guest, page_aligned=aligned)

    def _unpack(self, run: qcow2.Run, kept: bytearray) -> None:
        cluster = memoryview(qcow2.unpack(self._head, kept))
        self._out.add(run.guest, cluster[: self._head.size - run.guest])


def _cut(place: int, size: int) -> errors.ImageWriteError:
    return errors.ImageWriteError(f"The image lacks its data at byte {place}: it has {size}. Upload it again.")


def holes(runs: list[qcow2.Run], head: qcow2.Header) -> Iterator[tuple[int, int]]:
    """The ranges (offset, length) of the disk that no run covers: they read as zeros."""
    at = 0
    for run in sorted(runs, key=lambda one: one.guest):
        if run.guest > at:
            yield at, run.guest - at
        at = max(at, run.guest + (head.cluster if run.packed else run.size))
    if at < head.size:
        yield at, head.size - at


def write(
    device: blockdev.Device, source: transfer.Source, checksum: streamed.Checksum, progress: commands.Progress
) -> int:
    """Write the image; gives the size of the disk in it.

    Raises ImageWriteError, ImageChecksumError, BlockDeviceError.
    """
    progress.begin("reading the image's tables")
    head, runs = _plan(device, source)
    progress.begin("clearing the ranges without data")
    for offset, length in holes(runs, head):
        for _ in device.zero(offset, length):
            pass
    placer = _Placer(device, head, runs)
    placer.end(_stream(source, checksum, progress, placer.take))
    return head.size


def _stream(
    source: transfer.Source,
    checksum: streamed.Checksum,
    progress: commands.Progress,
    take: Callable[[int, memoryview], None],
) -> int:
    """The whole file through ``take``, piece by piece; its size. Raises what ``take`` raises, ImageChecksumError."""
    reader = transfer.Reader(source)
    try:
        response = streamed.first_answer(source, reader)
        progress.begin("writing the image", response.left or 0)
        pipe = transfer.Pipe(_BUFFER, _BUFFERS, lambda pipe: streamed.fill(source, response, reader, pipe))
        digest, size = streamed.Digest(checksum), 0
        for piece in pipe.pieces():
            digest.update(piece.view)
            take(piece.offset, piece.view)
            size = piece.offset + len(piece.view)
            progress.add(len(piece.view))
            pipe.give_back(piece)
        digest.judge()
        return size
    finally:
        reader.close()
