"""IPMI BMCs on UDP: one socket serves one BMC or ten thousand.

Why: a socket bound to all addresses tells each packet's destination (IP_PKTINFO, see ip(7)), so every address of
127.0.0.0/8 or of `lo` can be a BMC of its own without a socket of its own.
May not: know commands. Invariant: a packet to an address that is no BMC here is dropped.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import logging
import random
import socket
import struct
import time
from collections.abc import Callable, Mapping

from ingot_rack import bmc as bmcs
from ingot_rack.ipmi import bridge, clear, commands, session, sol, suites, table, wire

log = logging.getLogger(__name__)

IP_PKTINFO = 8
BUFFER_BYTES = 64 << 20
REPEAT_SECONDS = 5.0
Peer = tuple[str, int]


class Server:
    """All IPMI BMCs of one port. `bmcs` maps an IPv4 address to its BMC."""

    def __init__(self, fronts: Mapping[str, bmcs.Bmc], port: int) -> None:
        self._devices = {socket.inet_aton(address): _device(front) for address, front in fronts.items()}
        self._single = next(iter(fronts)) if len(fronts) == 1 else ""
        self._port = port
        self._socket: socket.socket | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.packets = 0

    async def start(self) -> int:
        """Bind and begin to answer; the port in use (chosen by the kernel when 0 was asked)."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        try:
            sock.bind((self._single or "0.0.0.0", self._port))
        except OSError:
            sock.close()
            raise
        self._socket = sock
        self._port = int(sock.getsockname()[1])
        for device in self._devices.values():
            device.port = self._port
        asyncio.get_running_loop().add_reader(sock.fileno(), self._readable)
        return self._port

    @property
    def busy(self) -> bool:
        """Whether commands are still at work."""
        return bool(self._tasks)

    def sessions(self) -> list[int]:
        """How many sessions are open on each BMC."""
        return [device.sessions.in_use for device in self._devices.values()]

    async def close(self) -> None:
        """Stop answering and close the consoles."""
        if self._socket is None:
            return
        asyncio.get_running_loop().remove_reader(self._socket.fileno())
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for device in self._devices.values():
            sol.drop(device)
        self._socket.close()
        self._socket = None

    def _readable(self) -> None:
        for _ in range(256):
            if self._socket is None:
                return
            try:
                datagram, ancillary, _flags, peer = self._socket.recvmsg(2048, 64)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                log.debug("receive failed: %s", error)
                continue
            device, local = self._target(ancillary)
            if device is not None:
                self._admit(_Exchange(self, device, local, peer), datagram)

    def _target(self, ancillary: list[tuple[int, int, bytes]]) -> tuple[commands.Device | None, bytes]:
        for level, kind, data in ancillary:
            if level == socket.IPPROTO_IP and kind == IP_PKTINFO:
                local = data[8:12]
                return self._devices.get(local), local
        return None, b""

    def _admit(self, exchange: _Exchange, datagram: bytes) -> None:
        self.packets += 1
        device = exchange.device
        faults = device.bmc.faults
        if faults.drops() or time.monotonic() < device.unresponsive_until:
            return
        task = asyncio.get_running_loop().create_task(self._answer(exchange, datagram))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, exchange: _Exchange, datagram: bytes) -> None:
        faults = exchange.device.bmc.faults
        if faults.delay:
            await asyncio.sleep(faults.delay)
        try:
            reply = await exchange.answer(datagram)
        except wire.Malformed as error:
            log.debug("dropped a packet: %s", error)
            return
        if reply:
            exchange.send(reply)
            if faults.duplicate_rate and random.random() < faults.duplicate_rate:
                exchange.send(reply)

    def send(self, data: bytes, local: bytes, peer: Peer) -> None:
        """Send from the BMC's own address; a full socket buffer loses the packet, as networks do."""
        if self._socket is None:
            return
        info = struct.pack("=I4s4s", 0, local, local)
        try:
            self._socket.sendmsg([data], [(socket.IPPROTO_IP, IP_PKTINFO, info)], 0, peer)
        except OSError as error:
            log.debug("send to %s failed: %s", peer, error)


class _Exchange:
    """One datagram's way from the socket to its answer."""

    __slots__ = ("_local", "_peer", "_server", "device")

    def __init__(self, server: Server, device: commands.Device, local: bytes, peer: Peer) -> None:
        self._server = server
        self._local = local
        self._peer = peer
        self.device = device

    def send(self, data: bytes) -> None:
        """Send back to where the datagram came from."""
        self._server.send(data, self._local, self._peer)

    async def answer(self, datagram: bytes) -> bytes | None:
        """The reply to a datagram, or None; raises Malformed."""
        if datagram[:3] == wire.RMCP_ASF[:3] and datagram[3:4] == b"\x06":
            return wire.asf_pong(datagram)
        if datagram[:4] != wire.RMCP_IPMI or len(datagram) < 14:
            raise wire.Malformed("no RMCP packet")
        if datagram[4] != wire.AUTH_RMCPP:
            return await self._older(wire.parse_v15(datagram))
        if "2.0" not in self.device.bmc.versions:
            raise wire.Malformed("RMCP+ is not offered")
        packet = wire.parse_v20(datagram)
        if packet.payload_type >= wire.PAYLOAD_OPEN_REQUEST:
            return self.device.sessions.answer(packet)
        if not packet.session_id:
            message = await self._run(None, packet.payload)
            return wire.build_v20(wire.PAYLOAD_IPMI, 0, 0, message)
        return await self._inside(packet, datagram)

    async def _older(self, packet: wire.Clear) -> bytes | None:
        """A packet of IPMI 1.5: outside a session, the proof that opens one, or inside."""
        if not packet.session_id:
            if packet.auth:
                raise wire.Malformed("a code outside a session")
            return wire.build_v15(dataclasses.replace(packet, message=await self._run(None, packet.message)))
        opened = self.device.sessions.find(packet.session_id)
        if not isinstance(opened, clear.ClearSession):
            raise wire.Malformed("no such session")
        if not opened.active:
            return await self._proof(opened, packet)
        opened.check(packet)
        if not opened.fresh(packet.sequence):
            raise wire.Malformed("repeated packet")
        return await self._within(opened, packet.message, opened.seal)

    async def _proof(self, opened: clear.ClearSession, packet: wire.Clear) -> bytes:
        request = wire.parse_request(packet.message)
        if (request.netfn, request.command) != clear.ACTIVATE:
            raise wire.Malformed("the session is not active")
        clear.prove(self.device, opened, packet)
        answer = opened.seal(await self._run(opened, packet.message))
        if opened.active and not self.device.bmc.vouched:
            opened.auth = clear.NONE
        return answer

    async def _inside(self, packet: wire.Packet, datagram: bytes) -> bytes | None:
        opened = self.device.sessions.find_sealed(packet.session_id)
        if opened is None or not opened.active:
            raise wire.Malformed("no such session")
        payload = opened.unseal(datagram, packet)
        if packet.payload_type == wire.PAYLOAD_SOL:
            opened.used_at = time.monotonic()
            return self._console(opened, payload)
        if packet.payload_type != wire.PAYLOAD_IPMI:
            raise wire.Malformed("unknown payload")
        answer = await self._within(opened, payload, functools.partial(opened.seal, wire.PAYLOAD_IPMI))
        if answer and self.device.line and self.device.line.owner is opened:
            self.device.line.send = self.send
        return answer

    async def _within(self, opened: session.Opened, message: bytes, seal: Callable[[bytes], bytes]) -> bytes | None:
        """A message of an active session, or what a controller behind the BMC is asked by it."""
        opened.used_at = time.monotonic()
        request = wire.parse_request(message)
        if (request.netfn, request.command) == bridge.SEND_MESSAGE:
            for one in await bridge.answers(self.device, opened, request):
                self.send(seal(one))
            return None
        answer = await self._run(opened, message)
        return seal(answer) if answer else None

    def _console(self, opened: session.Session, payload: bytes) -> bytes | None:
        line = self.device.line
        if line is None or line.owner is not opened:
            return None
        line.send = self.send
        acknowledgement = line.take(payload)
        return opened.seal(wire.PAYLOAD_SOL, acknowledgement) if acknowledgement else None

    async def _run(self, opened: session.Opened | None, message: bytes) -> bytes:
        """Carry out a message. A repeated chassis control is no second action: it gets the first one's answer, or
        none (b"") while the first is still at work. ipmitool repeats with the same rqSeq after a second."""
        request = wire.parse_request(message)
        control = (request.netfn, request.command) == (0x00, 0x02)
        if opened and control:
            before, answer, at = opened.last_control
            if before == message and (not answer or time.monotonic() - at < REPEAT_SECONDS):
                return answer
        if opened and opened.active and self.device.bmc.faults.take("busy_next"):
            return wire.build_response(request, commands.BUSY)
        if opened and control:
            opened.last_control = (message, b"", 0.0)
        call = commands.Call(self.device, opened, request.data)
        code, data = await table.run(request.netfn, request.command, call)
        answer = wire.build_response(request, code, data)
        if opened and control:
            opened.last_control = (message, answer, time.monotonic())
        return answer


def _device(front: bmcs.Bmc) -> commands.Device:
    guid = suites.guid(front.hardware.facts.uuid)
    table_of_sessions = session.Sessions(front, guid)
    device = commands.Device(front, guid, table_of_sessions)

    def closed(ended: session.Opened) -> None:
        sol.drop(device, ended)

    table_of_sessions.on_close = closed
    return device
