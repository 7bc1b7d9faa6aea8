"""Keeps the image cache within its size: the least recently used entries go first.

May not: remove what somebody builds or may be reading. Invariant: a folder is removed only under its entry's lock.
"""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import time
from pathlib import Path

from ingot.images import entries


def shrink(root: Path, cap: int, keep: float, newest: str = "") -> int:
    """Remove leftovers, and entries until ``cap`` bytes hold; how many entries went. Blocking.

    What was used within ``keep`` seconds stays, and ``newest`` too.
    """
    remove_leftovers(root)
    found: list[tuple[float, int, Path]] = []
    for path in root.iterdir():
        with contextlib.suppress(OSError):
            if entries.is_key(path.name):
                blocks = sum(inner.stat().st_blocks for inner in path.iterdir())
                found.append((path.joinpath("entry.json").stat().st_mtime, blocks * 512, path))
    total, gone = sum(size for _, size, _ in found), 0
    for used, size, path in sorted(found):
        if total <= cap:
            break
        if path.name != newest and time.time() - used > keep and remove(root, path.name):
            total, gone = total - size, gone + 1
    return gone


def remove_leftovers(root: Path) -> None:
    """Remove what killed processes were building; what is being built is locked and stays."""
    for path in list(root.iterdir()):
        key = path.name.removeprefix(entries.PART)
        if key != path.name and entries.is_key(key):
            remove(root, key, path)


def remove(root: Path, key: str, folder: Path | None = None) -> bool:
    """Remove an entry (or ``folder``, which belongs to it); False while somebody holds its lock."""
    with (root / f"{key}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        shutil.rmtree(folder or root / key, ignore_errors=True)
    return True


def try_lock(fd: int) -> bool:
    """Take an entry's lock, which dies with its holder; False when somebody has it."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
