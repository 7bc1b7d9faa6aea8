"""What the doctor looks at beyond the host: other DHCP servers on the provisioning network, and the BMCs.

May not: log in anywhere, or take an address. Invariant: every question has a deadline of seconds.
Sources: RFC 2131 and 2132 (DHCP), ASF 2.0 section 3.2.4 (presence ping of RMCP).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from ingot.cli.doctor import site
from ingot.cli.doctor.findings import Finding, bad, fine, odd
from ingot.netboot import dhcp
from ingot.settings import Settings
from ingot.store import node_filters, nodes, place
from ingot.store.engine import Store
from ingot.store.paging import Page

_LISTEN = 6.0
"""Seconds; dnsmasq, for one, makes sure for three that nobody has an address before it offers it."""
_AGAIN = 2.0
_BMC_WAIT = 3.0
_AT_ONCE = 500
_SHOWN = 20
_COOKIE = b"\x63\x82\x53\x63"
_PING = bytes((6, 0, 0xFF, 6, 0, 0, 0x11, 0xBE, 0x80, 0, 0, 0))


def other_dhcp_servers(settings: Settings) -> Iterator[Finding]:
    """Whether anybody else offers addresses where ingot does."""
    name = settings.provision_interface
    if name is None:
        return
    check = "other DHCP servers"
    if os.geteuid() != 0:
        yield odd(check, "not looked for: that needs root", "Run this as root.")
        return
    try:
        strangers = offers(name, _LISTEN) - {dhcp.host(settings) or ""}
    except OSError as error:
        yield odd(check, f"not looked for on {name}: {error.strerror}", "Cure what is said of the interface first.")
        return
    if strangers:
        text = f"{', '.join(sorted(strangers))} offers addresses on {name}; machines may take its answer for ours"
        yield bad(check, text, "Switch it off, or boot your servers on a network of their own.")
    else:
        yield fine(check, f"none on {name}")


def offers(interface: str, seconds: float) -> set[str]:
    """The addresses of DHCP servers that answer a stranger on this interface. Needs root; raises OSError."""
    number = os.urandom(4)
    mac = b"\x02" + os.urandom(5)
    head = struct.pack("!BBBB4sHH", 1, 1, 6, 0, number, 0, 0x8000)
    question = head + bytes(16) + mac + bytes(10 + 64 + 128) + _COOKIE + b"\x35\x01\x01\x37\x03\x01\x03\x06\xff"
    found: set[str] = set()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        asking.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        asking.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        asking.bind(("", 68))
        end, ask_at = time.monotonic() + seconds, 0.0
        while (left := end - time.monotonic()) > 0:
            if time.monotonic() >= ask_at:
                asking.sendto(question, ("255.255.255.255", 67))
                ask_at = time.monotonic() + _AGAIN
            asking.settimeout(min(left, _AGAIN))
            with contextlib.suppress(TimeoutError):
                answer, (sender, _) = asking.recvfrom(2048)
                if answer[4:8] == number and answer[:1] == b"\x02":
                    found.add(_server(answer) or str(sender))
    return found


def _server(answer: bytes) -> str | None:
    """What option 54 of a DHCP answer says, None without one."""
    at = len(answer) if _COOKIE not in answer else answer.find(_COOKIE) + len(_COOKIE)
    while at < len(answer) - 1 and answer[at] != 255:
        if answer[at] == 0:
            at += 1
            continue
        size = answer[at + 1]
        if answer[at] == 54 and size == 4:
            return socket.inet_ntoa(answer[at + 2 : at + 6])
        at += 2 + size
    return None


def bmcs(settings: Settings) -> Iterator[Finding]:
    """Whether the BMCs of all nodes answer at all; passwords are not tried."""
    where = site.find_database(settings)
    if where is None:
        return
    places = asyncio.run(_places(where))
    if not places:
        yield fine("BMCs", "no node has one yet")
        return
    silent = asyncio.run(_silent(places))
    for name, where in silent[:_SHOWN]:
        cure = "Check address, cable and firewall; for IPMI, that IPMI over LAN is switched on."
        yield bad("BMCs", f"{name}: nothing answers at {where}", cure)
    if len(silent) > _SHOWN:
        yield bad("BMCs", f"and {len(silent) - _SHOWN} more", "Begin with those above.")
    if len(silent) < len(places):
        yield fine("BMCs", f"{len(places) - len(silent)} of {len(places)} answer")


_Place = tuple[str, str, int, str]


async def _places(where: place.Place) -> list[_Place]:
    """(node, host, port, protocol) of each node's BMC."""
    store = Store(where, patience=5)
    try:
        found = await store.read(nodes.list_all, node_filters.Filter(include_children=True), Page(limit=1_000_000))
    finally:
        await asyncio.to_thread(store.close)
    places: list[_Place] = []
    for one in found:
        info, name = one.driver_info, one.name or one.uuid
        if address := info.get("ipmi_address"):
            with contextlib.suppress(ValueError):
                places.append((name, str(address), int(info.get("ipmi_port") or 623), "ipmi"))
        if address := info.get("redfish_address"):
            with contextlib.suppress(ValueError):
                url = urlsplit(str(address) if "://" in str(address) else f"https://{address}")
                port = url.port or (80 if url.scheme == "http" else 443)
                places.append((name, url.hostname or "", port, "redfish"))
    return places


async def _silent(places: list[_Place]) -> list[tuple[str, str]]:
    slots = asyncio.Semaphore(_AT_ONCE)

    async def ask(place: _Place) -> bool:
        _, host, port, protocol = place
        async with slots:
            return await (_pings(host, port) if protocol == "ipmi" else _connects(host, port))

    answered = await asyncio.gather(*(ask(place) for place in places))
    return [
        (name, f"{host}, {'UDP' if protocol == 'ipmi' else 'TCP'} port {port}")
        for (name, host, port, protocol), there in zip(places, answered, strict=True)
        if not there
    ]


async def _connects(host: str, port: int) -> bool:
    try:
        async with asyncio.timeout(_BMC_WAIT):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


class _Ping(asyncio.DatagramProtocol):
    """Whether a BMC answers RMCP's presence ping."""

    def __init__(self) -> None:
        self.answered = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: object) -> None:
        """Anything that comes back is an answer."""
        self._tell(there=True)

    def error_received(self, exc: Exception) -> None:
        """Nobody listens there."""
        self._tell(there=False)

    def _tell(self, *, there: bool) -> None:
        if not self.answered.done():
            self.answered.set_result(there)


async def _pings(host: str, port: int) -> bool:
    """Send the ping, twice at most, within ``_BMC_WAIT``."""
    try:
        async with asyncio.timeout(_BMC_WAIT):
            asking, ping = await asyncio.get_running_loop().create_datagram_endpoint(_Ping, remote_addr=(host, port))
            try:
                for _ in range(2):
                    asking.sendto(_PING)
                    done, _rest = await asyncio.wait({ping.answered}, timeout=_BMC_WAIT / 2)
                    if done:
                        return ping.answered.result()
            finally:
                asking.close()
    except (OSError, TimeoutError):
        pass
    return False


CHECKS: tuple[Callable[[Settings], Iterator[Finding]], ...] = (other_dhcp_servers, bmcs)
