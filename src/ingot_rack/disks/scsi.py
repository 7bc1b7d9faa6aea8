"""A disk that answers SCSI block commands, and, when it is a SATA disk behind an adapter, ATA PASS-THROUGH.

May not: know how commands come. Invariants: one command at a time; every refusal has sense data.
Source: SPC-4 (INQUIRY, MODE SENSE, sense data), SBC-3 (block commands), SAT-3 12.2 (ATA pass-through) and 11.7
(security of the translated disk).
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import struct
from collections.abc import Callable

from ingot_rack.disks import ata, media

GOOD, CHECK_CONDITION = 0x00, 0x02
_RECOVERED, _NOT_READY, _MEDIUM, _HARDWARE, _ILLEGAL, _PROTECT, _ABORTED = 0x1, 0x2, 0x3, 0x4, 0x5, 0x7, 0xB
_ILLEGAL_CODE, _ILLEGAL_FIELD, _OUT_OF_RANGE = (0x20, 0x00), (0x24, 0x00), (0x21, 0x00)
_ATA_PAGE = 0x89
_PAGES = (0x00, 0x80, 0x83, _ATA_PAGE, 0xB0, 0xB1)
_CACHING, _CONTROL = bytes([0x08, 18, 0x04]).ljust(20, b"\0"), bytes([0x0A, 10]).ljust(12, b"\0")


@dataclasses.dataclass(frozen=True)
class Reply:
    """What came of a command."""

    data: bytes = b""
    status: int = GOOD
    sense: bytes = b""


class RefusedError(Exception):
    """Ends a command with CHECK CONDITION and this sense data."""

    def __init__(self, sense: bytes) -> None:
        self.sense = sense
        super().__init__(sense.hex())


def sense(key: int, code: tuple[int, int], place: int | None = None) -> bytes:
    """Sense data of fixed format; ``place``: the block that it is about."""
    first = 0x70 if place is None else 0xF0
    return struct.pack(">BBBI BIBB BBH", first, 0, key, place or 0, 10, 0, *code, 0, 0, 0)


def _status_return(key: int, error: int, status: int) -> bytes:
    """Sense data of descriptor format with the ATA status return descriptor."""
    code = (0x00, 0x1D) if key == _RECOVERED else (0x00, 0x00)
    return bytes([0x72, key, *code, 0, 0, 0, 14, 0x09, 12, 0, error, *[0] * 8, 0, status])


@dataclasses.dataclass
class Disk:
    """``drive``: the SATA disk that is translated, None for a plain SCSI disk; ``read_only``: it protects itself."""

    media: media.Media
    serial: str
    drive: ata.Drive | None = None
    read_only: bool = False
    _turn: asyncio.Lock = dataclasses.field(default_factory=asyncio.Lock)

    async def run(self, cdb: bytes, data: bytes) -> Reply:
        """Do one command; ``data`` is what the initiator sent with it."""
        async with self._turn:
            try:
                return Reply(await self._answer(cdb, data))
            except RefusedError as error:
                return Reply(b"", CHECK_CONDITION, error.sense)
            except media.DeadBlockError as error:
                code = (0x0C, 0x02) if cdb[0] in (0x2A, 0x8A) else (0x11, 0x04)
                return Reply(b"", CHECK_CONDITION, sense(_MEDIUM, code, error.place))
            except ata.DeadDiskError:
                return Reply(b"", CHECK_CONDITION, sense(_HARDWARE, (0x44, 0x00)))

    async def _answer(self, cdb: bytes, data: bytes) -> bytes:
        if cdb[0] in (0x85, 0xA1):
            return await self._pass_through(cdb, data)
        if self.drive is not None and self.drive.dead and cdb[0] not in (0x12, 0xA0):
            raise ata.DeadDiskError
        plain: dict[int, Callable[[bytes], bytes]] = {
            0x00: lambda _: b"",
            0x03: lambda _: sense(0, (0, 0)),
            0x12: self._inquiry,
            0x1A: self._mode_sense,
            0x1B: lambda _: b"",
            0x25: lambda _: struct.pack(">II", min(self.media.blocks - 1, 0xFFFFFFFF), media.BLOCK),
            0x35: lambda _: b"",
            0x5A: self._mode_sense,
            0x91: lambda _: b"",
            0x9E: self._capacity,
            0xA0: lambda _: struct.pack(">IIQ", 8, 0, 0),
        }
        if cdb[0] in plain:
            return plain[cdb[0]](cdb)
        if cdb[0] in (0x28, 0x88, 0x2A, 0x8A):
            return self._move(cdb, data)
        raise RefusedError(sense(_ILLEGAL, _ILLEGAL_CODE))

    def _move(self, cdb: bytes, data: bytes) -> bytes:
        long = cdb[0] in (0x88, 0x8A)
        first, count = struct.unpack_from(">QI", cdb, 2) if long else struct.unpack_from(">IxH", cdb, 2)
        if cdb[1] & 0xF8:  # protection information, and what a disk may offer beside: DPO, FUA
            raise RefusedError(sense(_ILLEGAL, _ILLEGAL_FIELD))
        if first + count > self.media.blocks:
            raise RefusedError(sense(_ILLEGAL, _OUT_OF_RANGE, min(first, 0xFFFFFFFF)))
        if self.drive is not None and self.drive.locked:
            raise RefusedError(sense(_PROTECT, (0x74, 0x79)))  # security conflict in translated device
        if cdb[0] in (0x28, 0x88):
            return self.media.read(first, count)
        if self.read_only:
            raise RefusedError(sense(_PROTECT, (0x27, 0x00)))
        self.media.write(first, data[: count * media.BLOCK])
        return b""

    def _capacity(self, cdb: bytes) -> bytes:
        if cdb[1] & 0x1F != 0x10:
            raise RefusedError(sense(_ILLEGAL, _ILLEGAL_FIELD))
        return struct.pack(">QI", self.media.blocks - 1, media.BLOCK).ljust(32, b"\0")

    def _mode_sense(self, cdb: bytes) -> bytes:
        pages = {0x08: _CACHING, 0x0A: _CONTROL, 0x3F: _CACHING + _CONTROL}
        if cdb[2] & 0x3F not in pages or cdb[3]:
            raise RefusedError(sense(_ILLEGAL, _ILLEGAL_FIELD))
        body, protected = pages[cdb[2] & 0x3F], 0x80 if self.read_only else 0
        if cdb[0] == 0x1A:
            return (struct.pack(">BBBB", len(body) + 3, 0, protected, 0) + body)[: cdb[4]]
        return (struct.pack(">HBBHH", len(body) + 6, 0, protected, 0, 0) + body)[: struct.unpack_from(">H", cdb, 7)[0]]

    def _inquiry(self, cdb: bytes) -> bytes:
        length = struct.unpack_from(">H", cdb, 3)[0]
        if not cdb[1] & 1:
            vendor, product = (b"ATA", self.drive.model.encode()) if self.drive else (b"INGOT", b"SCSI DISK")
            if cdb[2]:
                raise RefusedError(sense(_ILLEGAL, _ILLEGAL_FIELD))
            words = vendor.ljust(8) + product.ljust(16)[:16] + b"1.0 "
            standards = struct.pack(">4H", 0x00A0, 0x0960, 0x0460, 0x04C0)  # SAM-5, iSCSI, SPC-4, SBC-3
            return ((bytes([0, 0, 6, 2, 91, 0, 0, 2]) + words).ljust(58, b"\0") + standards).ljust(96, b"\0")[:length]
        body = self._page(cdb[2])
        return (struct.pack(">BBH", 0, cdb[2], len(body)) + body)[:length]

    def _page(self, page: int) -> bytes:
        match page:
            case 0x00:
                return bytes(page for page in _PAGES if self.drive or page != _ATA_PAGE)
            case 0x80:
                return self.serial.encode()
            case 0x83:
                name = b"\x52" + hashlib.sha256(self.serial.encode()).digest()[:7]  # NAA 5: registered by a maker
                return struct.pack(">BBBB", 1, 3, 0, len(name)) + name
            case 0xB0:
                return bytes(60)
            case 0xB1:
                return b"\x00\x01".ljust(60, b"\0")  # does not turn
            case _ if page == _ATA_PAGE and self.drive:
                head = bytes(4) + b"INGOT   " + b"SAT".ljust(16) + b"1.0 " + bytes(20) + bytes([ata.IDENTIFY, 0, 0, 0])
                return head + self.drive.identity()
            case _:
                raise RefusedError(sense(_ILLEGAL, _ILLEGAL_FIELD))

    async def _pass_through(self, cdb: bytes, data: bytes) -> bytes:
        if self.drive is None:
            raise RefusedError(sense(_ILLEGAL, _ILLEGAL_CODE))
        code = cdb[14] if cdb[0] == 0x85 else cdb[9]
        if code in ata.WITH_DATA and len(data) < media.BLOCK:
            raise RefusedError(sense(_ILLEGAL, _ILLEGAL_FIELD))
        try:
            given = await self.drive.command(code, data)
        except ata.AbortedError:
            raise RefusedError(_status_return(_ABORTED, 0x04, 0x51)) from None
        if cdb[2] & 0x20:
            raise RefusedError(_status_return(_RECOVERED, 0, 0x50))
        return given
