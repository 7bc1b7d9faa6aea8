"""What the switches say about themselves (LLDP), heard on raw sockets of all interfaces at once.

May not: send. Invariant: it listens for the given time and no longer, or until every interface with a link was told
something. Source: IEEE 802.1AB-2016, clause 8; the pairs of type and hexadecimal text are the agent protocol's.
"""

from __future__ import annotations

import select
import socket
import struct
import time

from ingot_agent import log, nics, settings, sysfile

_ETHERTYPE = 0x88CC
_GROUPS = ("01:80:c2:00:00:0e", "01:80:c2:00:00:03", "01:80:c2:00:00:00")
_SOL_PACKET, _ADD_MEMBERSHIP, _MULTICAST = 263, 1, 0
_LINK = 5.0  # seconds after which an interface that was just switched on has a link if it ever gets one
Values = list[list[int | str]]


def parse(frame: bytes) -> Values:
    """The type-length-values of an Ethernet frame as ``[type, hex]`` pairs, up to the end marker."""
    at = 14
    found: Values = []
    while at + 2 <= len(frame):
        head = struct.unpack_from(">H", frame, at)[0]
        kind, length = head >> 9, head & 0x1FF
        if at + 2 + length > len(frame):
            break
        found.append([kind, frame[at + 2 : at + 2 + length].hex()])
        if kind == 0:
            break
        at += 2 + length
    return found


def _listener(name: str, number: int) -> socket.socket | None:
    try:
        listener = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETHERTYPE))
        listener.bind((name, _ETHERTYPE))
        for group in _GROUPS:
            address = bytes.fromhex(group.replace(":", ""))
            member = struct.pack("iHH8s", number, _MULTICAST, len(address), address)
            listener.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, member)
    except OSError as error:
        log.line(f"LLDP cannot be heard on {name}: {error}")
        return None
    return listener


def collect(names: list[str], seconds: float, roots: settings.Roots) -> dict[str, Values]:
    """What was heard, by interface; nothing for one that was told nothing."""
    listeners: dict[socket.socket, str] = {}
    for name in names:
        if nics.is_up(name, roots):
            listener = _listener(name, sysfile.number(f"{roots.sys}/class/net/{name}/ifindex"))
            if listener is not None:
                listeners[listener] = name
    found: dict[str, Values] = {}
    begun = time.monotonic()
    while (left := begun + seconds - time.monotonic()) > 0:
        young = time.monotonic() - begun < _LINK
        if not any(young or _has_link(name, roots) for name in listeners.values() if name not in found):
            break
        for one in select.select(list(listeners), [], [], min(left, 1.0))[0]:
            values = parse(one.recv(9000))
            if values:
                found[listeners[one]] = values
    for one in listeners:
        one.close()
    return found


def _has_link(name: str, roots: settings.Roots) -> bool:
    return sysfile.read(f"{roots.sys}/class/net/{name}/carrier") == "1"
