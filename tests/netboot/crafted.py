"""A DHCP client that is nothing but its packets, for firmware that no client program poses as.

Run inside a network namespace: ``crafted.py 4|6 CARD MAC ARCHITECTURE CLASS [ipxe]`` sends one request and prints a
line of JSON for each answer until a second after the first. A proxy that offers no file is then asked on its port
4011, as PXE clients do. Sources: RFC 2131, RFC 4578, PXE 2.1 section 2 (IPv4); RFC 8415, RFC 5970 (IPv6).
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
import sys
import time
from collections.abc import Iterator

_FIRST, _WAIT = 4.0, 1.0
_COOKIE = b"\x63\x82\x53\x63"


def option4(code: int, value: bytes) -> bytes:
    return bytes((code, len(value))) + value


def request4(mac: bytes, architecture: int, vendor: bytes, *, ipxe: bool, own: bytes = b"") -> bytes:
    """DHCPDISCOVER with the broadcast flag; with an ``own`` address the DHCPREQUEST to a proxy's port 4011."""
    flags = 0 if own else 0x8000
    head = struct.pack("!BBBBIHH", 1, 1, 6, 0, int.from_bytes(os.urandom(4), "big"), 0, flags)
    body = option4(53, b"\3" if own else b"\1") + option4(60, vendor) + option4(93, struct.pack("!H", architecture))
    body += option4(94, b"\1\3\x10") + option4(97, b"\0" + mac * 2 + b"\0" * 4)
    body += option4(55, bytes((1, 3, 43, 60, 66, 67)))
    if own and architecture == 0:
        body += option4(43, option4(71, b"\x80\0\0\0") + b"\xff")
    if ipxe:
        body += option4(175, b"\xb1\1\4")
    return head + own.ljust(16, b"\0") + mac.ljust(16, b"\0") + bytes(192) + _COOKIE + body + b"\xff"


def read4(data: bytes) -> dict[str, str]:
    """The server's, the offered address, the vendor class, and the boot file, from the header or option 67."""
    found: dict[int, bytes] = {}
    rest = data[240:]
    while rest and rest[0] != 255:
        if rest[0] == 0:
            rest = rest[1:]
            continue
        found[rest[0]] = rest[2 : 2 + rest[1]]
        rest = rest[2 + rest[1] :]
    file = data[108:236].partition(b"\0")[0] or found.get(67, b"").rstrip(b"\0")
    return {
        "server": socket.inet_ntoa(found.get(54, bytes(4))),
        "address": socket.inet_ntoa(data[16:20]),
        "class": found.get(60, b"").decode(),
        "file": file.decode(),
        "ipxe": found.get(175, b"").hex(),
        "menu": found.get(43, b"").decode("latin-1"),
    }


def option6(code: int, value: bytes) -> bytes:
    return struct.pack("!HH", code, len(value)) + value


def solicit(mac: bytes, architecture: int, vendor: bytes, *, ipxe: bool) -> bytes:
    """SOLICIT for one address; the DUID is not of the MAC, as that of firmware seldom is."""
    body = option6(1, struct.pack("!HH", 4, 0) + os.urandom(14)) + option6(3, mac[:4] + bytes(8))
    body += option6(6, struct.pack("!HH", 59, 16)) + option6(8, b"\0\0") + option6(61, struct.pack("!H", architecture))
    body += option6(16, struct.pack("!IH", 343, len(vendor)) + vendor)
    if ipxe:
        body += option6(15, struct.pack("!H", 4) + b"iPXE")
    return bytes((1,)) + os.urandom(3) + body


def read6(data: bytes) -> dict[str, str]:
    """The offered address, the vendor class, the boot URL."""
    found: dict[int, bytes] = {}
    rest = data[4:]
    while len(rest) >= 4:
        code, length = struct.unpack_from("!HH", rest)
        found[code], rest = rest[4 : 4 + length], rest[4 + length :]
    inner = found.get(3, b"")[12:]
    address = socket.inet_ntop(socket.AF_INET6, inner[4:20]) if len(inner) >= 20 else ""
    return {"address": address, "class": found.get(16, b"").hex(), "file": found.get(59, b"").decode()}


def answers(asked: socket.socket) -> Iterator[bytes]:
    """What arrives until a second after the first answer; a busy host may be slow to give that."""
    end = time.monotonic() + _FIRST
    while (left := end - time.monotonic()) > 0:
        asked.settimeout(left)
        with contextlib.suppress(TimeoutError):
            yield asked.recv(4096)
            end = min(end, time.monotonic() + _WAIT)


def main() -> None:
    version, card, mac, architecture, vendor, *more = sys.argv[1:]
    words = (bytes.fromhex(mac.replace(":", "")), int(architecture), vendor.encode())
    family, port = (socket.AF_INET, 68) if version == "4" else (socket.AF_INET6, 546)
    with socket.socket(family, socket.SOCK_DGRAM) as asked:
        asked.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, card.encode())
        asked.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        asked.bind(("", port))
        if version == "4":
            asked.sendto(request4(*words, ipxe=bool(more)), ("255.255.255.255", 67))
        else:
            asked.sendto(solicit(*words, ipxe=bool(more)), ("ff02::1:2", 547, 0, socket.if_nametoindex(card)))
        found = [(read4 if version == "4" else read6)(data) for data in answers(asked)]
        offers = [one for one in found if one.get("class") == "PXEClient" and not one["file"]]
        proxies = [one["server"] for one in offers if one["address"] == "0.0.0.0"]
        own = socket.inet_aton("172.22.9.99")
        for proxy in proxies:
            asked.sendto(request4(*words, ipxe=bool(more), own=own), (proxy, 4011))
        for one in (*found, *(read4(data) for data in (answers(asked) if proxies else ()))):
            print(json.dumps(one), flush=True)


if __name__ == "__main__":
    main()
