"""Which disks each wanted volume gets: pure, so that every rule can be tried without a controller.

May not: do I/O. Invariant: a disk's bytes are given away once, and a disk is shared only where all its volumes say so.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ingot.clients.redfish.storage import Controller, Drive
from ingot.domain import errors

GIB = 1 << 30
_BUSES = {"sata": "SATA", "sas": "SAS", "scsi": "SAS"}


class Level(msgspec.Struct, frozen=True):
    """A RAID level: Redfish's word, the least number of disks, what they must come in multiples of."""

    word: str
    least: int
    multiple: int = 1


LEVELS = {
    "JBOD": Level("None", 1),
    "0": Level("RAID0", 1),
    "1": Level("RAID1", 2, 2),
    "5": Level("RAID5", 3),
    "6": Level("RAID6", 4),
    "1+0": Level("RAID10", 4, 2),
    "5+0": Level("RAID50", 6, 2),
    "6+0": Level("RAID60", 8, 2),
}
WORDS = {level.word: name for name, level in LEVELS.items()}


class Choice(msgspec.Struct, frozen=True):
    """A volume to make: the wish as written, its controller and disks, its size in bytes."""

    wish: dict[str, Any]
    controller: Controller
    level: Level
    drives: tuple[Drive, ...]
    size: int


class _Free(msgspec.Struct):
    """What is left of a disk; ``alone``: a volume has it and does not share."""

    drive: Drive
    controller: Controller
    left: int
    alone: bool = False


def choose(wishes: list[dict[str, Any]], controllers: list[Controller]) -> list[Choice]:
    """Disks for every wish, in the order of the wishes. Raises errors.Invalid naming the wish that cannot be.

    Wishes of a fixed size choose first, so that "MAX" takes what is left.
    """
    free = [_Free(drive, one, left) for one in controllers for drive, left in _left(one) if left > 0 and drive.healthy]
    chosen: dict[int, Choice] = {}
    for place in sorted(range(len(wishes)), key=lambda each: wishes[each]["size_gb"] == "MAX"):
        chosen[place] = _one(wishes[place], place, free)
    return [chosen[place] for place in range(len(wishes))]


def data_disks(level: Level, count: int) -> int:
    """How many disks' worth of data a volume over ``count`` disks holds."""
    lost = {"RAID1": count - 1, "RAID5": 1, "RAID6": 2, "RAID10": count // 2, "RAID50": 2, "RAID60": 4}
    return count - lost.get(level.word, 0)


def _left(controller: Controller) -> list[tuple[Drive, int]]:
    """Each disk with its free bytes: none where a volume is that ingot did not plan now."""
    taken = {path for volume in controller.volumes for path in volume.drives}
    return [(drive, 0 if drive.path in taken else drive.size) for drive in controller.drives]


def _one(wish: dict[str, Any], place: int, free: list[_Free]) -> Choice:
    level = LEVELS.get(wish["raid_level"])
    if level is None:
        raise errors.Invalid(f"RAID level {wish['raid_level']} cannot be made by a Redfish service")
    count = _count(wish, level, place)
    best: tuple[int, list[_Free]] | None = None
    for controller in {id(one.controller): one.controller for one in free}.values():
        if level.word not in (*controller.raid_types, "None") and controller.raid_types:
            continue
        fitting = [one for one in free if one.controller is controller and _fits(wish, one)]
        found = _disks(wish, level, count, fitting)
        if found and (best is None or found[0] < best[0]):
            best = found
    if best is None:
        raise errors.Invalid(
            f"There are no disks for logical disk {place} (RAID {wish['raid_level']}, {wish['size_gb']} GB)",
            hint="Delete the present volumes first, or ask for less.",
        )
    return _take(wish, level, best[1])


def _count(wish: dict[str, Any], level: Level, place: int) -> int:
    named = wish.get("physical_disks")
    count = wish.get("number_of_physical_disks") or (len(named) if named else level.least)
    if count < level.least or count % level.multiple or (named and count != len(named)):
        raise errors.Invalid(
            f"Logical disk {place} cannot be RAID {wish['raid_level']} of {count} disks", hint=f"Least: {level.least}."
        )
    return count


def _fits(wish: dict[str, Any], one: _Free) -> bool:
    named, drive = wish.get("physical_disks"), one.drive
    return (
        not one.alone
        and (one.left == drive.size or bool(wish.get("share_physical_disks")))
        and (not wish.get("controller") or wish["controller"] in (one.controller.id, one.controller.path))
        and (not named or drive.id in named or drive.path in named)
        and (not wish.get("disk_type") or (drive.media or "").lower() == wish["disk_type"])
        and (not wish.get("interface_type") or drive.protocol == _BUSES[wish["interface_type"]])
    )


def _disks(wish: dict[str, Any], level: Level, count: int, fitting: list[_Free]) -> tuple[int, list[_Free]] | None:
    """(bytes wasted, disks): the smallest that suffice; for MAX the largest. None when there are too few."""
    if wish["size_gb"] == "MAX":
        largest = sorted(fitting, key=lambda one: -one.left)[:count]
        return (-largest[-1].left, largest) if len(largest) == count else None
    each = -(-wish["size_gb"] * GIB // data_disks(level, count))
    enough = sorted((one for one in fitting if one.left >= each), key=lambda one: one.left)[:count]
    return (sum(one.left for one in enough), enough) if len(enough) == count else None


def _take(wish: dict[str, Any], level: Level, disks: list[_Free]) -> Choice:
    data = data_disks(level, len(disks))
    size = min(one.left for one in disks) * data if wish["size_gb"] == "MAX" else wish["size_gb"] * GIB
    for one in disks:
        one.left -= -(-size // data)
        one.alone = not wish.get("share_physical_disks")
    return Choice(wish, disks[0].controller, level, tuple(one.drive for one in disks), size)
