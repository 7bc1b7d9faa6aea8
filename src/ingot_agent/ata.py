"""Have an ATA disk erase itself by its security feature set.

May not: decide that a disk is to be erased. Invariant: whenever this fails after a password was set, the disk is
left without one, or the error says which one it has. Disks are spoken to by SCSI alone, so one behind a SAS
controller is like one at a SATA port. Source: ATA8-ACS 4.21 and 7.44-7.49 (security), SAT-3 12.2 (ATA pass-through),
include/scsi/sg.h.
"""

from __future__ import annotations

import array
import fcntl
import struct
from dataclasses import dataclass

from ingot_agent import errors, log

_SG_IO = 0x2285
_SET_PASSWORD, _UNLOCK, _PREPARE, _ERASE, _DISABLE, _IDENTIFY = 0xF1, 0xF2, 0xF3, 0xF4, 0xF6, 0xEC
_NAMES = {
    _SET_PASSWORD: "SECURITY SET PASSWORD",
    _UNLOCK: "SECURITY UNLOCK",
    _PREPARE: "SECURITY ERASE PREPARE",
    _ERASE: "SECURITY ERASE UNIT",
    _DISABLE: "SECURITY DISABLE PASSWORD",
    _IDENTIFY: "IDENTIFY DEVICE",
}
_KEYS = {2: "not ready", 3: "medium error", 4: "hardware error", 5: "illegal request", 7: "data protect", 11: "aborted"}
_NO_DATA, _READ, _WRITE = 3, 4, 5  # protocols of the pass-through
_PASSWORD = b"NULL"  # as Ironic's agent uses, so that a disk locked by a cut erase can be opened by either
_SHORT = 30.0
_LONGEST = 0xFFFFFFFF // 1000  # seconds: SG_IO counts milliseconds in 32 bits


@dataclass(frozen=True)
class Security:
    """The security words of a disk's identify data; ``minutes`` an erase takes by the disk's own word (0: unknown)."""

    supported: bool
    enabled: bool
    locked: bool
    frozen: bool
    enhanced: bool
    minutes: int


def security(identity: bytes) -> Security:
    """Read identify data (512 bytes)."""
    words = struct.unpack("<256H", identity)
    status = words[128]
    enhanced = bool(status & 32)
    length = words[90] if enhanced else words[89]
    minutes = (length & 0x7FFF if length & 0x8000 else length & 0xFF) * 2
    return Security(bool(status & 1), bool(status & 2), bool(status & 4), bool(status & 8), enhanced, minutes)


def _pass(descriptor: int, command: int, protocol: int, data: bytes = b"", timeout: float = _SHORT) -> bytes:
    """One ATA command by SCSI pass-through; gives the data read. Raises OSError when the disk refuses."""
    buffer = array.array("B", data or bytes(512))
    count = 0 if protocol == _NO_DATA else 1
    transfer = {_NO_DATA: 0x20, _READ: 0x0E, _WRITE: 0x06}[protocol]  # check condition; length in sectors, direction
    cdb = array.array("B", struct.pack(">BBBHHHHHBBB", 0x85, protocol << 1, transfer, 0, count, 0, 0, 0, 0, command, 0))
    sense = array.array("B", bytes(64))
    direction = {_NO_DATA: -1, _READ: -3, _WRITE: -2}[protocol]
    head = struct.pack(
        "=iiBBHIQQQIIi4xQBBBBHHiII4x",
        ord("S"), direction, len(cdb), len(sense), 0, 512 * count, buffer.buffer_info()[0], cdb.buffer_info()[0],
        sense.buffer_info()[0], int(min(timeout, _LONGEST) * 1000), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    )  # fmt: skip
    answer = bytearray(head)
    fcntl.ioctl(descriptor, _SG_IO, answer)
    why = refusal(bytes(answer), sense.tobytes())
    if why:
        raise OSError(5, f"it answered {_NAMES[command]} with {why}")
    return buffer.tobytes()


def refusal(answer: bytes, sense: bytes) -> str:
    """Why a command failed, by SG_IO's structure and the sense data that came back; "" when it did not."""
    status, sensed = answer[64], answer[67]
    host, driver = struct.unpack_from("=HH", answer, 68)
    if host or driver & 0x0F not in (0, 8):
        return f"nothing (host status {host}, driver status {driver})"
    if not sensed:
        return f"status 0x{status:02x}" if status else ""
    described = sense[0] & 0x7F in (0x72, 0x73)
    key = sense[1] & 0x0F if described else sense[2] & 0x0F
    if described and sense[8] == 0x09 and sense[21] & 0x21:  # an ATA descriptor: its error or fault bit is set
        return f"{_KEYS.get(key, 'aborted')} (ATA status 0x{sense[21]:02x}, error 0x{sense[11]:02x})"
    return "" if key in (0, 1) else _KEYS.get(key, f"sense key {key}")


def _with_password(control: int) -> bytes:
    return struct.pack("<H", control) + _PASSWORD.ljust(32, b"\0") + bytes(478)


def find(path: str) -> Security | None:
    """The disk's security state; None when it is no ATA disk or has no such feature set."""
    try:
        with open(path, "rb", buffering=0) as disk:
            found = security(_pass(disk.fileno(), _IDENTIFY, _READ))
    except OSError:
        return None
    return found if found.supported else None


def release(path: str) -> None:
    """Take our password away from a disk on which an erase that was cut left it: it locks with the next loss of power.

    Raises BlockDeviceEraseError when it is locked by another: nothing can be read or written then.
    """
    state = find(path)
    if state is None or not state.enabled:
        return
    try:
        with open(path, "rb+", buffering=0) as disk:
            if state.locked:
                _pass(disk.fileno(), _UNLOCK, _WRITE, _with_password(0))
            _pass(disk.fileno(), _DISABLE, _WRITE, _with_password(0))
    except OSError as error:
        if not state.locked:
            log.line(f"{path} keeps its ATA password, which is not ours or is frozen: {error.strerror}")
            return
        how = "Its security is frozen, too: power-cycle it first. " if state.frozen else ""
        raise errors.BlockDeviceEraseError(
            f"{path} is locked by an ATA password, and ours does not open it ({error.strerror}). {how}Unlock it "
            "with its own, or erase it with its master password (hdparm --security-erase)."
        ) from error


def erase(path: str) -> str | None:
    """Erase an ATA disk; says how, None when it cannot. Raises BlockDeviceEraseError when it could and did not."""
    state = find(path)
    if state is None:
        return None
    if state.frozen:
        raise errors.BlockDeviceEraseError(
            f"The firmware has frozen the ATA security of {path}. Switch that off there, or power-cycle the disk."
        )
    try:
        with open(path, "rb+", buffering=0) as disk:
            _order(disk.fileno(), path, state)
    except OSError as error:
        raise errors.BlockDeviceEraseError(f"{path} did not erase itself: {error.strerror}.") from error
    return f"ATA {'enhanced ' if state.enhanced else ''}secure erase"


def _order(descriptor: int, path: str, state: Security) -> None:
    """Set our password and have the disk erase itself by it. Raises BlockDeviceEraseError."""
    try:
        _pass(descriptor, _SET_PASSWORD, _WRITE, _with_password(0))
        _pass(descriptor, _PREPARE, _NO_DATA)
        limit = max(state.minutes * 120.0, 12 * 3600.0)
        _pass(descriptor, _ERASE, _WRITE, _with_password(2 if state.enhanced else 0), limit)
        if security(_pass(descriptor, _IDENTIFY, _READ)).enabled:
            raise OSError(5, "it says that it has, but keeps the password, which an erase takes away")
    except OSError as error:
        text = f"{path} did not erase itself: {error.strerror}. {_disarmed(descriptor)}"
        raise errors.BlockDeviceEraseError(text) from error


def _disarmed(descriptor: int) -> str:
    """Take our password away from a disk that did not erase itself; says what became of it."""
    try:
        state = security(_pass(descriptor, _IDENTIFY, _READ))
        if state.locked:
            _pass(descriptor, _UNLOCK, _WRITE, _with_password(0))
        if state.enabled:
            _pass(descriptor, _DISABLE, _WRITE, _with_password(0))
    except OSError as error:
        return f"It may be locked now, by the password NULL ({error.strerror}). Replace it."
    return "It has no password."
