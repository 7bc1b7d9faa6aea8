"""Make disks forget: their metadata in a second, or all of their bytes.

May not: skip a disk without saying so, or touch one it was not given. Invariants: what ``metadata`` wiped reads as
zeros; after a whole erase none of the marks set before it can be read, whoever did the erasing.
"""

from __future__ import annotations

import mmap
import os
import stat
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from ingot_agent import ata, blockdev, commands, disks, errors, fields, gpt, guard, log, mbr, nvme, settings

_HEAD = 2 << 20  # MBR, GPT, LVM, mdadm 1.1/1.2, ext, xfs, LUKS heads
_TAIL = 2 << 20  # backup GPT, mdadm 0.9/1.0, DDF and other RAID tails
_SIGNATURES = 1 << 20  # at each old partition's both ends
_MARK = 4096
_MARKS = 9
_BUFFER = 4 << 20


@dataclass(frozen=True)
class Wishes:
    """What the conductor allows and asks for; its names are those of Ironic's ``driver_internal_info``."""

    passes: int = 1
    zeroize: bool = True
    nvme: bool = True
    ata: bool = True
    fall_back: bool = False
    skip_read_only: bool = False


@dataclass(frozen=True)
class Group:
    """Disks that are erased together: one, or all namespaces of an NVMe controller that erases them only together.

    ``alone``: no disk beside them is of their NVMe subsystem.
    """

    disks: tuple[disks.Disk, ...]
    alone: bool = True


def apart(found: Iterable[disks.Disk]) -> list[Group]:
    """Each disk by itself."""
    return [Group((disk,)) for disk in found]


def groups(found: list[disks.Disk], left: Iterable[str], wanted: Wishes, roots: settings.Roots) -> list[Group]:
    """What is erased together; ``left``: names of the disks that are to keep their data."""
    kept = {nvme.subsystem(name, roots) for name in left}
    kin: dict[str, list[disks.Disk]] = {}
    for disk in found:
        kin.setdefault(nvme.subsystem(disk.name, roots) or disk.name, []).append(disk)
    made: list[Group] = []
    for name, members in kin.items():
        alone = name not in kept
        if wanted.nvme and alone and len(members) > 1 and nvme.takes_all(members[0].name):
            made.append(Group(tuple(members)))
        else:
            made += [Group((disk,), alone and len(members) == 1) for disk in members]
    return made


def wishes(node: dict[str, Any]) -> Wishes:
    """Read them from a node; what is absent is as upstream's agent has it."""
    info = fields.find_object(node, "driver_internal_info") or {}
    older = info.get("agent_continue_if_ata_erase_failed", False)
    passes = info.get("agent_erase_devices_iterations", 1)
    return Wishes(
        passes if isinstance(passes, int) else 1,
        bool(info.get("agent_erase_devices_zeroize", True)),
        bool(info.get("agent_enable_nvme_secure_erase", True)),
        bool(info.get("agent_enable_ata_secure_erase", True)),
        bool(info.get("agent_continue_if_secure_erase_failed", older)),
        bool(info.get("agent_erase_skip_read_only", False)),
    )


def _ranges(device: blockdev.Device) -> list[tuple[int, int]]:
    """Byte ranges to clear: both ends of the disk and of every partition that was."""
    ranges = [(0, min(_HEAD, device.size)), (max(0, device.size - _TAIL), min(_TAIL, device.size))]
    table = gpt.find(device)
    if table is not None:
        places = [(one.first, one.last + 1) for one in table.partitions]
    else:
        places = [(one.first, one.first + one.count) for one in mbr.find(device) or []]
    for first, end in places:
        start, stop = first * device.sector, min(end * device.sector, device.size)
        if 0 <= start < stop:
            length = min(_SIGNATURES, stop - start)
            ranges += [(start, length), (stop - length, length)]
    return ranges


def metadata(disk: disks.Disk) -> str:
    """Wipe one disk's tables and signatures, and read back that they are gone.

    Raises BlockDeviceError, BlockDeviceEraseError.
    """
    _release(disk)
    path = disk.name
    with blockdev.opened(path) as device:
        ranges = _ranges(device)
        for offset, length in ranges:
            for _ in device.zero(offset, length):
                pass
        device.flush()
        device.drop_cache()
        for offset, length in ranges:
            if any(device.read(offset, length)):
                raise errors.BlockDeviceError(
                    f"{path} still holds data at byte {offset} after it was wiped. The disk is faulty or "
                    "locked: replace it."
                )
        device.reread_partitions()
    return f"metadata wiped ({len(ranges)} places), read back as zeros"


def _places(size: int) -> list[int]:
    """Where marks are set: both ends and evenly between."""
    last = max(0, size - _MARK) // _MARK * _MARK
    return sorted({last * number // (_MARKS - 1) // _MARK * _MARK for number in range(_MARKS)})


def _mark(disk: disks.Disk) -> dict[int, bytes]:
    """Write random marks, to be looked for after the erase. Raises BlockDeviceError, BlockDeviceEraseError."""
    _release(disk)
    with blockdev.opened(disk.name) as device:
        marks = {place: os.urandom(min(_MARK, device.size)) for place in _places(device.size)}
        for place, mark in marks.items():
            device.write(memoryview(mark), place)
        device.flush()
    return marks


def _verified(path: str, marks: dict[int, bytes], zeros: bool) -> str:
    """Look for the marks; says what was read. Raises BlockDeviceEraseError when one survived."""
    with blockdev.opened(path) as device:
        device.drop_cache()
        blank = 0
        for place, mark in marks.items():
            read = device.read(place, len(mark))
            blank += not any(read)
            if read == mark or (zeros and any(read)):
                raise errors.BlockDeviceEraseError(
                    f"{path} still holds its data at byte {place} after it was erased. The disk is faulty: replace it."
                )
        device.reread_partitions()
    return f"{len(marks)} places read back, none with its data, {blank} all zeros"


def _overwrite(path: str, wanted: Wishes, progress: commands.Progress) -> str:
    """Random bytes, then zeros, over all of the disk; says so. Raises BlockDeviceError."""
    buffer = mmap.mmap(-1, _BUFFER)
    with blockdev.opened(path) as device:
        whole = device.size - device.size % device.sector
        for _ in range(wanted.passes):
            for offset in range(0, whole, _BUFFER):
                if offset % (_BUFFER << 6) == 0:  # fresh bytes each 256 MiB: making them is slower than many disks
                    buffer[:] = os.urandom(_BUFFER)
                piece = memoryview(buffer)[: min(_BUFFER, whole - offset)]
                device.write(piece, offset, page_aligned=True)
                progress.add(len(piece))
        if wanted.zeroize or not wanted.passes:
            for step in device.zero(0, whole):
                progress.add(step)
        device.flush()
    return f"overwritten {wanted.passes} times with random bytes" + (", then zeros" if wanted.zeroize else "")


def everything(group: Group, wanted: Wishes, progress: commands.Progress) -> dict[str, str]:
    """Erase all of the disks, by themselves if they can; how, and what was read back, by disk. Raises AgentError."""
    marks = {disk.name: _mark(disk) for disk in group.disks}
    try:
        erased, said = _by_themselves(group, wanted)
        if erased:
            return {name: f"{said}; {_verified(name, places, False)}" for name, places in marks.items()}
    except errors.BlockDeviceEraseError as error:
        if not wanted.fall_back:
            raise errors.IncompatibleHardware(
                f"{error.message} Overwriting instead is not allowed "
                "(driver_internal_info agent_continue_if_secure_erase_failed)."
            ) from error
        said = f" (its own erase failed: {error.message})"
    return {
        name: f"{_overwrite(name, wanted, progress)}{said}; {_verified(name, places, wanted.zeroize)}"
        for name, places in marks.items()
    }


def _is_nvme(disk: disks.Disk) -> bool:
    return os.path.basename(disk.name).startswith("nvme")


def _release(disk: disks.Disk) -> None:
    """Have a disk whose own erase was cut in the middle read and written again. Raises BlockDeviceEraseError."""
    if disk.tran == "usb" or not (os.path.exists(disk.name) and stat.S_ISBLK(os.stat(disk.name).st_mode)):
        return
    (nvme.settle if _is_nvme(disk) else ata.release)(disk.name)


def _by_themselves(group: Group, wanted: Wishes) -> tuple[bool, str]:
    """Have the disks erase themselves: whether they did, and how, or why that is not for them ("": they cannot)."""
    first = group.disks[0]
    if not stat.S_ISBLK(os.stat(first.name).st_mode):
        return False, ""
    if _is_nvme(first):
        if not wanted.nvme:
            return False, ""
        how = nvme.erase([disk.name for disk in group.disks], group.alone)
        return how is not None, how or " (its own erase takes other namespaces of its controller, too)"
    if first.tran == "usb":
        # The bridge answers in the disk's stead, ends commands that take long, or forgets passwords.
        return False, " (its own erase is not asked for behind a USB bridge)"
    how = ata.erase(first.name) if wanted.ata else None
    return how is not None, how or ""


def express(group: Group, wanted: Wishes) -> dict[str, str]:
    """Erase at once: NVMe disks by themselves, of any other the metadata; what was done, by disk. Raises AgentError."""
    said = ""
    if wanted.nvme and _is_nvme(group.disks[0]):
        try:
            marks = {disk.name: _mark(disk) for disk in group.disks}
            erased, said = _by_themselves(group, wanted)
            if erased:
                return {name: f"{said}; {_verified(name, places, False)}" for name, places in marks.items()}
        except errors.BlockDeviceEraseError as error:
            said = f" (its own erase failed: {error.message})"
    return {disk.name: metadata(disk) + said for disk in group.disks}


def on_all(found: list[Group], work: Callable[[Group], dict[str, str]]) -> dict[str, str]:
    """Work on all groups at once; what was done, by disk. Raises BlockDeviceEraseError naming every one that failed."""
    failures: list[str] = []
    done: dict[str, str] = {}

    def one(group: Group) -> None:
        said, error = guard.outcome(lambda: work(group))
        names = " and ".join(disk.name for disk in group.disks)
        if said is not None:
            done.update(said)
            log.line("; ".join(f"{name}: {how}" for name, how in said.items()))
        elif isinstance(error, errors.AgentError):
            failures.append(error.message)
        else:
            failures.append(f"{names} failed unforeseen: {error!r}. Read the agent's log.")

    threads = [threading.Thread(target=one, args=(group,), name=group.disks[0].name, daemon=True) for group in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        finished = "".join(f" Done: {name}: {how}." for name, how in sorted(done.items()))
        raise errors.BlockDeviceEraseError(" ".join(sorted(failures)) + finished)
    return dict(sorted(done.items()))
