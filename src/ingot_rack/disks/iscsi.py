"""An iSCSI target with disks that obey a test: each LUN is a ``scsi.Disk``.

Why: QEMU hands a guest's SCSI commands on to an iSCSI disk untouched, so a real kernel speaks to a disk of ours.
May not: know what a command means. Invariants: no login asks for a password, so it listens on loopback; NOPs are
answered while a disk is busy. Source: RFC 7143 (section 11: PDUs, 13: keys).
"""

from __future__ import annotations

import asyncio
import dataclasses
import socket
import struct
from collections.abc import Mapping

from ingot_rack.disks import scsi
from ingot_rack.disks.listener import Listener

_NOP_OUT, _COMMAND, _TASK, _LOGIN, _TEXT, _DATA_OUT, _LOGOUT = 0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06
_NOP_IN, _RESPONSE, _TASK_DONE, _LOGGED_IN, _TEXT_DONE, _DATA_IN, _LOGGED_OUT, _R2T = (
    0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x31,
)  # fmt: skip
_NOBODY = 0xFFFFFFFF
_BURST = 256 << 10
_WINDOW = 64
_OURS = {
    "HeaderDigest": "None", "DataDigest": "None", "InitialR2T": "Yes", "ImmediateData": "Yes", "MaxOutstandingR2T": "1",
    "MaxRecvDataSegmentLength": str(_BURST), "MaxBurstLength": str(_BURST), "FirstBurstLength": "65536",
    "MaxConnections": "1", "DataPDUInOrder": "Yes", "DataSequenceInOrder": "Yes", "ErrorRecoveryLevel": "0",
    "DefaultTime2Wait": "2", "DefaultTime2Retain": "0", "AuthMethod": "None",
}  # fmt: skip


@dataclasses.dataclass
class _Pdu:
    head: bytes
    data: bytes

    @property
    def opcode(self) -> int:
        return self.head[0] & 0x3F

    @property
    def flags(self) -> int:
        return self.head[1]

    def word(self, place: int) -> int:
        return int(struct.unpack_from(">I", self.head, place)[0])


@dataclasses.dataclass
class _Transfer:
    """Data of a command that the initiator still sends."""

    data: bytearray
    arrived: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)


def _keys(data: bytes) -> dict[str, str]:
    pairs = (part.decode().partition("=") for part in data.split(b"\0") if part)
    return {key: value for key, _, value in pairs}


def _text(keys: Mapping[str, str]) -> bytes:
    return b"".join(f"{key}={value}\0".encode() for key, value in keys.items())


class Target:
    """``async with Target(name, {0: disk}) as target``; ``listener``: a bound socket, left out for a free port."""

    def __init__(self, name: str, luns: Mapping[int, scsi.Disk], listener: socket.socket | None = None) -> None:
        self.name = name
        self.luns = luns
        self.port = 0
        self._bound = listener
        self._listener = Listener(lambda reader, writer: _Session(self, reader, writer).run())

    def url(self, lun: int) -> str:
        """Where initiators find a disk."""
        return f"iscsi://127.0.0.1:{self.port}/{self.name}/{lun}"

    async def __aenter__(self) -> Target:
        self.port = await self._listener.start(self._bound)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._listener.close()


class _Session:
    """One initiator's connection."""

    def __init__(self, target: Target, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._target = target
        self._reader = reader
        self._writer = writer
        self._expected = 0
        self._serial = 0
        self._segment = 8192  # what the initiator takes at once, unless it says otherwise
        self._transfers: dict[int, _Transfer] = {}
        self._tickets = 0
        self._work: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        try:
            while True:
                pdu = await self._read()
                if not pdu.head[0] & 0x40 and pdu.opcode != _DATA_OUT:
                    self._expected = (pdu.word(24) + 1) & 0xFFFFFFFF
                elif pdu.opcode == _LOGIN:
                    self._expected = pdu.word(24)
                self._take(pdu)
                await self._writer.drain()
                if pdu.opcode == _LOGOUT:
                    return
        finally:
            for task in self._work:
                task.cancel()

    async def _read(self) -> _Pdu:
        head = await self._reader.readexactly(48)
        length = int.from_bytes(head[5:8], "big")
        data = await self._reader.readexactly(head[4] * 4 + length + -length % 4)
        return _Pdu(head, data[head[4] * 4 :][:length])

    def _send(self, head: bytearray, data: bytes = b"", *, counts: bool = True) -> None:
        """Send a PDU whose own fields are set; ``counts``: it takes a status number."""
        head[5:8] = len(data).to_bytes(3, "big")
        struct.pack_into(">III", head, 24, self._serial, self._expected, (self._expected + _WINDOW) & 0xFFFFFFFF)
        self._serial = (self._serial + counts) & 0xFFFFFFFF
        self._writer.write(bytes(head) + data + bytes(-len(data) % 4))

    def _take(self, pdu: _Pdu) -> None:
        match pdu.opcode:
            case _ if pdu.opcode == _LOGIN:
                self._login(pdu)
            case _ if pdu.opcode == _TEXT:
                self._send_targets(pdu)
            case _ if pdu.opcode == _NOP_OUT:
                if pdu.word(16) != _NOBODY:
                    self._send(_head(_NOP_IN, 0x80, pdu, ticket=_NOBODY), pdu.data)
            case _ if pdu.opcode == _COMMAND:
                task = asyncio.create_task(self._command(pdu))
                self._work.add(task)
                task.add_done_callback(self._work.discard)
            case _ if pdu.opcode == _DATA_OUT:
                self._data_out(pdu)
            case _ if pdu.opcode == _TASK:
                self._send(_head(_TASK_DONE, 0x80, pdu))
            case _ if pdu.opcode == _LOGOUT:
                self._send(_head(_LOGGED_OUT, 0x80, pdu))
            case _:
                raise ConnectionError(f"PDU {pdu.opcode:#x} is not known here")

    def _login(self, pdu: _Pdu) -> None:
        asked = _keys(pdu.data)
        self._segment = int(asked.get("MaxRecvDataSegmentLength", self._segment))
        answer = {key: _OURS[key] for key in asked if key in _OURS}
        if asked.get("TargetName"):
            answer["TargetPortalGroupTag"] = "1"
        known = asked.get("TargetName", self._target.name) == self._target.name
        head = _head(_LOGGED_IN, pdu.flags & 0x8F, pdu)
        head[8:14] = pdu.head[8:14]
        struct.pack_into(">H", head, 14, 1)
        if not known:
            head[1], head[36], head[37] = 0, 2, 3  # target not found
        self._send(head, _text(answer) if known else b"")

    def _send_targets(self, pdu: _Pdu) -> None:
        found = {"TargetName": self._target.name, "TargetAddress": f"127.0.0.1:{self._target.port},1"}
        self._send(_head(_TEXT_DONE, 0x80, pdu, ticket=_NOBODY), _text(found))

    def _data_out(self, pdu: _Pdu) -> None:
        transfer = self._transfers.get(pdu.word(20))
        if transfer is not None:
            transfer.data += pdu.data
            if pdu.flags & 0x80:
                transfer.arrived.set()

    async def _command(self, pdu: _Pdu) -> None:
        lun, wanted = pdu.head[9], pdu.word(20)
        data = await self._outgoing(pdu, wanted) if pdu.flags & 0x20 else b""
        disk = self._target.luns.get(lun)
        if disk is None:
            reply = scsi.Reply(b"", scsi.CHECK_CONDITION, scsi.sense(5, (0x25, 0)))
        elif pdu.head[32] == 0xA0:
            luns = b"".join(struct.pack(">BB6x", 0, one) for one in sorted(self._target.luns))
            reply = scsi.Reply(struct.pack(">II", len(luns), 0) + luns)
        else:
            reply = await disk.run(pdu.head[32:48], data)
        self._reply(pdu, reply, wanted if pdu.flags & 0x40 else 0)
        await self._writer.drain()

    async def _outgoing(self, pdu: _Pdu, wanted: int) -> bytes:
        """All data that comes with a command: what came with it, then what is asked for piece by piece."""
        transfer = _Transfer(bytearray(pdu.data))
        number = 0
        while len(transfer.data) < wanted:
            self._tickets += 1
            ticket = self._tickets
            self._transfers[ticket] = transfer
            transfer.arrived.clear()
            head = _head(_R2T, 0x80, pdu, ticket=ticket)
            head[8:16] = pdu.head[8:16]
            offset = len(transfer.data)
            struct.pack_into(">III", head, 36, number, offset, min(_BURST, wanted - offset))
            self._send(head, counts=False)
            await transfer.arrived.wait()
            del self._transfers[ticket]
            number += 1
        return bytes(transfer.data)

    def _reply(self, pdu: _Pdu, reply: scsi.Reply, room: int) -> None:
        given = reply.data[:room]
        more, less = len(reply.data) - len(given), room - len(given)
        residue = 0x04 if more else 0x02 if less else 0
        for number, at in enumerate(range(0, len(given), self._segment)):
            piece = given[at : at + self._segment]
            head = _head(_DATA_IN, 0x80 if at + len(piece) == len(given) else 0, pdu, ticket=_NOBODY)
            struct.pack_into(">II", head, 36, number, at)
            self._send(head, piece, counts=False)
        head = _head(_RESPONSE, 0x80 | residue, pdu)
        head[3] = reply.status
        pieces = -(-len(given) // self._segment)
        struct.pack_into(">III", head, 36, pieces, 0, more or less)
        self._send(head, struct.pack(">H", len(reply.sense)) + reply.sense if reply.sense else b"")


def _head(opcode: int, flags: int, to: _Pdu, *, ticket: int = 0) -> bytearray:
    """The beginning of an answer to ``to``."""
    head = bytearray(48)
    head[0], head[1], head[16:20] = opcode, flags, to.head[16:20]
    struct.pack_into(">I", head, 20, ticket)
    return head
