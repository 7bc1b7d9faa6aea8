"""Entries of the image cache on the disk: a folder per image, named by its checksum.

May not: fetch or build. Invariant: an entry is a folder that appeared by one rename with ``entry.json`` inside, and
counts only while its files match that.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

import msgspec

from ingot.domain import typed
from ingot.images import chunks, formats

PART = "part-"
_LENGTHS = {"md5": 32, "sha256": 64, "sha384": 96, "sha512": 128}


class CachedImage(msgspec.Struct, frozen=True):
    """A raw image ready to serve: ``size`` in bytes, ``sha256`` of the raw bytes, its chunk map."""

    key: str
    path: Path
    size: int
    chunks_path: Path
    chunks_digest: str
    sha256: str


class Entry(msgspec.Struct, frozen=True):
    """What ``entry.json`` holds: what the files must be, and ``found``, the format the image came in."""

    size: int
    mtime_ns: int
    chunks_digest: str
    sha256: str
    found: formats.Format


def is_key(name: str) -> bool:
    """Tell whether ``name`` could be an entry: an algorithm, a dash and a hex digest."""
    algo, _, value = name.partition("-")
    return len(value) == _LENGTHS.get(algo, -1) and value.isalnum()


def cached(root: Path, key: str, entry: Entry) -> CachedImage:
    """The entry as the cache's users see it."""
    folder = root / key
    return CachedImage(key, folder / "disk.raw", entry.size, folder / "chunks.json", entry.chunks_digest, entry.sha256)


def load(root: Path, key: str) -> Entry | None:
    """The entry ``key`` if it is there and, by size and time, as it was written. Blocking."""
    folder = root / key
    try:
        entry = typed.decode((folder / "entry.json").read_bytes(), Entry)
        info = (folder / "disk.raw").stat()
        whole = (info.st_size, info.st_mtime_ns) == (entry.size, entry.mtime_ns)
        same_map = chunks.digest((folder / "chunks.json").read_bytes()) == entry.chunks_digest
    except (OSError, msgspec.DecodeError):
        return None
    return entry if whole and same_map else None


def is_sound(root: Path, key: str) -> bool:
    """Read all data of an entry and tell whether it still is what its chunk map says. Blocking, for minutes."""
    entry = load(root, key)
    if entry is None:
        return False
    try:
        return chunks.digest(chunks.build(root / key / "disk.raw")) == entry.chunks_digest
    except (OSError, EOFError):
        return False


def touch(root: Path, key: str) -> None:
    """Note that the entry is being used now."""
    with contextlib.suppress(OSError):
        os.utime(root / key / "entry.json")


def renew(part: Path) -> None:
    """Make an empty folder to build an entry in."""
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)


def publish(part: Path, root: Path, key: str) -> None:
    """Give the built folder its name, once all of it is on the disk."""
    folder = root / key
    shutil.rmtree(folder, ignore_errors=True)
    for path in part.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    part.rename(folder)
