"""Make a new GUID partition table, and tell the kernel of one partition more while the disk is in use.

May not: choose places. Invariant: a table made here covers its whole disk and has a protective MBR.
Source: UEFI specification 2.10, chapter 5; include/uapi/linux/blkpg.h.
"""

from __future__ import annotations

import array
import fcntl
import struct
from dataclasses import replace

from ingot_agent import blockdev, errors, gpt

_BLKPG, _ADD, _DELETE = 0x1269, 1, 2
_SLOTS, _ENTRY_SIZE = 128, 128


def empty(size: int, sector: int) -> gpt.Table:
    """A table without partitions for a disk of ``size`` bytes."""
    room = _SLOTS * _ENTRY_SIZE // sector
    return gpt.Table(sector, gpt.random_guid(), room + 2, size // sector - room - 2, _SLOTS, _ENTRY_SIZE, ())


def add(table: gpt.Table, start: int, length: int, kind: bytes, name: str) -> gpt.Table:
    """Add a partition of ``length`` bytes at byte ``start``, the new one last in the list."""
    used = {one.number for one in table.partitions}
    number = next(one for one in range(1, table.slots + 1) if one not in used)
    first, count = start // table.sector, length // table.sector
    added = gpt.Partition(number, kind, gpt.random_guid(), first, first + count - 1, name)
    return replace(table, partitions=(*table.partitions, added))


def without(table: gpt.Table, names: set[int]) -> gpt.Table:
    """The table without the partitions of these numbers."""
    return replace(table, partitions=tuple(one for one in table.partitions if one.number not in names))


def create(device: blockdev.Device, table: gpt.Table) -> None:
    """Write a new table over whatever the disk's first sector held."""
    mbr = bytearray(device.sector)
    mbr[446:462] = struct.pack("<B3sB3sII", 0, b"\0\2\0", 0xEE, b"\xff\xff\xff", 1, 1)
    mbr[510:512] = b"\x55\xaa"
    device.write(memoryview(bytes(mbr)), 0)
    gpt.write(device, table)


def tell_kernel(device: blockdev.Device, number: int, start: int, length: int) -> None:
    """Add a partition (bytes) to those the kernel knows of a disk whose others are in use. Raises BlockDeviceError."""
    _partition_call(device, _ADD, number, start, length)


def forget(device: blockdev.Device, number: int) -> None:
    """Take one partition from those the kernel knows. Raises BlockDeviceError."""
    _partition_call(device, _DELETE, number, 0, 0)


def _partition_call(device: blockdev.Device, verb: int, number: int, start: int, length: int) -> None:
    if not device.is_block:
        return
    data = array.array("B", struct.pack("=qqi64s64s4x", start, length, number, b"", b""))
    order = struct.pack("=iii4xQ", verb, 0, len(data), data.buffer_info()[0])
    try:
        fcntl.ioctl(device.buffered, _BLKPG, order)
    except OSError as error:
        text = f"The kernel does not take partition {number} of {device.path}: {error.strerror}. Reboot the machine."
        raise errors.BlockDeviceError(text) from error
