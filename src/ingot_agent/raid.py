"""Make, find and remove software RAID with mdadm.

May not: choose disks (raidplan.py does). Invariants: a disk with partitions is not taken for a new array; what
``delete`` removed does not come back, for no superblock of it is left. Source of the superblock: md(4),
include/uapi/linux/raid/md_p.h.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from typing import Any

from ingot_agent import (
    blockdev,
    commands,
    disks,
    erase,
    errors,
    fields,
    gpt,
    hints,
    log,
    mbr,
    partitioning,
    programs,
    raidplan,
    settings,
    sysfile,
)

_LINUX_RAID = gpt.guid("a19d880f-05fc-4d3b-a006-743f0f84911e")
_MAGIC = 0xA92B4EFC
_WIPED = 1 << 20
START_NAME = "start"
"""The partition on each disk of an array that the firmware starts from (firmware.py)."""


@dataclass(frozen=True)
class Member:
    """A device that holds part of an array: its path, the array's identity and name, its level."""

    path: str
    array: bytes
    name: str
    level: int


def _mdadm(*words: str) -> None:
    done = programs.run(["env", "MDADM_NO_UDEV=1", "mdadm", *words], 120)
    if not done.succeeded:
        text = done.output.decode("utf-8", "replace").strip().replace("\n", " ") or "mdadm said nothing"
        raise errors.SoftwareRAIDError(f"mdadm {words[0]} failed: {text}. See the ramdisk's kernel log.")


def _superblock(path: str, size: int) -> Member | None:
    """The member a device is by its superblock of version 1 (1.2, 1.1 or 1.0); None when it has none."""
    try:
        with open(path, "rb") as file:
            for place in (4096, 0, (size // 512 - 16) // 8 * 8 * 512):
                file.seek(place)
                raw = file.read(256)
                if len(raw) == 256 and struct.unpack_from("<II", raw) == (_MAGIC, 1):
                    name = raw[32:64].rstrip(b"\0").decode("utf-8", "replace").rpartition(":")[2]
                    return Member(path, raw[16:32], name, struct.unpack_from("<i", raw, 72)[0])
    except OSError:
        return None
    return None


def members(roots: settings.Roots) -> list[Member]:
    """Every partition and disk that carries the superblock of an array."""
    found: list[Member] = []
    for disk in disks.find_all(roots):
        base = os.path.basename(disk.name)
        if base.startswith("md"):
            continue
        folder = f"{roots.sys}/block/{base}"
        parts = [one for one in sysfile.names(folder) if one.startswith(base)]
        for one in parts or [base]:
            size = sysfile.number(f"{folder}/{one}/size" if one != base else f"{folder}/size") * 512
            member = _superblock(f"{roots.dev}/{one}", size)
            if member is not None:
                found.append(member)
    return found


def arrays(roots: settings.Roots) -> dict[str, list[str]]:
    """Running arrays (``/dev/md0``) with their members' paths."""
    names = [one for one in sysfile.names(f"{roots.sys}/block") if one.startswith("md")]
    return {
        f"{roots.dev}/{one}": [f"{roots.dev}/{part}" for part in sysfile.names(f"{roots.sys}/block/{one}/slaves")]
        for one in names
        if sysfile.number(f"{roots.sys}/block/{one}/size")
    }


def disks_of(array: str, roots: settings.Roots) -> list[str]:
    """The disks behind a running array whose members are partitions, in their order; none of what is no array."""
    found: list[str] = []
    for part in arrays(roots).get(array, []):
        folder = os.path.dirname(os.path.realpath(f"{roots.sys}/class/block/{os.path.basename(part)}"))
        disk = part if folder.endswith("/block") else f"{roots.dev}/{os.path.basename(folder)}"
        found += [disk] if disk not in found else []
    return found


def assemble(roots: settings.Roots) -> None:
    """Start every array whose members are there, under the name it was made with; the log has what does not start."""
    running = {path for parts in arrays(roots).values() for path in parts}
    idle = [one for one in members(roots) if one.path not in running]
    for array in dict.fromkeys(one.array for one in idle):
        parts = [one for one in idle if one.array == array]
        try:
            _mdadm("--assemble", _device(parts[0].name, roots), "--run", *(one.path for one in parts))
        except errors.SoftwareRAIDError as error:
            log.line(f"the array {parts[0].name} does not start: {error.message}")


def _device(name: str, roots: settings.Roots) -> str:
    taken = arrays(roots)
    named = [name] if name[:2] == "md" and name[2:].isdigit() else []
    candidates = [f"{roots.dev}/{one}" for one in (*named, *(f"md{number}" for number in range(128)))]
    return next(one for one in candidates if one not in taken)


def _tables(volumes: list[raidplan.Volume]) -> dict[str, gpt.Table]:
    """The partition table of each disk."""
    tables: dict[str, gpt.Table] = {}
    for number, volume in enumerate(volumes):
        for disk, start, length in volume.parts:
            table = tables.get(disk.name) or partitioning.empty(disk.size, disk.logical_sectors)
            name = f"raid-{number}"
            tables[disk.name] = partitioning.add(table, start, length, _LINUX_RAID, name)
    return tables


def create(node: dict[str, Any], config: dict[str, Any], roots: settings.Roots, progress: commands.Progress) -> None:
    """Partition the disks and make the arrays of a configuration. Raises SoftwareRAIDError, BlockDeviceError."""
    found = disks.find_all(roots)
    barred = hints.skipped(found, hints.of_node(node)[1])
    free = [disk for disk in disks.usable(found) if disk not in barred and "/md" not in disk.name]
    try:
        volumes = raidplan.make(config, free, uefi=os.path.isdir(f"{roots.sys}/firmware/efi"))
    except errors.SoftwareRAIDError as error:
        taken = [hints.describe(disk) for disk in found if disk not in free]
        raise errors.SoftwareRAIDError(error.message + (f" Not free: {'; '.join(taken)}." if taken else "")) from error
    tables = _tables(volumes)
    _refuse_partitioned(list(tables))
    progress.begin(f"partitioning {', '.join(tables)}")
    for path, table in tables.items():
        with blockdev.opened(path) as device:
            partitioning.create(device, table)
            for part in table.partitions:
                _wipe_ends(device, part.first * table.sector, (part.last + 1 - part.first) * table.sector)
            device.reread_partitions()
    used: dict[str, int] = {}
    for volume in volumes:
        parts: list[str] = []
        for disk, _, _ in volume.parts:
            used[disk.name] = used.get(disk.name, 0) + 1
            parts.append(disks.partition_path(disk.name, used[disk.name]))
        progress.begin(f"making RAID {volume.level} of {', '.join(parts)}")
        _make(_device(volume.name, roots), volume.level, volume.name, parts)


def _make(device: str, level: str, name: str, parts: list[str]) -> None:
    options = ["--metadata=1", f"--level={level}", f"--name={name}", "--homehost=any"]
    _mdadm("--create", device, "--force", "--run", *options, f"--raid-devices={len(parts)}", *parts)


def _refuse_partitioned(paths: list[str]) -> None:
    held: list[str] = []
    for path in paths:
        with blockdev.opened(path) as device:
            table = gpt.find(device)
            if table.partitions if table is not None else mbr.find(device):
                held.append(path)
    if held:
        raise errors.SoftwareRAIDError(
            f"There are partitions on {', '.join(held)}. Run the step erase_devices_metadata or "
            "raid.delete_configuration first."
        )


def _wipe_ends(device: blockdev.Device, start: int, length: int) -> None:
    """Make old superblocks unreadable, so that mdadm does not take an earlier array's parts."""
    for offset in (start, start + length - _WIPED):
        for _ in device.zero(offset, _WIPED):
            pass


def delete(node: dict[str, Any], roots: settings.Roots, progress: commands.Progress) -> str:
    """Remove all arrays but those the skip list names; says which. Raises SoftwareRAIDError, BlockDeviceError."""
    kept_names = {str(one["volume_name"]) for one in hints.of_node(node)[1] if "volume_name" in one}
    everything = members(roots)
    gone = [one for one in everything if one.name not in kept_names]
    paths = {one.path for one in gone}
    for array, parts in arrays(roots).items():
        if paths & set(parts) or not parts:
            progress.begin(f"stopping {array}")
            _mdadm("--stop", array)
    for one in gone:
        with blockdev.opened(one.path) as device:
            _wipe_ends(device, 0, device.size)
            device.flush()
    for disk in disks.find_all(roots):
        _remove_partitions(disk, paths)
    left = [one.path for one in members(roots) if one.path in paths]
    if left:
        raise errors.SoftwareRAIDError(f"{', '.join(left)} still belong to an array. Replace the disks.")
    names = sorted({one.name for one in gone})
    return f"removed the arrays {', '.join(names)} from {', '.join(sorted(paths))}" if names else "there was no array"


def _remove_partitions(disk: disks.Disk, paths: set[str]) -> None:
    """Take members (and then an empty table) off a disk that had some."""
    if disk.name in paths:
        erase.metadata(disk)
        return
    with blockdev.opened(disk.name, exclusive=False) as device:
        table = gpt.find(device)
        if table is None:
            return
        own = {one.number: disks.partition_path(disk.name, one.number) for one in table.partitions}
        if not paths & set(own.values()):
            return
        gone = {number for number, path in own.items() if path in paths}
        gone |= {one.number for one in table.partitions if one.name == START_NAME}
        left = partitioning.without(table, gone)
        if left.partitions:
            gpt.write(device, left)
            for number in gone:
                partitioning.forget(device, number)
            return
    erase.metadata(disk)


def target(node: dict[str, Any]) -> dict[str, Any]:
    """The node's wanted configuration. Raises SoftwareRAIDError when it has none."""
    config = fields.find_object(node, "target_raid_config")
    if not config:
        raise errors.SoftwareRAIDError("The node has no target_raid_config. Set it, then create the configuration.")
    return config
