"""What a disk keeps its blocks on: a file, with blocks that are dead when a test says so.

May not: know a protocol. Invariant: a dead block is neither read nor written, and all before it in the same request is.
"""

from __future__ import annotations

import os
from pathlib import Path

BLOCK = 512


class DeadBlockError(Exception):
    """The medium has no good block at ``place``."""

    def __init__(self, place: int) -> None:
        self.place = place
        super().__init__(f"block {place} is dead")


class Media:
    """``path`` as a disk of ``size`` bytes (whole blocks); ``dead``: blocks that fail from now on."""

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        self.blocks = size // BLOCK
        self.dead: set[int] = set()
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.ftruncate(self._descriptor, self.blocks * BLOCK)

    def close(self) -> None:
        """Let go of the file, which stays."""
        os.close(self._descriptor)

    def read(self, first: int, count: int) -> bytes:
        """``count`` blocks from ``first``. Raises DeadBlockError."""
        self._meet(first, count)
        return os.pread(self._descriptor, count * BLOCK, first * BLOCK)

    def write(self, first: int, data: bytes) -> None:
        """Keep whole blocks from ``first``. Raises DeadBlockError, with what lies before that block kept."""
        try:
            self._meet(first, len(data) // BLOCK)
        except DeadBlockError as error:
            os.pwrite(self._descriptor, data[: (error.place - first) * BLOCK], first * BLOCK)
            raise
        os.pwrite(self._descriptor, data, first * BLOCK)

    def wipe(self) -> None:
        """All blocks are zeros, the dead ones too: a disk's own erase reaches what it no longer shows."""
        os.ftruncate(self._descriptor, 0)
        os.ftruncate(self._descriptor, self.blocks * BLOCK)

    def _meet(self, first: int, count: int) -> None:
        met = [place for place in self.dead if first <= place < first + count]
        if met:
            raise DeadBlockError(min(met))
