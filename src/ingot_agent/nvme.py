"""Have an NVMe disk erase itself: format with secure erase, or sanitize.

May not: decide that a disk is to be erased. Invariant: the namespace keeps its LBA format and protection settings.
Source: NVM Express base specification 1.4: 5.15.2 (identify), 5.23 (format), 5.24 (sanitize), 5.14.1.16 (sanitize
status); include/uapi/linux/nvme_ioctl.h.
"""

from __future__ import annotations

import array
import fcntl
import os
import struct
import threading
import time
from dataclasses import dataclass

from ingot_agent import errors, log

_ADMIN_COMMAND = 0xC0484E41
_GET_NAMESPACE = 0x4E40
_IDENTIFY, _GET_LOG, _FORMAT, _SANITIZE = 0x06, 0x02, 0x80, 0x84
_SANITIZE_LOG = 0x81
_PATIENCE = 4 * 3600.0


@dataclass(frozen=True)
class Abilities:
    """What the controller says it can: ``format``, also by changing its key (``crypto``); sanitize by these actions."""

    format: bool
    crypto: bool
    sanitize: tuple[int, ...]


def abilities(identity: bytes) -> Abilities:
    """Read the controller's identify data (4096 bytes)."""
    optional, kinds = struct.unpack_from("<H", identity, 256)[0], struct.unpack_from("<I", identity, 328)[0]
    ways = [action for bit, action in ((1, 4), (2, 2), (4, 3)) if kinds & bit]  # crypto, block erase, overwrite
    return Abilities(bool(optional & 2), bool(identity[524] & 4), tuple(ways))


def format_word(namespace: bytes, crypto: bool) -> int:
    """Dword 10 of the format command: secure erase, all else as the namespace's identify data has it."""
    flbas, protection = namespace[26], namespace[29]
    word = flbas & 0x0F | (flbas >> 5 & 3) << 12 | (flbas >> 4 & 1) << 4
    return word | (protection & 7) << 5 | (protection >> 3 & 1) << 8 | (2 if crypto else 1) << 9


def _command(descriptor: int, opcode: int, namespace: int, words: tuple[int, ...], length: int = 0) -> bytes:
    """Send an admin command; gives what it returned. Raises OSError (also for the disk's own refusal)."""
    answer = array.array("B", bytes(length or 1))
    address = answer.buffer_info()[0] if length else 0
    dwords = (*words, *(0,) * (6 - len(words)))
    request = struct.pack(
        "<BBHIIIQQII6III", opcode, 0, 0, namespace, 0, 0, 0, address, 0, length, *dwords, int(_PATIENCE * 1000), 0
    )
    status = fcntl.ioctl(descriptor, _ADMIN_COMMAND, bytearray(request))
    if status:
        raise OSError(5, f"the disk answered status 0x{status:x}")
    return answer.tobytes()


def settle(path: str) -> None:
    """Wait for the end of a sanitize that a loss of power or an aborted run left under way: until then nothing is read.

    Raises BlockDeviceEraseError when the last sanitize failed. A disk that does not say is taken to be idle: whatever
    is written to it next is read back.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        if abilities(_command(descriptor, _IDENTIFY, 0, (1,), 4096)).sanitize and _sanitizing(descriptor) in (2, 3):
            _await_sanitize(descriptor, path)
    except OSError as error:
        log.line(f"{path} does not say how its sanitize stands: {error.strerror}")
    finally:
        os.close(descriptor)


def erase(path: str) -> str:
    """Erase a whole NVMe namespace; says by which command. Raises BlockDeviceEraseError when it offers none."""
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        return _erase(descriptor, path)
    except OSError as error:
        raise errors.BlockDeviceEraseError(f"{path} did not erase itself: {error.strerror}.") from error
    finally:
        os.close(descriptor)


def _erase(descriptor: int, path: str) -> str:
    number = fcntl.ioctl(descriptor, _GET_NAMESPACE)
    can = abilities(_command(descriptor, _IDENTIFY, 0, (1,), 4096))
    if can.format:
        namespace = _command(descriptor, _IDENTIFY, number, (0,), 4096)
        _command(descriptor, _FORMAT, number, (format_word(namespace, can.crypto),))
        return f"NVMe format with {'cryptographic' if can.crypto else 'user data'} erase"
    if can.sanitize:
        _command(descriptor, _SANITIZE, 0, (can.sanitize[0] | (1 << 4 if can.sanitize[0] == 3 else 0),))
        _await_sanitize(descriptor, path)
        return f"NVMe sanitize with {({4: 'cryptographic erase', 2: 'block erase', 3: 'overwrite'})[can.sanitize[0]]}"
    raise errors.BlockDeviceEraseError(f"{path} offers neither NVMe format nor sanitize.")


def _sanitizing(descriptor: int) -> int:
    """How the last sanitize stands: 0 there was none, 1 and 4 done, 2 under way, 3 failed."""
    page = _command(descriptor, _GET_LOG, 0xFFFFFFFF, (_SANITIZE_LOG | (512 // 4 - 1) << 16,), 512)
    return int(struct.unpack_from("<H", page, 2)[0]) & 7


def _await_sanitize(descriptor: int, path: str) -> None:
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        state = _sanitizing(descriptor)
        if state in (1, 4):
            return
        if state == 3:
            raise errors.BlockDeviceEraseError(f"The NVMe sanitize of {path} failed, and it gives no data. Replace it.")
        threading.Event().wait(1)
    raise errors.BlockDeviceEraseError(f"{path} did not end its NVMe sanitize in {_PATIENCE:g} s. Replace the disk.")
