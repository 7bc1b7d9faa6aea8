"""Read and mend a GUID partition table: move its backup to the disk's end, add a partition.

Why: one write at each end instead of a tool, its libraries and its retries. May not: know images.
Invariants: a table is changed only when its checksums are right; the backup is written before the primary
one. Source: UEFI specification 2.10, chapter 5.
"""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import dataclass, replace

from ingot_agent import blockdev, errors

_SIGNATURE = b"EFI PART"
_HEADER = struct.Struct("<8sIIIIQQQQ16sQIII")
_ENTRY = struct.Struct("<16s16sQQQ72s")
_ALIGN = 1 << 20


def guid(text: str) -> bytes:
    """The 16 bytes of a GUID as they lie on the disk."""
    a, b, c, d, e = text.split("-")
    return struct.pack("<IHH", int(a, 16), int(b, 16), int(c, 16)) + bytes.fromhex(d + e)


LINUX = guid("0fc63daf-8483-4772-8e79-3d69d8477de4")
ESP = guid("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
BIOS_BOOT = guid("21686148-6449-6e6f-744e-656564454649")


@dataclass(frozen=True)
class Partition:
    """One entry; ``first`` and ``last`` are sectors, both belonging to it; ``number`` counts from 1."""

    number: int
    kind: bytes
    unique: bytes
    first: int
    last: int
    name: str
    attributes: int = 0


@dataclass(frozen=True)
class Table:
    """A whole table; positions in sectors of ``sector`` bytes."""

    sector: int
    disk_guid: bytes
    first_usable: int
    last_usable: int
    slots: int
    entry_size: int
    partitions: tuple[Partition, ...]


def _parse_entries(raw: bytes, slots: int, size: int) -> tuple[Partition, ...]:
    found: list[Partition] = []
    for index in range(slots):
        kind, unique, first, last, attributes, name = _ENTRY.unpack_from(raw, index * size)
        if any(kind):
            label = name.decode("utf-16-le", "replace").split("\0")[0]
            found.append(Partition(index + 1, kind, unique, first, last, label, attributes))
    return tuple(found)


def find(device: blockdev.Device) -> Table | None:
    """Read the primary table; None when there is no whole one."""
    raw = device.read(device.sector, device.sector)
    if len(raw) < _HEADER.size or not raw.startswith(_SIGNATURE):
        return None
    fields = _HEADER.unpack_from(raw)
    size, checksum = fields[2], fields[3]
    first, last, disk_guid, entries_at, slots, entry_size, entries_checksum = fields[7:14]
    if not 92 <= size <= device.sector or not 128 <= entry_size <= 4096 or not 1 <= slots <= 1024:
        return None
    if zlib.crc32(raw[:16] + bytes(4) + raw[20:size]) != checksum:
        return None
    entries = device.read(entries_at * device.sector, slots * entry_size)
    if zlib.crc32(entries) != entries_checksum:
        return None
    return Table(device.sector, disk_guid, first, last, slots, entry_size, _parse_entries(entries, slots, entry_size))


def random_guid() -> bytes:
    """A fresh GUID (version 4) as it lies on the disk."""
    unique = bytearray(os.urandom(16))
    unique[7], unique[8] = unique[7] & 0x0F | 0x40, unique[8] & 0x3F | 0x80
    return bytes(unique)


def empty(device: blockdev.Device, partitions: tuple[Partition, ...]) -> Table:
    """A new table for a disk, with these partitions in it."""
    sectors, room = device.size // device.sector, -(-128 * 128 // device.sector)
    return Table(device.sector, random_guid(), 2 + room, sectors - room - 2, 128, 128, partitions)


def _entries(table: Table) -> bytes:
    raw = bytearray(table.slots * table.entry_size)
    for one in table.partitions:
        name = one.name.encode("utf-16-le")[:72].ljust(72, b"\0")
        entry = _ENTRY.pack(one.kind, one.unique, one.first, one.last, one.attributes, name)
        at = (one.number - 1) * table.entry_size
        raw[at : at + _ENTRY.size] = entry
    return bytes(raw)


def _header(table: Table, mine: int, other: int, entries_at: int, entries: bytes) -> bytes:
    usable = (table.first_usable, table.last_usable, table.disk_guid, entries_at)
    tail = (table.slots, table.entry_size, zlib.crc32(entries))
    plain = _HEADER.pack(_SIGNATURE, 0x10000, 92, 0, 0, mine, other, *usable, *tail)
    return (plain[:16] + struct.pack("<I", zlib.crc32(plain)) + plain[20:]).ljust(table.sector, b"\0")


def fit(table: Table, size: int) -> Table:
    """The same table for a disk of ``size`` bytes.

    Raises ImageWriteError when a partition reaches beyond its end.
    """
    sectors = size // table.sector
    room = -(-table.slots * table.entry_size // table.sector)
    last = sectors - room - 2
    beyond = next((one for one in table.partitions if one.last > last), None)
    if beyond is not None:
        needed, there = (beyond.last + room + 2) * table.sector, size
        raise errors.ImageWriteError(
            f"Partition {beyond.number} of the image ends beyond the disk: it needs {needed} bytes, the disk "
            f"has {there}. "
            "Choose a larger disk or a smaller image."
        )
    return replace(table, last_usable=last)


def write(device: blockdev.Device, table: Table) -> None:
    """Write backup, then primary, with right positions and checksums."""
    entries = _entries(table)
    room = -(-len(entries) // table.sector)
    last = device.size // table.sector - 1
    padded = entries.ljust(room * table.sector, b"\0")
    backup = padded + _header(table, last, 1, last - room, entries)
    device.write(memoryview(backup), (last - room) * table.sector)
    primary = _header(table, 1, last, 2, entries) + padded
    device.write(memoryview(primary), table.sector)
    _write_protective(device, last)
    device.flush()


def _write_protective(device: blockdev.Device, last: int) -> None:
    """Let the protective MBR entry cover the whole disk; boot code and other (hybrid) entries stay."""
    raw = bytearray(device.read(0, 512))
    if bytes(raw[510:512]) != b"\x55\xaa":  # a new table
        raw[446:512] = struct.pack("<B3sB3sII", 0, b"\0\2\0", 0xEE, b"\xff\xff\xff", 1, 0).ljust(66, b"\0")
    for at in (446, 462, 478, 494):
        if raw[at + 4] == 0xEE:
            struct.pack_into("<II", raw, at + 8, 1, min(last, 0xFFFFFFFF))
            raw[510:512] = b"\x55\xaa"
            sector = bytes(raw) + device.read(512, device.sector - 512) if device.sector > 512 else bytes(raw)
            device.write(memoryview(sector), 0)
            return


def add_at_end(table: Table, size: int, name: str) -> tuple[Table, Partition]:
    """Add a Linux partition of ``size`` bytes at the end of the free room.

    Raises ImageWriteError when there is none.
    """
    count, align = size // table.sector, _ALIGN // table.sector
    taken = max((one.last for one in table.partitions), default=table.first_usable - 1)
    first = (table.last_usable + 1 - count) // align * align
    used = {one.number for one in table.partitions}
    number = next((one for one in range(1, table.slots + 1) if one not in used), 0)
    if first <= taken or number == 0:
        free = max(0, (table.last_usable - taken) * table.sector)
        raise errors.ImageWriteError(
            f"There is no room for the {name} partition of {size} bytes: {free} bytes are free after the "
            "image. "
            "Choose a larger disk or a smaller image."
        )
    added = Partition(number, LINUX, random_guid(), first, first + count - 1, name)
    return replace(table, partitions=(*table.partitions, added)), added
