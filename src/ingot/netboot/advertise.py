"""Tells known machines at once that an IPv4 provisioning network has no IPv6 router.

Why: iPXE begins to boot only when it knows that nobody offers IPv6: it solicits a router six times, some fifteen
seconds in all, unless one answers (RFC 4861, section 6.3.7; iPXE's ndp.c). The answer here is of a router for nobody:
its lifetime is 0, so no machine takes it for a way out (section 4.2), and it names no prefix. May not: answer machines
of no known port, or all machines at once. Where it cannot be sent, machines boot as without it, only later.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable

import structlog

_log = structlog.get_logger("ingot.netboot")
_SOLICITATION, _ADVERTISEMENT = 133, 134
_FILTER = 1
"""ICMP6_FILTER, which Python has no name for (linux/icmpv6.h); a bit that is set keeps its type of message out."""
_ALL_ROUTERS = socket.inet_pton(socket.AF_INET6, "ff02::2")
_HOPS = 255
"""Whatever has passed a router has fewer left, and is no neighbour's (RFC 4861, section 6.1.1)."""
_HEAD, _LINK_LAYER = 8, 1
_BOUND = 62
"""SO_BINDTOIFINDEX, which Python has no name for (asm-generic/socket.h): the interface that a socket is bound to."""
_LOOK = 5.0
"""Seconds after which is looked for an interface that was not there, has no IPv6, or was made anew under its name."""
_NO_ROUTER = struct.pack("!BBHBBHII", _ADVERTISEMENT, 0, 0, 0, 0, 0, 0, 0)
"""Everything unspecified, lifetime 0; the kernel puts the checksum in (RFC 3542, section 3.1)."""


async def run(interface: str, known: Callable[[str], bool]) -> None:
    """Answer on ``interface`` until cancelled; ``known`` says whether a MAC address is answered."""
    told = ""
    while True:
        try:
            with _listening(interface) as listener:
                await _serve(listener, interface, known)
                continue
        except OSError as error:
            if told != str(error):
                told = str(error)
                _log.info("iPXE will wait for IPv6 routers, some seconds for each boot", interface=interface, why=told)
        await asyncio.sleep(_LOOK)


def _listening(interface: str) -> socket.socket:
    """A socket that hears the router solicitations of one link. Raises OSError."""
    found = socket.socket(socket.AF_INET6, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.IPPROTO_ICMPV6)
    try:
        blocked = ~(1 << _SOLICITATION) & ((1 << 256) - 1)
        words = (blocked >> shift & 0xFFFFFFFF for shift in range(0, 256, 32))
        found.setsockopt(socket.IPPROTO_ICMPV6, _FILTER, struct.pack("=8I", *words))
        found.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode() + b"\0")
        index = struct.pack("=I", socket.if_nametoindex(interface))
        found.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, _ALL_ROUTERS + index)
        found.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, _HOPS)
        found.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
    except OSError:
        found.close()
        raise
    return found


async def _serve(listener: socket.socket, interface: str, known: Callable[[str], bool]) -> None:
    """Answer until the interface is another one: this socket hears nothing of that. Raises OSError."""
    loop, failed = asyncio.get_running_loop(), asyncio.get_running_loop().create_future()

    def hear() -> None:
        try:
            _answer(listener, known)
        except BlockingIOError:
            pass
        except OSError as error:
            if not failed.done():
                failed.set_exception(error)

    loop.add_reader(listener, hear)
    try:
        while not failed.done() and socket.if_nametoindex(interface) == listener.getsockopt(socket.SOL_SOCKET, _BOUND):
            await asyncio.wait((failed,), timeout=_LOOK)
        if failed.done():
            failed.result()
    finally:
        loop.remove_reader(listener)


def _answer(listener: socket.socket, known: Callable[[str], bool]) -> None:
    """Answer one solicitation, if it is a known neighbour's. Raises OSError."""
    data, notes, _, sender = listener.recvmsg(1500, socket.CMSG_SPACE(4))
    hops = next(
        (value for level, kind, value in notes if (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT)), b""
    )
    if hops != struct.pack("=i", _HOPS) or not sender[0].startswith("fe80:"):
        return
    address = _source(data)
    if address and known(address):
        with contextlib.suppress(OSError):  # our own address is not confirmed yet: the machine asks again
            listener.sendto(_NO_ROUTER, sender)


def _source(data: bytes) -> str:
    """The MAC address that a solicitation says it comes from; "" without one (RFC 4861, sections 4.1 and 4.6)."""
    at = _HEAD
    while at + 8 <= len(data) and data[at + 1]:
        if data[at] == _LINK_LAYER:
            return data[at + 2 : at + 8].hex(":")
        at += data[at + 1] * 8
    return ""
