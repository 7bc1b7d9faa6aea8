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
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Protocol

from ingot.images import sparse

TOO_LARGE = 3
_BLOCK = 1024 * 1024
_ZSTD = ("zstd", "-d", "-c", "-q", "--memory=128MB")
"""Its library is Python's own from 3.14 on; for older ones it would be the largest of all that the service needs."""


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def main(source: str, target: str, kind: str, limit: int) -> int:
    """Unpack; the exit code."""
    try:
        with Path(source).open("rb") as packed, Path(target).open("wb") as file:
            if kind == "zstd":
                return _write_zstd(packed, file.fileno(), limit)
            with gzip.GzipFile(fileobj=packed) if kind == "gzip" else lzma.LZMAFile(packed) as reader:
                return _write(reader, file.fileno(), limit)
    except (gzip.BadGzipFile, EOFError, zlib.error, lzma.LZMAError, MemoryError) as error:
        reason = str(error) or "it needs more memory than allowed"
    except OSError as error:
        reason = error.strerror or str(error)
    sys.stderr.write(reason + "\n")
    return 1


def _write_zstd(packed: io.BufferedReader, fd: int, limit: int) -> int:
    """By the program, whose limits are ours. Raises EOFError with its last words when the stream is not whole."""
    with subprocess.Popen(_ZSTD, stdin=packed, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as program:
        assert program.stdout is not None
        assert program.stderr is not None
        if _write(program.stdout, fd, limit):
            program.kill()
            return TOO_LARGE
        said = program.stderr.read().decode(errors="replace").strip()
    if program.returncode:
        raise EOFError(said.rpartition(": ")[2] or f"zstd ended with {program.returncode}")
    return 0


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
