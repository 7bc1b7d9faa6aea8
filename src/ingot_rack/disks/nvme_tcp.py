"""NVMe over TCP: subsystems of one ``nvme.Controller`` each, for a kernel that connects to them by name.

May not: know what an admin or I/O command means. Invariants: nobody is asked who he is, so it listens on loopback; a
command that waits (asynchronous events) never gets an answer. Source: NVM Express over Fabrics 1.1: 3 (fabric
commands), 7.4 (TCP transport: PDUs); NVM Express base specification 1.4: 3.1 (properties), 4.2 (queue entries).
"""

from __future__ import annotations

import asyncio
import dataclasses
import struct
from collections.abc import Iterable

from ingot_rack.disks import nvme
from ingot_rack.disks.listener import Listener

_HELLO, _WELCOME, _COMMAND, _RESPONSE, _TO_US, _TO_HOST, _READY = 0x00, 0x01, 0x04, 0x05, 0x06, 0x07, 0x09
_LAST = 0x04
_FABRICS, _SET, _CONNECT, _GET = 0x7F, 0x00, 0x01, 0x04
_CAP, _VERSION, _CONFIG, _STATUS = 0x00, 0x08, 0x14, 0x1C
_MOST = 128 << 10
_NO_SUCH_HOST = 0x4182  # connect: invalid parameters


@dataclasses.dataclass
class _Association:
    """A host's controller: its number, the registers that the host wrote."""

    subsystem: nvme.Controller
    number: int
    config: int = 0

    def register(self, place: int) -> int:
        match place:
            case _ if place == _CAP:
                return 127 | 1 << 16 | 20 << 24 | 1 << 37  # queues of 128 in one piece, 10 s until ready, NVM commands
            case _ if place == _VERSION:
                return 0x00010400
            case _ if place == _CONFIG:
                return self.config
            case _ if place == _STATUS:
                return 0x08 if self.config & 0xC000 else self.config & 1
            case _:
                return 0


class Target:
    """``async with Target([controller, ...]) as target``; hosts ask for each by its name."""

    def __init__(self, controllers: Iterable[nvme.Controller]) -> None:
        self.subsystems = {one.name: one for one in controllers}
        self.port = 0
        self._associations: list[_Association] = []
        self._listener = Listener(lambda reader, writer: _Queue(self, reader, writer).run())

    async def __aenter__(self) -> Target:
        self.port = await self._listener.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._listener.close()

    def find(self, name: str, number: int) -> _Association | None:
        """The association with this number, or a new one (0xffff: any); None when there is none of that name."""
        if number != 0xFFFF:
            return next((one for one in self._associations if one.number == number), None)
        subsystem = self.subsystems.get(name)
        if subsystem is None:
            return None
        self._associations.append(_Association(subsystem, len(self._associations) + 1))
        return self._associations[-1]


class _Queue:
    """One connection is one queue: the first one of an association is the admin queue, number 0."""

    def __init__(self, target: Target, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._target = target
        self._reader = reader
        self._writer = writer
        self._association: _Association | None = None
        self._number = 0
        self._head = 0
        self._waiting: list[tuple[int, bytes, bytes]] = []

    async def run(self) -> None:
        kind, _, _ = await self._read()
        if kind != _HELLO:
            raise ConnectionError(f"PDU {kind:#x} came first")
        self._send(_WELCOME, struct.pack("<HBBI", 0, 0, 0, _MOST).ljust(120, b"\0"))
        while True:
            kind, inside, body = self._waiting.pop(0) if self._waiting else await self._read()
            if kind != _COMMAND:
                raise ConnectionError(f"PDU {kind:#x} is not known here")
            await self._command(body, inside)
            await self._writer.drain()

    async def _read(self) -> tuple[int, bytes, bytes]:
        """The next PDU: its kind, its data, and its header without the common part."""
        kind, _, length, place, whole = struct.unpack("<BBBBI", await self._reader.readexactly(8))
        body = await self._reader.readexactly(whole - 8)
        return kind, body[place - 8 :] if place else b"", body[: length - 8]

    def _send(self, kind: int, head: bytes, data: bytes = b"", flags: int = 0) -> None:
        place = len(head) + 8 if data else 0
        common = struct.pack("<BBBBI", kind, flags, len(head) + 8, place, len(head) + 8 + len(data))
        self._writer.write(
            common + head + data
        )  # in one piece: Linux takes a welcome that comes in two for an empty one

    async def _command(self, entry: bytes, data: bytes) -> None:
        ident = struct.unpack_from("<H", entry, 2)[0]
        size = struct.unpack_from("<I", entry, 32)[0]
        self._head = (self._head + 1) % 128
        if entry[0] == nvme.WRITE and self._number and not data:
            data = await self._fetch(ident, size)
        answer = self._answer(entry, data)
        if answer is None:
            return
        for at in range(0, len(answer.data), _MOST):
            piece = answer.data[at : at + _MOST]
            last = _LAST if at + len(piece) == len(answer.data) else 0
            self._send(_TO_HOST, struct.pack("<HHIII", ident, 0, at, len(piece), 0), piece, last)
        done = struct.pack("<QHHHH", answer.result, self._head, self._number, ident, answer.status << 1 & 0xFFFF)
        self._send(_RESPONSE, done)

    async def _fetch(self, ident: int, size: int) -> bytes:
        """Ask for a command's data, and take it; commands that come meanwhile wait."""
        self._send(_READY, struct.pack("<HHIII", ident, 1, 0, size, 0))
        await self._writer.drain()
        data = b""
        while len(data) < size:
            kind, inside, head = await self._read()
            if kind == _TO_US:
                data += inside
            else:
                self._waiting.append((kind, inside, head))
        return data

    def _answer(self, entry: bytes, data: bytes) -> nvme.Answer | None:
        if entry[0] == _FABRICS:
            return self._fabric(entry, data)
        if self._association is None:
            return nvme.Answer(nvme.INVALID_OPCODE)
        subsystem = self._association.subsystem
        if self._number:
            return subsystem.move(entry, data)
        return None if entry[0] == nvme.ASYNC_EVENT else subsystem.admin(entry, self._association.number)

    def _fabric(self, entry: bytes, data: bytes) -> nvme.Answer:
        if entry[4] == _CONNECT:
            name = data[256:512].rstrip(b"\0").decode()
            self._association = self._target.find(name, struct.unpack_from("<H", data, 16)[0])
            self._number = struct.unpack_from("<H", entry, 42)[0]
            if self._association is None:
                return nvme.Answer(_NO_SUCH_HOST)
            return nvme.Answer(result=self._association.number)
        if self._association is None or entry[4] not in (_GET, _SET):
            return nvme.Answer(nvme.INVALID_FIELD)
        place, value = struct.unpack_from("<IQ", entry, 44)
        if entry[4] == _GET:
            return nvme.Answer(result=self._association.register(place))
        if place == _CONFIG:
            self._association.config = value
        return nvme.Answer()
