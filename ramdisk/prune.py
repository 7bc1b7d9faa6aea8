"""Keeps the builder's cache bounded: built ramdisks, remembered plans and downloaded packages that nothing uses, and
what killed builds left.

May not: raise. Invariant: what was used within ``SPARED`` seconds stays, for another build may be reading it.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

SPARED = 24 * 3600.0
_KEPT = {"ramdisks": 4, "plans": 16, "packages": 80}


def use(path: Path) -> None:
    """Note that something in the cache is being used now."""
    try:
        os.utime(path)
    except OSError:
        return


def prune(cache: Path) -> None:
    """Remove from the cache folder what was used longest ago, beyond the numbers above."""
    _remove([one for one in _entries(cache) if one.name.startswith("build-")], 0)
    ramdisks = [one for one in _entries(cache) if (one / "manifest.json").exists()]
    _remove(ramdisks, _KEPT["ramdisks"])
    _remove(_entries(cache / "plans"), _KEPT["plans"])
    _remove(_entries(cache / "packages"), _KEPT["packages"])


def _entries(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _remove(entries: list[Path], kept: int) -> None:
    by_age = sorted(entries, key=_used, reverse=True)
    for entry in by_age[kept:]:
        if time.time() - _used(entry) < SPARED:
            continue
        if entry.is_dir():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)


def _used(entry: Path) -> float:
    try:
        return entry.stat().st_mtime
    except OSError:
        return 0.0
