"""Make disks forget: their metadata in a second, or all of their bytes.

May not: skip a disk without saying so. Invariants: what ``metadata`` wiped reads as zeros; after a whole erase none
of the marks set before it can be read, whoever did the erasing.
"""

from __future__ import annotations

import mmap
import os
import stat
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ingot_agent import ata, blockdev, commands, disks, errors, fields, gpt, guard, log, mbr, nvme

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


def metadata(path: str) -> str:
    """Wipe one disk's tables and signatures, and read back that they are gone.

    Raises BlockDeviceError, BlockDeviceEraseError.
    """
    _release(path)
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


def _mark(path: str) -> dict[int, bytes]:
    """Write random marks, to be looked for after the erase. Raises BlockDeviceError."""
    with blockdev.opened(path) as device:
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


def everything(disk: disks.Disk, wanted: Wishes, progress: commands.Progress) -> str:
    """Erase all of one disk, by itself if it can; says how and what was read back. Raises the agent's errors."""
    _release(disk.name)
    marks = _mark(disk.name)
    note = ""
    try:
        own = _by_itself(disk.name, wanted)
        if own is not None:
            return f"{own}; {_verified(disk.name, marks, False)}"
    except errors.BlockDeviceEraseError as error:
        if not wanted.fall_back:
            raise errors.IncompatibleHardware(
                f"{error.message} Overwriting instead is not allowed "
                "(driver_internal_info agent_continue_if_secure_erase_failed)."
            ) from error
        note = f" (its own erase failed: {error.message})"
    done = _overwrite(disk.name, wanted, progress)
    return f"{done}{note}; {_verified(disk.name, marks, wanted.zeroize)}"


def _release(path: str) -> None:
    """Have a disk whose own erase was cut in the middle read and written again. Raises BlockDeviceEraseError."""
    if os.path.exists(path) and stat.S_ISBLK(os.stat(path).st_mode):
        (nvme.settle if os.path.basename(path).startswith("nvme") else ata.release)(path)


def _by_itself(path: str, wanted: Wishes) -> str | None:
    if not stat.S_ISBLK(os.stat(path).st_mode):
        return None
    if os.path.basename(path).startswith("nvme"):
        return nvme.erase(path) if wanted.nvme else None
    return ata.erase(path) if wanted.ata else None


def express(disk: disks.Disk, wanted: Wishes) -> str:
    """Erase at once: an NVMe disk by itself, of any other the metadata. Raises BlockDeviceError."""
    if wanted.nvme and os.path.basename(disk.name).startswith("nvme"):
        try:
            _release(disk.name)
            marks = _mark(disk.name)
            own = _by_itself(disk.name, wanted)
            if own is not None:
                return f"{own}; {_verified(disk.name, marks, False)}"
        except errors.BlockDeviceEraseError as error:
            return f"{metadata(disk.name)} (its own erase failed: {error.message})"
    return metadata(disk.name)


def on_all(found: list[disks.Disk], work: Callable[[disks.Disk], str]) -> dict[str, str]:
    """Work on all disks at once; what was done, by disk. Raises BlockDeviceError naming every disk that failed."""
    failures: list[str] = []
    done: dict[str, str] = {}

    def one(disk: disks.Disk) -> None:
        said, error = guard.outcome(lambda: work(disk))
        if said is not None:
            done[disk.name] = said
            log.line(f"{disk.name}: {said}")
        elif isinstance(error, errors.AgentError):
            failures.append(error.message)
        else:
            failures.append(f"{disk.name} failed unforeseen: {error!r}. Read the agent's log.")

    threads = [threading.Thread(target=one, args=(disk,), name=disk.name, daemon=True) for disk in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        finished = "".join(f" Done: {name}: {how}." for name, how in sorted(done.items()))
        raise errors.BlockDeviceEraseError(" ".join(sorted(failures)) + finished)
    return dict(sorted(done.items()))
