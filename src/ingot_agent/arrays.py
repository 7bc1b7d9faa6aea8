"""Software RAID's arrays: what their members' superblocks tell, and which of them run.

May not: change anything. Source of the superblock: md(4), include/uapi/linux/raid/md_p.h. Invariant: an array lacks a
member only where its newest superblock counts on one that no device is.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from typing import BinaryIO

from ingot_agent import disks, settings, sysfile

_MAGIC = 0xA92B4EFC
_PLACES = (4096, 0)  # of version 1.2 and 1.1; 1.0 has it at the end
_HEAD = 256
_MOST = 1920  # members that a superblock has room for
_ACTIVE = 0xFF00  # roles from here on are no place in the array: spare, faulty, journal


@dataclass(frozen=True)
class Member:
    """A device that holds part of an array, and the disk it is on: paths; the array's identity and name, its level.

    ``number`` is the member's own, ``roles`` are those of all members by number, as of the change ``events``.
    """

    path: str
    disk: str
    array: bytes
    name: str
    level: int
    number: int = 0
    events: int = 0
    roles: tuple[int, ...] = ()


def members(roots: settings.Roots) -> list[Member]:
    """Every partition and disk that carries the superblock of an array."""
    found: list[Member] = []
    for disk in disks.find_all(roots):
        base = os.path.basename(disk.name)
        if base.startswith("md"):
            continue
        folder = f"{roots.sys}/block/{base}"
        parts = [one for one in sysfile.names(folder) if one.startswith(base)]
        for one in (base, *parts):  # a disk that is a member as a whole may show the partitions of what the array holds
            size = sysfile.number(f"{folder}/{one}/size" if one != base else f"{folder}/size") * 512
            member = _read(f"{roots.dev}/{one}", disk.name, size)
            if member is not None:
                found.append(member)
    return found


def running(roots: settings.Roots) -> dict[str, list[str]]:
    """Arrays that run (``/dev/md0``) with their members' paths."""
    names = [one for one in sysfile.names(f"{roots.sys}/block") if one.startswith("md")]
    return {
        f"{roots.dev}/{one}": [f"{roots.dev}/{part}" for part in sysfile.names(f"{roots.sys}/block/{one}/slaves")]
        for one in names
        if sysfile.number(f"{roots.sys}/block/{one}/size")
    }


def lacking(parts: list[Member]) -> int:
    """How many members of an array are not among these, its own: disks that come late, or have died."""
    newest = max(parts, key=lambda one: one.events)
    wanted = {number for number, role in enumerate(newest.roles) if role < _ACTIVE}
    return len(wanted - {one.number for one in parts})


def plain_name(name: str) -> str:
    """An array's name without the host's in front."""
    return name.rpartition(":")[2]


def _read(path: str, disk: str, size: int) -> Member | None:
    """The member that a device is by its superblock of version 1 (1.2, 1.1 or 1.0); None when it has none."""
    try:
        with open(path, "rb") as file:
            for place in (*_PLACES, (size // 512 - 16) // 8 * 8 * 512):
                found = _superblock(file, place)
                if found is not None:
                    array, name, level, number, events, roles = found
                    return Member(path, disk, array, name, level, number, events, roles)
    except OSError:
        return None
    return None


def _superblock(file: BinaryIO, place: int) -> tuple[bytes, str, int, int, int, tuple[int, ...]] | None:
    file.seek(place)
    raw = file.read(_HEAD)
    if len(raw) < _HEAD or struct.unpack_from("<II", raw) != (_MAGIC, 1):
        return None
    if struct.unpack_from("<Q", raw, 144)[0] * 512 != place:  # a partition's that ends, or begins, where its disk does
        return None
    name = plain_name(raw[32:64].rstrip(b"\0").decode("utf-8", "replace"))
    level, number = struct.unpack_from("<i", raw, 72)[0], struct.unpack_from("<I", raw, 160)[0]
    events, count = struct.unpack_from("<Q", raw, 200)[0], struct.unpack_from("<I", raw, 220)[0]
    told = file.read(2 * min(count, _MOST))
    return raw[16:32], name, level, number, events, struct.unpack(f"<{len(told) // 2}H", told[: len(told) & ~1])
