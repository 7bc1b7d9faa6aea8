"""Unpacks a compressed disk to a sparse file: a program of its own, so that limits bind it and a crash ends it alone.

Run: ``python -m ingot.images.unpack SOURCE TARGET gzip|xz|zstd BYTES``. Exit codes: 0, ``TOO_LARGE`` for more than
BYTES, 1 for anything else, with the reason in a line on standard error. May not: know what is inside.
Invariant: exit code 0 means that the stream was whole.
"""

from __future__ import annotations

import gzip
import io
import lzma
import os
import sys
import zlib
from pathlib import Path
from typing import Protocol

import zstandard

from ingot.images import sparse

TOO_LARGE = 3
_BLOCK = 1024 * 1024


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def main(source: str, target: str, kind: str, limit: int) -> int:
    """Unpack; the exit code."""
    try:
        with Path(source).open("rb") as packed, Path(target).open("wb") as file:
            if kind == "zstd":
                _check_zstd_whole(packed, os.fstat(packed.fileno()).st_size)
            return _write(_reader(packed, kind), file.fileno(), limit)
    except (gzip.BadGzipFile, EOFError, zlib.error, lzma.LZMAError, zstandard.ZstdError, MemoryError) as error:
        reason = str(error) or "it needs more memory than allowed"
    except OSError as error:
        reason = error.strerror or str(error)
    sys.stderr.write(reason + "\n")
    return 1


def _reader(packed: io.BufferedReader, kind: str) -> _Readable:
    match kind:
        case "gzip":
            return gzip.GzipFile(fileobj=packed)
        case "xz":
            return lzma.LZMAFile(packed)
        case _:
            unpacker = zstandard.ZstdDecompressor(max_window_size=1 << 27)
            return unpacker.stream_reader(packed, read_across_frames=True)


def _check_zstd_whole(packed: io.BufferedReader, size: int) -> None:
    """Walk the frames and blocks by their headers: the library's reader ends silently at a cut-off file.

    Source: RFC 8878 sections 3.1.1 and 3.1.2. Raises EOFError.
    """
    position = 0
    while position < size:
        packed.seek(position)
        head = packed.read(18)
        if len(head) >= 8 and head[1:4] == b"\x2a\x4d\x18" and head[0] & 0xF0 == 0x50:  # a skippable frame
            position += 8 + int.from_bytes(head[4:8], "little")
            continue
        position += zstandard.frame_header_size(head)
        last = False
        while not last:
            packed.seek(position)
            block = int.from_bytes(packed.read(3), "little")
            last, kind = bool(block & 1), block >> 1 & 3
            position += 3 + (1 if kind == 1 else block >> 3)
            if position > size:
                raise EOFError("it is cut off")
        position += 4 * zstandard.get_frame_parameters(head).has_checksum
    packed.seek(0)
    if position > size:
        raise EOFError("it is cut off")


def _write(packed: _Readable, fd: int, limit: int) -> int:
    """Copy until the end, leaving runs of zeros as holes."""
    position = 0
    while block := packed.read(_BLOCK):
        if position + len(block) > limit:
            return TOO_LARGE
        sparse.write(fd, position, block)
        position += len(block)
    os.truncate(fd, position)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
