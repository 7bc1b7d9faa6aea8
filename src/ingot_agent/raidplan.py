"""What a software RAID configuration means for these disks: checked, with every partition's place.

May not: touch a disk. Invariant: a plan fits its disks. Source of the rules and words: Ironic's documentation of
``target_raid_config`` and its agent: one or two logical disks, the first one RAID 1, ``size_gb`` is what a logical
disk takes of each of its disks, room for a boot partition is left in front.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, cast

from ingot_agent import disks, errors, fields, hints

MIB = 1 << 20
ESP_SIZE = 550 * MIB
BIOS_SIZE = 7 * MIB
_START_UEFI, _START_BIOS = ESP_SIZE + MIB, BIOS_SIZE + MIB
_TAIL = 2 * MIB  # the backup table
_LEAST = {"0": 2, "1": 2, "5": 3, "6": 4, "10": 2}
_SUPPORTED = ("0", "1", "1+0", "5", "6")


@dataclass(frozen=True)
class Volume:
    """One array to make: its level as mdadm calls it, its name, and for each disk the partition it gets (bytes)."""

    level: str
    name: str
    parts: tuple[tuple[disks.Disk, int, int], ...]  # disk, start, length


def _logical(config: dict[str, Any]) -> list[dict[str, Any]]:
    found = fields.objects(config, "logical_disks")
    if not found:
        raise errors.SoftwareRAIDError("target_raid_config has no logical_disks. Set it before creating a RAID.")
    return found


def _complaints(logical: list[dict[str, Any]]) -> list[str]:
    """Every rule the configuration breaks."""
    found: list[str] = []
    if len(logical) > 2:
        found.append("there may be one or two logical disks")
    if any(one.get("controller") != "software" for one in logical):
        found.append('every logical disk needs "controller": "software"')
    levels = [str(one.get("raid_level")) for one in logical]
    if levels[0] != "1":
        found.append("the first logical disk must be RAID 1, for the machine boots from it")
    unknown = sorted({level for level in levels if level not in _SUPPORTED})
    if unknown:
        found.append(f"software RAID has no level {', '.join(unknown)} (levels: {', '.join(_SUPPORTED)})")
    sizes = [one.get("size_gb") for one in logical]
    if sizes.count("MAX") > 1:
        found.append("only one logical disk may have the size MAX")
    if any(size != "MAX" and not str(size).isdigit() for size in sizes):
        found.append("size_gb is a number of GiB or MAX")
    names = [one.get("volume_name") for one in logical if one.get("volume_name")]
    if len(set(names)) != len(names):
        found.append("two logical disks have the same volume_name")
    if sum(bool(one.get("is_root_volume")) for one in logical) > 1:
        found.append("only one logical disk may be is_root_volume")
    return found


def _disks_of(logical: dict[str, Any], found: list[disks.Disk], taken: list[disks.Disk]) -> list[disks.Disk]:
    wanted = logical.get("physical_disks")
    if wanted is None:
        return found
    entries = cast("list[object]", wanted) if isinstance(wanted, list) else []
    if len(entries) < 2 or not all(isinstance(one, dict) for one in entries):
        raise errors.SoftwareRAIDError("physical_disks must be a list of at least two device hints. Correct it.")
    chosen: list[disks.Disk] = []
    for entry in entries:
        fitting = [disk for disk in found if hints.matches(disk, cast("dict[str, Any]", entry))]
        fresh = [disk for disk in fitting if disk not in chosen]
        if not fresh:
            listing = "; ".join(hints.describe(disk) for disk in found) or "none"
            raise errors.SoftwareRAIDError(f"No disk is left that fits {entry}. Disks: {listing}. Change the hints.")
        chosen.append(next((disk for disk in fresh if disk in taken), fresh[0]))
    return chosen


def make(config: dict[str, Any], found: list[disks.Disk], *, uefi: bool, present: Collection[str] = ()) -> list[Volume]:
    """Check a configuration and place its partitions on these disks, without those of logical disks that are present.

    ``present``: their ``volume_name``. Raises SoftwareRAIDError with all complaints.
    """
    logical = _logical(config)
    complaints = _complaints(logical)
    if complaints:
        raise errors.SoftwareRAIDError(f"The RAID configuration does not work: {'; '.join(complaints)}. Correct it.")
    logical = [one for one in logical if one.get("volume_name") not in present]
    logical.sort(key=lambda one: one["size_gb"] == "MAX")
    free = {disk.name: _START_UEFI if uefi else _START_BIOS for disk in found}
    volumes: list[Volume] = []
    taken: list[disks.Disk] = []
    for number, one in enumerate(logical):
        level = str(one["raid_level"]).replace("1+0", "10")
        members = _disks_of(one, found, taken)
        if len(members) < _LEAST[level]:
            raise errors.SoftwareRAIDError(
                f"RAID {level} needs {_LEAST[level]} disks and there are {len(members)}. Add disks or choose a level."
            )
        taken += [disk for disk in members if disk not in taken]
        volumes.append(Volume(level, one.get("volume_name") or f"md{number}", _placed(one, members, free)))
    return volumes


def _placed(
    one: dict[str, Any], members: list[disks.Disk], free: dict[str, int]
) -> tuple[tuple[disks.Disk, int, int], ...]:
    parts: list[tuple[disks.Disk, int, int]] = []
    for disk in members:
        start = free[disk.name]
        room = (disk.size - _TAIL - start) // MIB * MIB
        length = room if one["size_gb"] == "MAX" else int(one["size_gb"]) << 30
        if not 0 < length <= room:
            raise errors.SoftwareRAIDError(
                f"{disk.name} has {room >> 20} MiB left for a logical disk of {one['size_gb']} GiB. Make it smaller."
            )
        free[disk.name] = start + length
        parts.append((disk, start, length))
    return tuple(parts)
