"""Have an NVMe disk erase itself: format with secure erase, or sanitize.

May not: decide that a disk is to be erased. Invariants: a namespace keeps its LBA format and protection settings; a
command that takes every namespace is sent only where every one of them is to be erased.
Source: NVM Express base specification 1.4: 5.15.2 (identify; figure 247: FNA), 5.23 (format), 5.24 (sanitize),
5.14.1.16 (sanitize status); include/uapi/linux/nvme_ioctl.h.
"""

from __future__ import annotations

import array
import fcntl
import os
import struct
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from ingot_agent import errors, log, settings, sysfile

_ADMIN_COMMAND = 0xC0484E41
_GET_NAMESPACE = 0x4E40
_IDENTIFY, _GET_LOG, _FORMAT, _SANITIZE = 0x06, 0x02, 0x80, 0x84
_ACTIVE, _ALLOCATED = 0x02, 0x10
_SANITIZE_LOG = 0x81
_PATIENCE = 4 * 3600.0


@dataclass(frozen=True)
class Abilities:
    """What the controller says it can: ``format``, also by changing its key (``crypto``); sanitize by these actions.

    ``format_all``: a format of one namespace takes them all; ``erase_all``: so does its secure erase. ``listing``: the
    kind of identify data (CNS) that names every namespace, also those that this controller does not show.
    """

    format: bool
    crypto: bool
    format_all: bool
    erase_all: bool
    sanitize: tuple[int, ...]
    listing: int

    @property
    def takes_all(self) -> bool:
        """Whether all its ways to erase are ways to erase every namespace."""
        return self.format_all or self.erase_all if self.format else bool(self.sanitize)


def abilities(identity: bytes) -> Abilities:
    """Read the controller's identify data (4096 bytes)."""
    optional, kinds = struct.unpack_from("<H", identity, 256)[0], struct.unpack_from("<I", identity, 328)[0]
    ways = [action for bit, action in ((1, 4), (2, 2), (4, 3)) if kinds & bit]  # crypto, block erase, overwrite
    how = identity[524]
    listing = _ALLOCATED if optional & 8 else _ACTIVE
    return Abilities(bool(optional & 2), bool(how & 4), bool(how & 1), bool(how & 2), tuple(ways), listing)


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
    try:
        with open(path, "rb+", buffering=0) as disk:
            if _identify(disk.fileno()).sanitize and _sanitizing(disk.fileno()) in (2, 3):
                _await_sanitize(disk.fileno(), path)
    except OSError as error:
        log.line(f"{path} does not say how its sanitize stands: {error.strerror}")


def subsystem(path: str, roots: settings.Roots) -> str:
    """The NVMe subsystem a disk belongs to; "" when it is no NVMe disk."""
    name = os.path.basename(path)
    return sysfile.read(f"{roots.sys}/block/{name}/device/subsysnqn") if name.startswith("nvme") else ""


def takes_all(path: str) -> bool:
    """Whether this disk's controller can erase by itself only every namespace at once; False when it does not say."""
    try:
        with open(path, "rb+", buffering=0) as disk:
            return _identify(disk.fileno()).takes_all
    except OSError:
        return False


def erase(paths: Sequence[str], alone: bool) -> str | None:
    """Erase one namespace, or all those of a controller that takes them together; says by which command.

    None when every command would take another namespace, too; ``alone``: the machine has none of this subsystem beside
    ``paths``. Raises BlockDeviceEraseError when the disk offers no command, or did not do it.
    """
    try:
        numbers: list[int] = []
        for path in paths:
            with open(path, "rb+", buffering=0) as disk:
                numbers.append(fcntl.ioctl(disk.fileno(), _GET_NAMESPACE))
        with open(paths[0], "rb+", buffering=0) as disk:
            return _erase(disk.fileno(), paths[0], sorted(numbers), alone)
    except OSError as error:
        raise errors.BlockDeviceEraseError(f"{' and '.join(paths)} did not erase itself: {error.strerror}.") from error


def _erase(descriptor: int, path: str, numbers: list[int], alone: bool) -> str | None:
    can = _identify(descriptor)
    if not (can.format or can.sanitize):
        raise errors.BlockDeviceEraseError(f"{path} offers neither NVMe format nor sanitize.")
    if can.takes_all and not (alone and _namespaces(descriptor, can.listing) == numbers):
        return None
    if can.format:
        for number in numbers[:1] if can.erase_all else numbers:
            namespace = _command(descriptor, _IDENTIFY, number, (0,), 4096)
            _command(descriptor, _FORMAT, number, (format_word(namespace, can.crypto),))
        return f"NVMe format with {'cryptographic' if can.crypto else 'user data'} erase"
    _command(descriptor, _SANITIZE, 0, (can.sanitize[0] | (1 << 4 if can.sanitize[0] == 3 else 0),))
    _await_sanitize(descriptor, path)
    return f"NVMe sanitize with {({4: 'cryptographic erase', 2: 'block erase', 3: 'overwrite'})[can.sanitize[0]]}"


def _identify(descriptor: int) -> Abilities:
    return abilities(_command(descriptor, _IDENTIFY, 0, (1,), 4096))


def _namespaces(descriptor: int, listing: int) -> list[int]:
    """The numbers of all namespaces, sorted. Raises OSError."""
    page = _command(descriptor, _IDENTIFY, 0, (listing,), 4096)
    return [number for (number,) in struct.iter_unpack("<I", page) if number]


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
