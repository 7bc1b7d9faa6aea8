"""An NVMe controller with its namespaces: what each command means, sanitize and format with faults on demand.

Why: QEMU's NVMe disk has no sanitize, so nobody can see there what a program makes of one that takes long, or fails.
May not: know how commands come (nvme_tcp.py does). Invariants: while it sanitizes no block is read or written; ``log``
has every sanitize and format in their order. Source: NVM Express base specification 1.4: 5.13-5.15 (features, logs,
identify), 5.23-5.24 (format, sanitize), 8.15 (sanitize's states).
"""

from __future__ import annotations

import asyncio
import dataclasses
import enum
import hashlib
import struct

from ingot_rack.disks import media

OK, INVALID_OPCODE, INVALID_FIELD, SANITIZE_FAILED, SANITIZING = 0x00, 0x4001, 0x4002, 0x401C, 0x401D
_NO_NAMESPACE, _EVERY = 0x400B, 0xFFFFFFFF
_OUT_OF_RANGE, _UNWRITTEN = 0x4080, 0x4281  # LBA out of range; unrecovered read error: both for good
_WRITE_FAULT = 0x4280
FLUSH, WRITE, READ = 0x00, 0x01, 0x02
GET_LOG, IDENTIFY, SET_FEATURES, ASYNC_EVENT, KEEP_ALIVE, FORMAT, SANITIZE = 0x02, 0x06, 0x09, 0x0C, 0x18, 0x80, 0x84
_PAGE = 4096
_ACTIONS = {1: "exit failure mode", 2: "block erase", 3: "overwrite", 4: "crypto erase"}
_NEVER, _DONE, _UNDER_WAY, _FAILED = 0, 1, 2, 3


class Fault(enum.Enum):
    """What a sanitize does instead of erasing."""

    NONE = "erases"
    FAILS = "ends with a failure"
    LIES = "says that it has erased and has not"


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a command gives back: ``status`` with its type and the bit "do not retry"; data; a result of 8 bytes."""

    status: int = OK
    data: bytes = b""
    result: int = 0


@dataclasses.dataclass
class Controller:
    """``media``: of namespace 1, ``more``: of those after it, ``detached``: of those that hosts are not shown.

    ``ways``: bits of SANICAP (1 crypto, 2 block erase, 4 overwrite); ``seconds``: how long a sanitize takes.
    ``formats``: whether it has the format command; ``fna``: bits of FNA (1 a format takes all, 2 a secure erase does).
    """

    media: media.Media
    serial: str
    more: tuple[media.Media, ...] = ()
    detached: tuple[media.Media, ...] = ()
    ways: int = 2
    formats: bool = False
    fna: int = 0
    seconds: float = 0.0
    fault: Fault = Fault.NONE
    state: int = _NEVER
    log: list[str] = dataclasses.field(default_factory=list[str])
    _work: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        """How hosts ask for it."""
        return f"nqn.2026-11.example:{self.serial.lower()}"

    def namespace_id(self, namespace: int) -> bytes:
        """What names a namespace everywhere (NGUID); Linux shows it as the disk's wwid, after ``eui.``."""
        return hashlib.sha256(f"{self.serial} {namespace}".encode()).digest()[:16]

    def _shown(self) -> dict[int, media.Media]:
        return dict(enumerate((self.media, *self.more), 1))

    def _all(self) -> tuple[media.Media, ...]:
        return (self.media, *self.more, *self.detached)

    def admin(self, entry: bytes, number: int) -> Answer:
        """One admin command but for the fabric's own; ``number``: of the controller."""
        words, namespace = struct.unpack_from("<6I", entry, 40), struct.unpack_from("<I", entry, 4)[0]
        match entry[0]:
            case _ if entry[0] == IDENTIFY:
                return self._identify(words[0] & 0xFF, namespace, number)
            case _ if entry[0] == GET_LOG:
                return self._log_page(words[0])
            case _ if entry[0] == SET_FEATURES:
                return Answer() if words[0] & 0xFF in (0x07, 0x0B, 0x0F) else Answer(INVALID_FIELD)
            case _ if entry[0] == KEEP_ALIVE:
                return Answer()
            case _ if entry[0] == SANITIZE and self.ways:
                return self._sanitize(words[0] & 7)
            case _ if entry[0] == FORMAT and self.formats:
                return self._format(namespace, words[0] >> 9 & 7)
            case _:
                return Answer(INVALID_OPCODE)

    def move(self, entry: bytes, data: bytes) -> Answer:
        """One command of the I/O queue."""
        if self.state in (_UNDER_WAY, _FAILED):
            return Answer(SANITIZING if self.state == _UNDER_WAY else SANITIZE_FAILED)
        if entry[0] == FLUSH:
            return Answer()
        if entry[0] not in (READ, WRITE):
            return Answer(INVALID_OPCODE)
        kept = self._shown().get(struct.unpack_from("<I", entry, 4)[0])
        if kept is None:
            return Answer(_NO_NAMESPACE)
        first, count = struct.unpack_from("<QH", entry, 40)
        if first + count + 1 > kept.blocks:
            return Answer(_OUT_OF_RANGE)
        try:
            if entry[0] == READ:
                return Answer(data=kept.read(first, count + 1))
            kept.write(first, data)
        except media.DeadBlockError:
            return Answer(_UNWRITTEN if entry[0] == READ else _WRITE_FAULT)
        return Answer()

    def _sanitize(self, action: int) -> Answer:
        name = f"SANITIZE {_ACTIONS.get(action, action)}"
        bit = {4: 1, 2: 2, 3: 4}.get(action, 0)
        if self.state == _UNDER_WAY:
            return self._refused(name, SANITIZING, "one is under way")
        if not self.ways & bit:
            return self._refused(name, INVALID_FIELD, "not offered")
        self.log.append(name)
        self.state = _UNDER_WAY
        self._work = asyncio.get_running_loop().create_task(self._erase())
        return Answer()

    def _refused(self, name: str, status: int, why: str) -> Answer:
        self.log.append(f"{name}: refused, {why}")
        return Answer(status)

    async def _erase(self) -> None:
        await asyncio.sleep(self.seconds)
        if self.fault is Fault.NONE:
            for kept in self._all():
                kept.wipe()
        self.state = _FAILED if self.fault is Fault.FAILS else _DONE
        self.log.append("(sanitize ends)" if self.state == _DONE else "(sanitize fails)")

    def _format(self, namespace: int, kind: int) -> Answer:
        self.log.append(f"FORMAT of namespace {namespace}, secure erase {kind}")
        if kind not in (0, 1):
            return Answer(INVALID_FIELD)
        if namespace != _EVERY and namespace not in self._shown():
            return Answer(_NO_NAMESPACE)
        if self.fault is not Fault.LIES:
            for kept in self._all() if self.fna or namespace == _EVERY else (self._shown()[namespace],):
                kept.wipe()
        return Answer()

    def _log_page(self, word: int) -> Answer:
        length = ((word >> 16) + 1) * 4
        page = b""
        if word & 0xFF == 0x81:
            page = struct.pack("<HH", 0x8000 if self.state == _UNDER_WAY else 0xFFFF, self.state)
        return Answer(data=page.ljust(length, b"\0")[:length])

    def _identify(self, kind: int, namespace: int, number: int) -> Answer:
        shown = self._shown()
        match kind:
            case 0x00 | 0x03 if namespace not in shown:
                return Answer(_NO_NAMESPACE)
            case 0x00:
                return Answer(data=self._namespace(namespace, shown[namespace].blocks))
            case 0x01:
                return Answer(data=self._controller(number))
            case 0x02:
                return Answer(data=_numbers(len(shown), namespace))
            case 0x10 if self.detached:
                return Answer(data=_numbers(len(self._all()), namespace))
            case 0x03:
                return Answer(data=(bytes([2, 16, 0, 0]) + self.namespace_id(namespace)).ljust(_PAGE, b"\0"))
            case _:
                return Answer(INVALID_FIELD)

    def _namespace(self, number: int, blocks: int) -> bytes:
        page = bytearray(_PAGE)
        struct.pack_into("<QQQ", page, 0, *[blocks] * 3)
        page[104:120] = self.namespace_id(number)
        struct.pack_into("<I", page, 128, 9 << 16)  # blocks of 2^9 bytes
        return bytes(page)

    def _controller(self, number: int) -> bytes:
        page = bytearray(_PAGE)
        page[4:24], page[24:64] = self.serial.encode().ljust(20), b"INGOT NVME DISK".ljust(40)
        page[64:72] = b"1.0".ljust(8)
        page[77] = 5  # moves 2^5 pages at once
        struct.pack_into("<HI", page, 78, number, 0x00010400)
        page[111] = 1  # an I/O controller
        struct.pack_into("<H", page, 256, 2 * self.formats | 8 * bool(self.detached))  # 8: manages namespaces
        struct.pack_into("<H", page, 320, 10)  # keep alive, in steps of a second
        struct.pack_into("<I", page, 328, self.ways)
        page[512], page[513] = 0x66, 0x44
        struct.pack_into("<HI", page, 514, 128, len(self._all()))
        page[524] = self.fna
        struct.pack_into("<I", page, 536, 1)  # scatter lists, which a fabric needs
        page[768:1024] = self.name.encode().ljust(256, b"\0")
        struct.pack_into("<IIH", page, 1792, 4, 1, 0)  # no data of I/O commands in their capsules
        page[1803] = 1
        return bytes(page)


def _numbers(count: int, after: int) -> bytes:
    """A page with the numbers of namespaces above ``after``."""
    return struct.pack(f"<{max(0, count - after)}I", *range(after + 1, count + 1)).ljust(_PAGE, b"\0")
