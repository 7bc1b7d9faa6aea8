"""Which MAC address stands behind an IP address on our own links, asked from the kernel's neighbour table.

Why: firmware that boots over HTTP asks for a fixed URL and does not say who it is. May not: send anything to the
network. Source: rtnetlink(7), RTM_GETNEIGH.
"""

from __future__ import annotations

import socket
import struct
from ipaddress import ip_address

_NETLINK_ROUTE = 0
_GET_NEIGHBOURS, _DONE, _ERROR = 30, 3, 2
_REQUEST_DUMP = 0x301
_DESTINATION, _LINK_ADDRESS = 1, 2
_HEAD = struct.Struct("=IHHII")
_NEIGHBOUR = struct.Struct("=BxxxiHBB")
_ATTRIBUTE = struct.Struct("=HH")


def mac_of(address: str) -> str | None:
    """The MAC address that ``address`` was last seen with, None when it is not on one of our links."""
    wanted = ip_address(address)
    family = socket.AF_INET if wanted.version == 4 else socket.AF_INET6
    for found in _dump(family):
        link = found.get(_LINK_ADDRESS, b"")
        if found.get(_DESTINATION) == wanted.packed and len(link) == 6:
            return link.hex(":")
    return None


def _dump(family: int) -> list[dict[int, bytes]]:
    """The attributes of every neighbour."""
    found: list[dict[int, bytes]] = []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_ROUTE) as asked:
        asked.settimeout(5)
        body = _NEIGHBOUR.pack(family, 0, 0, 0, 0)
        asked.send(_HEAD.pack(_HEAD.size + len(body), _GET_NEIGHBOURS, _REQUEST_DUMP, 1, 0) + body)
        while True:
            data = asked.recv(1 << 16)
            while data:
                length, kind, *_ = _HEAD.unpack_from(data)
                if kind in (_DONE, _ERROR):
                    return found
                found.append(_attributes(data[_HEAD.size + _NEIGHBOUR.size : length]))
                data = data[(length + 3) & ~3 :]


def _attributes(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    while len(data) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data)
        found[kind] = data[_ATTRIBUTE.size : length]
        data = data[(max(length, _ATTRIBUTE.size) + 3) & ~3 :]
    return found
