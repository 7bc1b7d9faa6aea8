"""Read an MBR partition table and add one partition at the disk's end.

May not: touch boot code or existing entries. Invariant: a table is changed only when its signature is there.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass

from ingot_agent import blockdev, errors

_ENTRIES = (446, 462, 478, 494)
_FAR = b"\xfe\xff\xff"  # cylinder, head and sector of what lies beyond their reach


@dataclass(frozen=True)
class Partition:
    """One primary entry; start and length in sectors, ``number`` counts from 1."""

    number: int
    kind: int
    first: int
    count: int


def find(device: blockdev.Device) -> list[Partition] | None:
    """The primary entries in use; None when the disk has no MBR."""
    raw = device.read(0, 512)
    if len(raw) < 512 or raw[510:] != b"\x55\xaa":
        return None
    found: list[Partition] = []
    for number, at in enumerate(_ENTRIES, start=1):
        kind, (first, count) = raw[at + 4], struct.unpack_from("<II", raw, at + 8)
        if kind and count:
            found.append(Partition(number, kind, first, count))
    return found


def create(device: blockdev.Device, partitions: list[Partition], *, active: int) -> None:
    """Write a new table without boot code; ``active`` is the number of the partition to start from.

    Raises ImageWriteError for more than four partitions, or places beyond what the table can name (2 TiB).
    """
    if len(partitions) > len(_ENTRIES) or any(one.first + one.count > 0xFFFFFFFF for one in partitions):
        raise errors.ImageWriteError("An MBR table cannot hold these partitions. Set the disk label to gpt.")
    raw = bytearray(device.sector)
    struct.pack_into("<I", raw, 440, int.from_bytes(os.urandom(4), "little"))
    for one in partitions:
        state = 0x80 if one.number == active else 0
        entry = struct.pack("<B3sB3sII", state, _FAR, one.kind, _FAR, one.first, one.count)
        raw[_ENTRIES[one.number - 1] : _ENTRIES[one.number - 1] + 16] = entry
    raw[510:512] = b"\x55\xaa"
    device.write(memoryview(bytes(raw)), 0)
    device.flush()


def add_at_end(device: blockdev.Device, size: int) -> Partition:
    """Add a Linux partition of ``size`` bytes at the end.

    Raises ImageWriteError when there is no slot or no room.
    """
    existing = find(device) or []
    sectors = min(device.size // device.sector, 0xFFFFFFFF)
    count, align = size // device.sector, (1 << 20) // device.sector
    first = (sectors - count) // align * align
    taken = max((one.first + one.count for one in existing), default=1)
    number = next((one for one in range(1, 5) if one not in {entry.number for entry in existing}), 0)
    if number == 0 or first < taken:
        raise errors.ImageWriteError(
            f"The image's MBR has no room for a config drive partition ({len(existing)} of 4 entries used, "
            f"{max(0, sectors - taken) * device.sector} bytes free). Use a GPT image or a larger disk."
        )
    raw = bytearray(device.read(0, device.sector))
    entry = struct.pack("<B3sB3sII", 0, _FAR, 0x83, _FAR, first, count)
    raw[_ENTRIES[number - 1] : _ENTRIES[number - 1] + 16] = entry
    device.write(memoryview(bytes(raw)), 0)
    device.flush()
    return Partition(number, 0x83, first, count)
