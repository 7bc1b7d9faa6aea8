"""The addresses of the machine's own BMC, asked over the IPMI device of the kernel.

May not: change the BMC. Invariant: what the BMC does not tell is "0.0.0.0", "::/0" or "", as Ironic's agent has it.
Source: IPMI 2.0, 23.2 (LAN configuration parameters: 3 address, 5 MAC, 56 static and 59 dynamic IPv6);
include/uapi/linux/ipmi.h.
"""

from __future__ import annotations

import array
import fcntl
import os
import select
import socket
import struct
from dataclasses import dataclass

from ingot_agent import settings

_SEND, _RECEIVE = 0x8028690D, 0xC030690B
_LAN_CONFIGURATION = (0x0C, 0x02)  # network function, command
_ADDRESS, _MAC, _V6_STATIC, _V6_DYNAMIC = 3, 5, 56, 59
_CHANNELS = (1, 8, 2, 3)
_PATIENCE = 3.0


@dataclass(frozen=True)
class Bmc:
    """How the BMC is reached."""

    address: str = "0.0.0.0"
    v6address: str = "::/0"
    mac: str = ""


def _ask(descriptor: int, request: bytes) -> bytes | None:
    """Send one request to the BMC; its answer after the completion code, None when it refused or was silent."""
    place = array.array("B", struct.pack("=ihBx", 0x0C, 0x0F, 0))
    data, answer = array.array("B", request), array.array("B", bytes(256))
    parts = (_LAN_CONFIGURATION[0], _LAN_CONFIGURATION[1], len(request), data.buffer_info()[0])
    order = struct.pack("=QI4xqBBH4xQ", place.buffer_info()[0], len(place), 1, *parts)
    fcntl.ioctl(descriptor, _SEND, order)
    if not select.select([descriptor], [], [], _PATIENCE)[0]:
        return None
    source = array.array("B", bytes(32))
    room = struct.pack(
        "=i4xQI4xqBBH4xQ", 0, source.buffer_info()[0], len(source), 0, 0, 0, len(answer), answer.buffer_info()[0]
    )
    got = bytearray(room)
    fcntl.ioctl(descriptor, _RECEIVE, got)
    length: int = struct.unpack_from("=H", got, 34)[0]
    body = answer.tobytes()[:length]
    return body[2:] if body[:1] == b"\0" else None  # completion code, then the parameter's revision


def _parameter(descriptor: int, channel: int, number: int, entry: int = 0) -> bytes | None:
    return _ask(descriptor, bytes([channel, number, entry, 0]))


def _v6(descriptor: int, channel: int) -> str:
    """The first active IPv6 address: a static one, else a dynamic one."""
    for number in (_V6_STATIC, _V6_DYNAMIC):
        body = _parameter(descriptor, channel, number)
        if body and len(body) >= 20 and any(body[2:18]) and body[2:4] != b"\xfe\x80":
            return socket.inet_ntop(socket.AF_INET6, body[2:18])
    return ""


def find(roots: settings.Roots) -> Bmc:
    """Ask the BMC on each usual channel until one has an address."""
    try:
        descriptor = os.open(f"{roots.dev}/ipmi0", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return Bmc()
    try:
        for channel in _CHANNELS:
            address, mac = _parameter(descriptor, channel, _ADDRESS), _parameter(descriptor, channel, _MAC)
            v6address = _v6(descriptor, channel)
            if (address and any(address[:4])) or v6address:
                text = socket.inet_ntoa(address[:4]) if address and len(address) >= 4 else "0.0.0.0"
                return Bmc(text, v6address or "::/0", mac[:6].hex(":") if mac and len(mac) >= 6 else "")
    except OSError:
        return Bmc()
    finally:
        os.close(descriptor)
    return Bmc()
