"""Have an ATA disk erase itself by its security feature set.

May not: decide that a disk is to be erased. Invariant: whenever this fails after a password was set, the disk is
left without one, or the error says which one it has. No emulator has this feature set, so only the reading of
identify data is tested here; the commands follow the standard. Source: ATA8-ACS 4.21 and 7.44-7.49 (security),
SAT-3 12.2 (ATA pass-through), include/scsi/sg.h.
"""

from __future__ import annotations

import array
import fcntl
import os
import struct
from dataclasses import dataclass

from ingot_agent import errors

_SG_IO, _GET_IDENTITY = 0x2285, 0x030D
_SET_PASSWORD, _UNLOCK, _PREPARE, _ERASE, _DISABLE, _IDENTIFY = 0xF1, 0xF2, 0xF3, 0xF4, 0xF6, 0xEC
_NO_DATA, _READ, _WRITE = 3, 4, 5  # protocols of the pass-through
_PASSWORD = b"NULL"  # as Ironic's agent uses, so that a disk locked by a cut erase can be opened by either
_SHORT = 30.0


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
        sense.buffer_info()[0], int(timeout * 1000), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    )  # fmt: skip
    answer = bytearray(head)
    fcntl.ioctl(descriptor, _SG_IO, answer)
    host, driver = struct.unpack_from("=HH", answer, 68)
    failed = host or driver & 0x0F not in (0, 8) or _refused(sense.tobytes())
    if failed:
        raise OSError(5, f"the disk refused ATA command 0x{command:02x}")
    return buffer.tobytes()


def _refused(sense: bytes) -> bool:
    """Whether the status that came back (an ATA descriptor in the sense data) has its error or fault bit set."""
    if sense[0] & 0x7F == 0x72 and sense[8] == 0x09:
        return bool(sense[21] & 0x21)
    return sense[0] & 0x7F in (0x70, 0x71) and sense[2] & 0x0F not in (0, 1)


def _with_password(control: int) -> bytes:
    return struct.pack("<H", control) + _PASSWORD.ljust(32, b"\0") + bytes(478)


def find(path: str) -> Security | None:
    """The disk's security state; None when it is no ATA disk or has no such feature set."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        found = security(bytes(fcntl.ioctl(descriptor, _GET_IDENTITY, bytes(512))))
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return found if found.supported else None


def erase(path: str) -> str | None:
    """Erase an ATA disk; says how, None when it cannot. Raises BlockDeviceEraseError when it could and did not."""
    state = find(path)
    if state is None:
        return None
    if state.frozen:
        raise errors.BlockDeviceEraseError(
            f"The firmware has frozen the ATA security of {path}. Switch that off there, or power-cycle the disk."
        )
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        _unlock(descriptor, state)
        _pass(descriptor, _SET_PASSWORD, _WRITE, _with_password(0))
        try:
            _pass(descriptor, _PREPARE, _NO_DATA)
            limit = max(state.minutes * 120.0, 12 * 3600.0)
            _pass(descriptor, _ERASE, _WRITE, _with_password(2 if state.enhanced else 0), limit)
        finally:
            after = security(_pass(descriptor, _IDENTIFY, _READ))
            if after.enabled:
                _pass(descriptor, _DISABLE, _WRITE, _with_password(0))
    except OSError as error:
        text = f"{path} did not erase itself: {error.strerror}. If it is locked now, its password is NULL."
        raise errors.BlockDeviceEraseError(text) from error
    finally:
        os.close(descriptor)
    return f"ATA {'enhanced ' if state.enhanced else ''}secure erase"


def _unlock(descriptor: int, state: Security) -> None:
    """Open a disk that a cut erase left with our password."""
    if state.locked:
        _pass(descriptor, _UNLOCK, _WRITE, _with_password(0))
    if state.enabled:
        _pass(descriptor, _DISABLE, _WRITE, _with_password(0))
