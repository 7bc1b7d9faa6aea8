"""A SATA disk as its ATA commands see it: identify data and the security feature set, with faults on demand.

Why: no emulator has the security feature set, and whoever erases disks by it needs a peer that refuses as a disk does.
May not: know SCSI. Invariant: ``log`` has every command in its order, with why it was refused.
Source: ACS-3 (T13/2161-D): 4.18 security states, 7.12 IDENTIFY DEVICE, 7.45-7.50 SECURITY commands.
"""

from __future__ import annotations

import asyncio
import dataclasses
import enum
import struct

from ingot_rack.disks import media

IDENTIFY, SET_PASSWORD, UNLOCK, ERASE_PREPARE, ERASE_UNIT, FREEZE_LOCK, DISABLE_PASSWORD = (
    0xEC, 0xF1, 0xF2, 0xF3, 0xF4, 0xF5, 0xF6,
)  # fmt: skip
_NAMES = {
    IDENTIFY: "IDENTIFY DEVICE",
    SET_PASSWORD: "SECURITY SET PASSWORD",
    UNLOCK: "SECURITY UNLOCK",
    ERASE_PREPARE: "SECURITY ERASE PREPARE",
    ERASE_UNIT: "SECURITY ERASE UNIT",
    FREEZE_LOCK: "SECURITY FREEZE LOCK",
    DISABLE_PASSWORD: "SECURITY DISABLE PASSWORD",
}
WITH_DATA = (SET_PASSWORD, UNLOCK, ERASE_UNIT, DISABLE_PASSWORD)
_TRIES = 5


class Fault(enum.Enum):
    """What an erase does instead of erasing."""

    NONE = "erases"
    ABORTS = "says half-way that it cannot"
    DIES = "falls silent half-way, for good"
    LIES = "says that it has erased and has not"
    IDLES = "says that it has erased and has done nothing at all"


class AbortedError(Exception):
    """The disk does not do this now; its text says why, for the log."""


class DeadDiskError(Exception):
    """The disk does nothing any more."""


@dataclasses.dataclass
class Drive:
    """One disk. ``password``: the user's, of 32 bytes; ``seconds``: how long an erase takes; ``minutes``: what it tells
    of that time; ``log``: what was asked of it, IDENTIFY DEVICE left out.
    """

    media: media.Media
    serial: str
    model: str = "INGOT SATA DISK"
    supported: bool = True
    enhanced: bool = True
    frozen: bool = False
    locked: bool = False
    password: bytes | None = None
    seconds: float = 0.0
    minutes: int = 2
    fault: Fault = Fault.NONE
    dead: bool = False
    log: list[str] = dataclasses.field(default_factory=list[str])
    _prepared: bool = False
    _tries: int = _TRIES

    def power_cycle(self) -> None:
        """As after power was lost: a password locks it, nothing has frozen it yet."""
        self.locked, self.frozen = self.password is not None, False
        self._prepared, self._tries = False, _TRIES

    async def command(self, code: int, data: bytes) -> bytes:
        """Do one command with its 512 bytes; what it gives back. Raises AbortedError and DeadDiskError."""
        if self.dead:
            raise DeadDiskError
        if code == IDENTIFY:
            self._prepared = False
            return self.identity()
        name = _NAMES.get(code, f"command 0x{code:02x}")
        if code == ERASE_UNIT:
            name += " enhanced" if data[0] & 2 else " normal"
        try:
            await self._security(code, data)
        except AbortedError as error:
            self.log.append(f"{name}: aborted, {error}")
            raise
        finally:
            self._prepared = code == ERASE_PREPARE
        self.log.append(name)
        return b""

    async def _security(self, code: int, data: bytes) -> None:
        if not self.supported or code not in _NAMES:
            raise AbortedError("not supported")
        if self.frozen and code != FREEZE_LOCK:
            raise AbortedError("frozen")
        if self.locked and code not in (UNLOCK, ERASE_PREPARE, ERASE_UNIT):
            raise AbortedError("locked")
        match code:
            case _ if code == SET_PASSWORD:
                if not data[0] & 1:  # the master's password changes nothing that shows
                    self.password = data[2:34]
            case _ if code == UNLOCK:
                self._unlock(data)
            case _ if code == ERASE_UNIT:
                await self._erase(data)
            case _ if code == DISABLE_PASSWORD:
                self._compare(data)
                self.password = None
            case _ if code == FREEZE_LOCK:
                self.frozen = True
            case _:
                pass

    def _unlock(self, data: bytes) -> None:
        if not self._tries:
            raise AbortedError("too many wrong passwords since power-on")
        self._compare(data)
        self.locked = False

    def _compare(self, data: bytes) -> None:
        if self.password is not None and data[2:34] != self.password:
            self._tries = max(0, self._tries - 1)
            raise AbortedError("wrong password")

    async def _erase(self, data: bytes) -> None:
        if not self._prepared:
            raise AbortedError("ERASE PREPARE was not the command before")
        if self.password is None:
            raise AbortedError("no user password is set")
        if data[0] & 2 and not self.enhanced:
            raise AbortedError("it has no enhanced erase")
        self._compare(data)
        self.log.append("(erase begins)")
        if self.fault in (Fault.ABORTS, Fault.DIES):
            await asyncio.sleep(self.seconds / 2)
            if self.fault is Fault.ABORTS:
                raise AbortedError("the erase failed")
            self.dead = True
            raise DeadDiskError
        await asyncio.sleep(self.seconds)
        if self.fault is Fault.IDLES:
            return
        if self.fault is not Fault.LIES:
            self.media.wipe()
        self.password, self.locked = None, False

    def identity(self) -> bytes:
        """The 512 bytes of IDENTIFY DEVICE."""
        words = [0] * 256
        words[0], words[49], words[53], words[80] = 0x0040, 0x0300, 0x0006, 0x01F0
        for first, count, text in ((10, 10, self.serial), (23, 4, "1.0"), (27, 20, self.model)):
            words[first : first + count] = struct.unpack(f">{count}H", text.encode().ljust(2 * count)[: 2 * count])
        small = min(self.media.blocks, 0x0FFFFFFF)
        words[60], words[61] = small & 0xFFFF, small >> 16
        words[82], words[83], words[84] = 0x0020 | 2 * self.supported, 0x7400, 0x4000
        words[85], words[86], words[87] = 0x0020 | 2 * (self.password is not None), 0x3400, 0x4000
        words[100:104] = struct.unpack("<4H", struct.pack("<Q", self.media.blocks))
        words[217] = 1  # does not turn
        if self.supported:
            words[89] = words[90] = self.minutes // 2
            states = ((self.password is not None, 2), (self.locked, 4), (self.frozen, 8), (not self._tries, 16))
            words[128] = 1 | sum(bit for true, bit in states if true) | (32 if self.enhanced else 0)
        raw = struct.pack("<255H", *words[:255]) + b"\xa5"
        return raw + bytes([-sum(raw) & 0xFF])
