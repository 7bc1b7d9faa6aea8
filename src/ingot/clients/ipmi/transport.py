"""One UDP socket for all BMCs of one address family.

Why: a socket per BMC costs memory and file handles at ten thousand BMCs; one socket is drained in bursts.
May not: know keys or commands. Invariant: a packet reaches a receiver only when it comes from the receiver's
own peer address; everything else is dropped.

Waiting uses one shared sweep instead of a timer per packet: ``wait`` resolves a future with None when its
time is over, at a grain of ``SWEEP`` seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from typing import Protocol, cast

from ingot.clients.ipmi import codec
from ingot.domain import errors

Peer = tuple[str, int] | tuple[str, int, int, int]
# What packets of a session are known by: our own id in RMCP+. In IPMI 1.5 it is the BMC's, so it counts with its peer.
Key = int | tuple[Peer, int]

SWEEP = 0.05
BURST = 64  # packets read per wake-up before other work gets its turn
BUFFER = 8 << 20
MAX_PACKET = 2048


class Receiver(Protocol):
    """Who gets the packets of one session, or of one session set-up."""

    peer: Peer

    def receive(self, packet: bytes) -> None:
        """Take one packet; must not raise for any bytes."""
        ...


class Applicant(Receiver, Protocol):
    """Who is logging in to a peer."""

    finished: asyncio.Event


class Transport:
    """The socket, who listens on it, and who waits for what."""

    def __init__(self, family: socket.AddressFamily) -> None:
        self.loop = asyncio.get_running_loop()
        self.sessions: dict[Key, Receiver] = {}
        self.logins: dict[Peer, Applicant] = {}
        self._waiting: dict[asyncio.Future[bytes | None], float] = {}
        self._sweeper: asyncio.TimerHandle | None = None
        self._number = 0
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            self._socket.setsockopt(socket.SOL_SOCKET, option, BUFFER)
        with contextlib.suppress(PermissionError):  # past the system's limit only as root
            self._socket.setsockopt(socket.SOL_SOCKET, getattr(socket, "SO_RCVBUFFORCE", 33), BUFFER)
        self.loop.add_reader(self._socket, self._read)

    def next_number(self) -> int:
        """For a question of somebody who logs in: not that of the attempt before, whose late answers are none to it."""
        self._number = (self._number + 1) & 0x3F
        return self._number

    def send(self, packet: bytes, peer: Peer) -> None:
        """Send one packet; a full buffer counts as loss. Raises ``errors.Unreachable`` without a route."""
        try:
            self._socket.sendto(packet, peer)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            raise errors.Unreachable(f"Cannot send to BMC {peer[0]}:{peer[1]}: {error.strerror}.") from error

    async def wait(self, future: asyncio.Future[bytes | None], seconds: float) -> bytes | None:
        """What ``future`` gets, or None after ``seconds``."""
        self._waiting[future] = self.loop.time() + seconds
        if self._sweeper is None:
            self._sweeper = self.loop.call_later(SWEEP, self._sweep)
        try:
            return await future
        finally:
            self._waiting.pop(future, None)

    def close(self) -> None:
        """Close the socket; whoever still waits gets None."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        self.loop.remove_reader(self._socket)
        self._socket.close()
        for future in list(self._waiting):
            if not future.done():
                future.set_result(None)

    def _sweep(self) -> None:
        now = self.loop.time()
        for future, expires in self._waiting.items():
            if expires <= now and not future.done():
                future.set_result(None)
        self._sweeper = self.loop.call_later(SWEEP, self._sweep) if self._waiting else None

    def _read(self) -> None:
        for _ in range(BURST):
            try:
                packet, peer = self._socket.recvfrom(MAX_PACKET)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                continue  # an ICMP error of some earlier packet; the sender's own timeout tells
            number = codec.session_id(packet)
            receiver = self.sessions.get(number) if number else self._outside(packet, peer)
            if receiver is not None and receiver.peer == peer:
                receiver.receive(packet)

    def _outside(self, packet: bytes, peer: Peer) -> Receiver | None:
        """Who gets a packet that is in no session of RMCP+: one of IPMI 1.5, or who is logging in."""
        return self.sessions.get((peer, codec.clear_session_id(packet))) or self.logins.get(peer)


class Transports:
    """The sockets of a pool, made when first needed: one for IPv4, one for IPv6, and further lanes of each.

    A lane is another local port. Nearly all BMCs live on lane 0. Some tell sessions apart by our address and
    port instead of the session id and never forget one (pyghmi 1.6.19's BMC, so virtualbmc 3.3.0): they let
    us in again only from a new port.
    """

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._lanes: dict[tuple[int, int], Transport] = {}

    async def find(self, host: str, port: int, lane: int) -> tuple[Transport, Peer]:
        """The socket and socket address for a BMC. Raises ``errors.Unreachable`` for an unknown name."""
        family, peer = _numeric(host, port) or await self._resolve(host, port)
        transport = self._lanes.get((family, lane))
        if transport is None:
            transport = self._lanes[family, lane] = Transport(family)
        return transport, peer

    async def _resolve(self, host: str, port: int) -> tuple[socket.AddressFamily, Peer]:
        try:
            found = await self.loop.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
        except (OSError, UnicodeError) as error:  # the latter of a name with a part that is empty, or longer than 63
            why = error.strerror if isinstance(error, OSError) else "it is no host name"
            raise errors.Unreachable(
                f"The BMC address {host} cannot be resolved: {why}.",
                hint="Check the BMC's address and the name server.",
            ) from error
        family, _, _, _, address = found[0]
        peer = cast("Peer", address)  # the third form of a socket address is of hosts without IPv6
        return family, peer

    def close(self) -> None:
        """Close all sockets."""
        for transport in self._lanes.values():
            transport.close()
        self._lanes.clear()

    def prune(self) -> None:
        """Close the lanes that nobody uses any more."""
        for key, transport in list(self._lanes.items()):
            if key[1] and not transport.sessions and not transport.logins:
                del self._lanes[key]
                transport.close()


def _numeric(host: str, port: int) -> tuple[socket.AddressFamily, Peer] | None:
    """The socket address of a plain IP address, so that a slow name server cannot delay those without names."""
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        return None
    if version == 4:
        return socket.AF_INET, (host, port)
    return None if "%" in host else (socket.AF_INET6, (str(ipaddress.ip_address(host)), port, 0, 0))
