"""Writes disk content so that runs of zeros become holes.

Why: most of a disk image is zeros; holes cost neither space nor time, and the chunk map skips them.
May not: set a file's length. Invariant: what is read back equals what was given, given a new or truncated file.
"""

from __future__ import annotations

import os

GRAIN = 65536
_ZERO = bytes(GRAIN)


def write(fd: int, position: int, block: bytes) -> None:
    """Write ``block`` at ``position`` of the file ``fd``, leaving out its grains of zeros."""
    pending: int | None = None
    for start in range(0, len(block), GRAIN):
        piece = block[start : start + GRAIN]
        empty = piece == _ZERO[: len(piece)]
        if empty and pending is not None:
            _write_all(fd, position + pending, block[pending:start])
            pending = None
        elif not empty and pending is None:
            pending = start
    if pending is not None:
        _write_all(fd, position + pending, block[pending:] if pending else block)


def _write_all(fd: int, position: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        count = os.pwrite(fd, view, position)
        view, position = view[count:], position + count
