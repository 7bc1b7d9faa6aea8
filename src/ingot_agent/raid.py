"""Make, find and remove software RAID with mdadm.

May not: choose disks (raidplan.py does). Invariants: a disk with partitions is not taken for a new array; what
``delete`` removed does not come back, for no superblock of it is left.
"""

from __future__ import annotations

import os
from typing import Any

from ingot_agent import (
    arrays,
    blockdev,
    commands,
    disks,
    erase,
    errors,
    fields,
    gpt,
    hints,
    keeping,
    log,
    mbr,
    partitioning,
    programs,
    raidplan,
    settings,
)

_LINUX_RAID = gpt.guid("a19d880f-05fc-4d3b-a006-743f0f84911e")
_WIPED = 1 << 20
START_NAME = "start"
"""The partition on each disk of an array that the firmware starts from (firmware.py)."""


def _mdadm(*words: str) -> None:
    done = programs.run(["env", "MDADM_NO_UDEV=1", "mdadm", *words], 120)
    if not done.succeeded:
        text = done.output.decode("utf-8", "replace").strip().replace("\n", " ") or "mdadm said nothing"
        raise errors.SoftwareRAIDError(f"mdadm {words[0]} failed: {text}. See the ramdisk's kernel log.")


def disks_of(array: str, roots: settings.Roots) -> list[str]:
    """The disks behind a running array whose members are partitions, in their order; none of what is no array."""
    found: list[str] = []
    for part in arrays.running(roots).get(array, []):
        folder = os.path.dirname(os.path.realpath(f"{roots.sys}/class/block/{os.path.basename(part)}"))
        disk = part if folder.endswith("/block") else f"{roots.dev}/{os.path.basename(folder)}"
        found += [disk] if disk not in found else []
    return found


Parts = frozenset[str]
"""The paths of an array's members."""


def assemble(roots: settings.Roots, *, degraded: bool, tried: set[Parts]) -> list[str]:
    """Start every array whose members are there, under the name it was made with; the log has what does not start.

    Gives the names of arrays that lack members. Those are started only where ``degraded`` says that none will come any
    more: one that runs goes on without a disk, and what that holds is then old. What did not start joins ``tried``, and
    is not started while its members are the same.
    """
    taken = {path for parts in arrays.running(roots).values() for path in parts}
    idle = [one for one in arrays.members(roots) if one.path not in taken]
    waiting: list[str] = []
    for array in dict.fromkeys(one.array for one in idle):
        parts = [one for one in idle if one.array == array]
        if arrays.lacking(parts) and not degraded:
            waiting.append(parts[0].name)
            continue
        members = frozenset(one.path for one in parts)
        if members in tried:
            continue
        try:
            _mdadm("--assemble", _device(parts[0].name, roots), "--run", *(one.path for one in parts))
        except errors.SoftwareRAIDError as error:
            tried.add(members)
            log.line(f"the array {parts[0].name} does not start: {error.message}")
    return waiting


def _device(name: str, roots: settings.Roots) -> str:
    taken = arrays.running(roots)
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
    kept = keeping.of_node(node, found, roots)
    present = {one.name for one in arrays.members(roots) if one.array in kept.whole | kept.emptied}
    held = {disk.name for disk in kept.disks} | kept.stuck.keys()
    free = [disk for disk in disks.usable(found) if disk.name not in held and "/md" not in disk.name]
    try:
        volumes = raidplan.make(config, free, uefi=os.path.isdir(f"{roots.sys}/firmware/efi"), present=present)
    except errors.SoftwareRAIDError as error:
        taken = [hints.describe(disk) for disk in found if disk not in free]
        raise errors.SoftwareRAIDError(error.message + (f" Not free: {'; '.join(taken)}." if taken else "")) from error
    if not volumes:
        return
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
    """Remove all arrays but those that ``skip_block_devices`` keeps; says which.

    Raises SoftwareRAIDError, BlockDeviceError, InvalidCommandParams.
    """
    found = disks.find_all(roots)
    kept = keeping.of_node(node, found, roots)
    everything = arrays.members(roots)
    gone = [one for one in everything if one.array not in kept.whole | kept.emptied]
    paths = {one.path for one in gone}
    emptied = {one.path for one in everything if one.array in kept.emptied}
    wiped: set[str] = set()
    for array, parts in arrays.running(roots).items():
        if paths & set(parts) or not parts:
            progress.begin(f"stopping {array}")
            _mdadm("--stop", array)
        elif emptied & set(parts):
            erase.metadata(next(disk for disk in found if disk.name == array))
            wiped |= set(parts)
    for one in gone:
        with blockdev.opened(one.path) as device:
            _wipe_ends(device, 0, device.size)
            device.flush()
    for disk in disks.find_all(roots):
        _remove_partitions(disk, paths)
    left = [one.path for one in arrays.members(roots) if one.path in paths]
    if left:
        raise errors.SoftwareRAIDError(f"{', '.join(left)} still belong to an array. Replace the disks.")
    return _told(gone, [one for one in everything if one not in gone], kept, wiped)


def _told(gone: list[arrays.Member], stay: list[arrays.Member], kept: keeping.Kept, wiped: set[str]) -> str:
    """What became of all arrays; ``wiped``: paths of the members of those that ran, and were."""
    parts: list[str] = []
    if gone:
        where = ", ".join(sorted(one.path for one in gone))
        parts.append(f"removed the arrays {', '.join(sorted({one.name for one in gone}))} from {where}")
    whole = sorted({one.name for one in stay if one.array in kept.whole})
    parts += [f"left alone {', '.join(whole)}: in skip_block_devices"] if whole else []
    emptied = sorted({one.name for one in stay if one.path in wiped})
    parts += [f"kept {', '.join(emptied)}, wiped: on the same disks as those"] if emptied else []
    idle = sorted({one.name for one in stay if one.array in kept.emptied} - set(emptied))
    parts += [f"kept {', '.join(idle)}, not running and so not wiped: on the same disks as those"] if idle else []
    return "; ".join(parts) or "there was no array"


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
