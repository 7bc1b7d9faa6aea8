"""Tells the program that started this one, where it asks to be told (systemd), that the service may be given work.

May not: fail the start. Invariant: nothing is said without a question. Source: sd_notify(3), the environment's
NOTIFY_SOCKET: the path of a datagram socket, or a name in the abstract namespace after "@".
"""

from __future__ import annotations

import contextlib
import os
import socket


def tell_ready() -> None:
    """Say that the start is over."""
    place = os.environ.get("NOTIFY_SOCKET")
    if place:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
            line.sendto(b"READY=1", f"\0{place[1:]}" if place.startswith("@") else place)
