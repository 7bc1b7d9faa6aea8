"""Read an MBR partition table and add one partition at the disk's end.

May not: touch boot code or existing entries. Invariant: a table is changed only when its signature is there.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from ingot_agent import blockdev, errors

_ENTRIES = (446, 462, 478, 494)


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
    entry = struct.pack("<B3sB3sII", 0, b"\xfe\xff\xff", 0x83, b"\xfe\xff\xff", first, count)
    raw[_ENTRIES[number - 1] : _ENTRIES[number - 1] + 16] = entry
    device.write(memoryview(bytes(raw)), 0)
    device.flush()
    return Partition(number, 0x83, first, count)
