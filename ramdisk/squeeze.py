"""Compress and expand with zstandard, by the Python package when there is one, else by the zstd program.

May not: know what the bytes are. Invariant: the same bytes and level give the same result on one host.
"""

from __future__ import annotations

import importlib
import importlib.util
import shutil
import subprocess

_LIMIT = 900.0  # seconds; it takes ten


def available() -> bool:
    """Tell whether this host can compress at all."""
    return importlib.util.find_spec("zstandard") is not None or shutil.which("zstd") is not None


def _program(arguments: list[str], body: bytes) -> bytes:
    command = ["zstd", "-q", *arguments]
    return subprocess.run(command, input=body, stdout=subprocess.PIPE, check=True, timeout=_LIMIT).stdout


def compress(body: bytes, level: int = 12) -> bytes:
    """Give the zstandard form; one thread, so that the bytes do not depend on the number of cores."""
    if importlib.util.find_spec("zstandard") is None:
        return _program([f"-{level}", "--no-check", "--single-thread", "-c"], body)
    package = importlib.import_module("zstandard")
    return bytes(package.ZstdCompressor(level=level, write_checksum=False).compress(body))


def expand(body: bytes) -> bytes:
    """Give the plain bytes."""
    if importlib.util.find_spec("zstandard") is None:
        return _program(["-d", "-c"], body)
    package = importlib.import_module("zstandard")
    return bytes(package.ZstdDecompressor().decompressobj().decompress(body))
