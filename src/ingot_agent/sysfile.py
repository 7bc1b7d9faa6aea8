"""Read the one-line files of /sys and /proc; an absent or unreadable one is "".

May not: raise for a missing file. Invariant: text is stripped.
"""

from __future__ import annotations

import os


def read(path: str) -> str:
    """Give a file's text without surrounding blanks, "" when it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip().strip("\0").strip()
    except OSError:
        return ""


def number(path: str, default: int = 0) -> int:
    """Give a file's whole number (decimal or 0x...), ``default`` when there is none."""
    try:
        return int(read(path), 0)
    except ValueError:
        return default


def names(folder: str) -> list[str]:
    """Names in a folder, sorted; none when it is absent."""
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def link(path: str) -> str:
    """The real path behind a link, "" when there is none."""
    return os.path.realpath(path) if os.path.exists(path) else ""
