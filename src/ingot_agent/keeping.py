"""What ``skip_block_devices`` keeps: disks by hints, software RAID's arrays by ``volume_name``, or with such a disk.

May not: change anything. Invariants: of an array that is kept every member's disk is, whether the array runs or not;
no disk counts as free while an array that stays has a member on it.
Source of the rules: Ironic's documentation of ``skip_block_devices`` and its agent: an array that shares a disk with
one that is kept stays an array, only what it holds is wiped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ingot_agent import arrays, disks, errors, hints, settings


@dataclass(frozen=True)
class Kept:
    """Disks that are left alone, arrays among them; identities of arrays that are left alone, or are but wiped.

    ``stuck``: other disks by name, with the array of theirs that is to be wiped and cannot be, for it does not run.
    """

    disks: list[disks.Disk]
    whole: frozenset[bytes]
    emptied: frozenset[bytes]
    stuck: dict[str, str]

    def check(self) -> None:
        """Raise BlockDeviceEraseError where a disk can neither be erased nor left alone."""
        if self.stuck:
            held = ", ".join(f"{disk} (array {name})" for disk, name in sorted(self.stuck.items()))
            raise errors.BlockDeviceEraseError(
                f"There are disks with a part of an array that does not run and shares a disk with one that "
                f"skip_block_devices keeps: {held}. To erase them would break the array, to leave them would leave its "
                "data. Bring its missing disks back, or name it in skip_block_devices."
            )


def of_node(node: dict[str, Any], found: list[disks.Disk], roots: settings.Roots) -> Kept:
    """What is kept of these disks. Raises InvalidCommandParams."""
    entries = hints.of_node(node)[1]
    skipped = {disk.name for disk in hints.skipped(found, entries)}
    names = {arrays.plain_name(str(entry["volume_name"])) for entry in entries if "volume_name" in entry}
    if not skipped and not names:
        return Kept([], frozenset(), frozenset(), {})
    members = arrays.members(roots)
    devices = {part: device for device, parts in arrays.running(roots).items() for part in parts}
    whole = {
        one.array for one in members if one.name in names or one.disk in skipped or devices.get(one.path) in skipped
    }
    held = {one.disk for one in members if one.array in whole}
    emptied = {one.array for one in members if one.disk in held} - whole
    skipped |= held | {devices[one.path] for one in members if one.array in whole and one.path in devices}
    idle = emptied - {one.array for one in members if one.path in devices}
    stuck = {one.disk: one.name for one in members if one.array in idle and one.disk not in skipped}
    return Kept([disk for disk in found if disk.name in skipped], frozenset(whole), frozenset(emptied), stuck)
