"""Make disks forget: their metadata in a second, or all of their bytes.

May not: choose to skip a disk that was not named in the skip list. Invariant: what ``metadata`` wiped reads
as zeros.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from ingot_agent import blockdev, commands, disks, errors, gpt, log, mbr

_HEAD = 2 << 20  # MBR, GPT, LVM, mdadm 1.1/1.2, ext, xfs, LUKS heads
_TAIL = 2 << 20  # backup GPT, mdadm 0.9/1.0, DDF and other RAID tails
_SIGNATURES = 1 << 20  # at each old partition's both ends


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


def metadata(path: str) -> None:
    """Wipe one disk's tables and signatures, and read back that they are gone. Raises BlockDeviceError."""
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


def everything(path: str, progress: commands.Progress) -> str:
    """Erase all of one disk; says how. Raises BlockDeviceError."""
    with blockdev.opened(path) as device:
        if device.is_block and device.discard(secure=True):
            way = "secure discard"
        else:
            for step in device.zero(0, device.size - device.size % device.sector):
                progress.add(step)
            way = "zeros"
        device.flush()
        device.drop_cache()
        for offset in (0, device.size // 2 // 4096 * 4096, max(0, device.size - 4096)):
            if way == "zeros" and any(device.read(offset, 4096)):
                raise errors.BlockDeviceError(
                    f"{path} still holds data at byte {offset}. The disk is faulty: replace it."
                )
        device.reread_partitions()
    return f"{path}: {way}"


def on_all(found: list[disks.Disk], work: Callable[[str], object], deadline: float | None = None) -> None:
    """Work on all disks at once. Raises BlockDeviceError naming every disk that failed."""
    failures: list[str] = []

    def one(path: str) -> None:
        try:
            work(path)
        except errors.AgentError as error:
            failures.append(error.message)

    threads = [threading.Thread(target=one, args=(disk.name,), name=disk.name, daemon=True) for disk in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(deadline)
    if failures:
        raise errors.BlockDeviceError(" ".join(sorted(failures)))
    log.line(f"{len(found)} disks done")
