"""The chunk map: where a raw image has data, and what each piece must hash to.

Why: the agent skips what is zero, fetches pieces by range, checks each one, and can go on after a break.
May not: read holes. Invariant: every byte outside the extents is zero, and extents are sorted and disjoint.

Form (JSON, UTF-8): ``{"version":1,"size":N,"chunk_size":4194304,"hash":"blake2b-256",
"extents":[[offset,length,"hex"],...]}``; the map's own digest is the blake2b-256 of these bytes.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from ingot.domain import typed

CHUNK_SIZE = 4 * 1024 * 1024
GRAIN = 65536
_HASH = "blake2b-256"
_WORKERS = min(4, os.cpu_count() or 1)

Progress = Callable[[int, int], None]


class ChunkMap(msgspec.Struct, frozen=True):
    """A raw image of ``size`` bytes; ``extents`` are (offset, length, hex digest) of its non-zero pieces."""

    version: int
    size: int
    chunk_size: int
    hash: str
    extents: list[tuple[int, int, str]]

    @property
    def data_size(self) -> int:
        """Bytes the extents cover: what the agent has to write."""
        return sum(length for _, length, _ in self.extents)


def build(raw: Path, progress: Progress | None = None) -> bytes:
    """Return the chunk map of ``raw`` as JSON bytes. Blocking; ``progress(done, size)`` in bytes."""
    size = raw.stat().st_size
    extents: list[tuple[int, int, str]] = []
    with raw.open("rb") as file, ThreadPoolExecutor(_WORKERS, thread_name_prefix="chunks") as pool:
        fd = file.fileno()

        def measured(window: tuple[int, int]) -> list[tuple[int, int, str]]:
            return _measure(fd, *window)

        # A bounded number of windows at a time: a large image must not queue a million jobs.
        windows = list(_windows(fd, size))
        step = _WORKERS * 8
        for index in range(0, len(windows), step):
            group = windows[index : index + step]
            for found in pool.map(measured, group):
                extents += found
            if progress:
                progress(sum(group[-1]), size)
    return msgspec.json.encode(ChunkMap(1, size, CHUNK_SIZE, _HASH, extents))


def digest(data: bytes | memoryview) -> str:
    """Return the blake2b-256 of ``data`` in hex."""
    return hashlib.blake2b(data, digest_size=32).hexdigest()


def parse(data: bytes) -> ChunkMap:
    """Return the map in ``data``; raises msgspec.DecodeError or msgspec.ValidationError."""
    return typed.decode(data, ChunkMap)


def _windows(fd: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield (offset, length) of allocated parts, cut at multiples of the chunk size."""
    position = 0
    while position < size:
        try:
            start = os.lseek(fd, position, os.SEEK_DATA)
        except OSError:  # ENXIO: only a hole is left
            return
        end = min(size, -(-os.lseek(fd, start, os.SEEK_HOLE) // GRAIN) * GRAIN)
        start = max(position, start // GRAIN * GRAIN)
        while start < end:
            stop = min(end, (start // CHUNK_SIZE + 1) * CHUNK_SIZE)
            yield start, stop - start
            start = stop
        position = end


def _measure(fd: int, offset: int, length: int) -> list[tuple[int, int, str]]:
    """Return the non-zero pieces of one window, looking at grains of 64 KiB."""
    data = memoryview(_read(fd, offset, length))
    zero = memoryview(bytes(GRAIN))
    pieces: list[tuple[int, int, str]] = []
    begin: int | None = None
    for start in range(0, length + GRAIN, GRAIN):
        grain = data[start : start + GRAIN]
        empty = len(grain) == 0 or grain == zero[: len(grain)]
        if empty and begin is not None:
            end = min(start, length)
            pieces.append((offset + begin, end - begin, digest(data[begin:end])))
            begin = None
        elif not empty and begin is None:
            begin = start
    return pieces


def _read(fd: int, offset: int, length: int) -> bytes:
    parts: list[bytes] = []
    while length:
        part = os.pread(fd, length, offset)
        if not part:
            raise EOFError("The image became shorter while its chunk map was made.")
        parts.append(part)
        offset, length = offset + len(part), length - len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)
