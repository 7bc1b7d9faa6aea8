"""Compress and expand by the program zstd.

May not: know what the bytes are. Invariant: the same bytes and level give the same result on one host.
"""

from __future__ import annotations

import subprocess

_LIMIT = 900.0  # seconds; it takes ten


def compress(body: bytes, level: int = 12) -> bytes:
    """Give the zstandard form; one thread, so that the bytes do not depend on the number of cores."""
    return _run([f"-{level}", "--no-check", "--single-thread", "-c"], body)


def expand(body: bytes) -> bytes:
    """Give the plain bytes."""
    return _run(["-d", "-c"], body)


def _run(arguments: list[str], body: bytes) -> bytes:
    command = ["zstd", "-q", *arguments]
    return subprocess.run(command, input=body, stdout=subprocess.PIPE, check=True, timeout=_LIMIT).stdout
