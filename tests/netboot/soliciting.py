"""A machine that looks for an IPv6 router: ``soliciting.py CARD MAC HOPS``, run inside a network namespace.

Sends one solicitation from its link-local address (RFC 4861, section 4.1) and prints, as JSON, the answer that comes
within a second, or {}.
"""

from __future__ import annotations

import json
import socket
import struct
import sys


def main(card: str, mac: str, hops: str) -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as link:
        index = socket.if_nametoindex(card)
        link.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, card.encode() + b"\0")
        link.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, int(hops))
        link.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
        link.settimeout(1.0)
        source = bytes((1, 1)) + bytes.fromhex(mac.replace(":", ""))
        link.sendto(struct.pack("!BBHI", 133, 0, 0, 0) + source, ("ff02::2", 0, 0, index))
        print(json.dumps(heard(link)))


def heard(link: socket.socket) -> dict[str, object]:
    while True:
        try:
            data, notes, _, sender = link.recvmsg(1500, socket.CMSG_SPACE(4))
        except TimeoutError:
            return {}
        if data[0] == 134:
            _, _, _, _, flags, lifetime, _, _ = struct.unpack("!BBHBBHII", data[:16])
            found = {"type": data[0], "hops": struct.unpack("=i", notes[0][2])[0], "flags": flags, "lifetime": lifetime}
            return {**found, "options": data[16:].hex(), "from_link": sender[0].startswith("fe80:")}


if __name__ == "__main__":
    main(*sys.argv[1:])
