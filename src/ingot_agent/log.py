"""Write short lines to the console and keep the last ones for the conductor.

May not: see secrets (callers never pass tokens or config drives). Invariant: a line never raises; a broken
console loses it.
"""

from __future__ import annotations

import os
import sys
import threading
import time

_LIMIT = 4000
_lines: list[str] = []
_lock = threading.Lock()
_consoles: list[int] = []


def open_consoles(sys_root: str, dev_root: str) -> None:
    """Write to every active console from now on (a server's screen and its serial line), not only the last one."""
    try:
        with open(f"{sys_root}/class/tty/console/active", encoding="ascii") as file:
            names = file.read().split()
    except OSError:
        return
    for name in names[:-1]:  # the last one is /dev/console, that is our standard output
        try:
            _consoles.append(os.open(f"{dev_root}/{name}", os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK))
        except OSError:
            continue


def line(text: str) -> None:
    """Print one line with the seconds since the start of the machine."""
    entry = f"{time.monotonic():9.2f} {text}"
    with _lock:
        _lines.append(entry)
        del _lines[:-_LIMIT]
    for descriptor in (sys.stdout.fileno(), *_consoles):
        try:
            os.write(descriptor, f"ingot: {entry}\n".encode("utf-8", "replace"))
        except OSError:
            continue


def kept() -> str:
    """Give the lines kept so far as one text."""
    with _lock:
        return "\n".join(_lines) + "\n"
