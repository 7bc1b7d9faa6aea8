"""Have the firmware start what was written: the disk itself, or, of an array that no firmware can read, its disks.

Each disk behind an array gets a copy of the image's EFI system partition, or room for GRUB's BIOS core, in what was
left free in front of the array, so that the machine starts while one of them lives. May not: make arrays, bring a boot
loader. Invariant: what a disk has already is used again.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace

from ingot_agent import blockdev, efiboot, errors, gpt, log, partitioning, raid, raidplan, settings

_STEP = 4 << 20


def install(disk: str, roots: settings.Roots) -> str:
    """Make the UEFI boot entries for a disk or an array; says what was done.

    Raises ImageWriteError, SoftwareRAIDError, BlockDeviceError.
    """
    with ExitStack() as opened:
        device = opened.enter_context(blockdev.opened(disk, exclusive=False))
        paths = raid.disks_of(disk, roots)
        behind = [opened.enter_context(blockdev.opened(path, exclusive=False)) for path in paths]
        if behind:
            device.drop_cache()
            source = efiboot.find_esp(device)
            for one in behind:
                _copy(device, source, one)
            log.line(f"the EFI system partition of {disk} copied to {', '.join(paths)}")
        return efiboot.install(behind or [device], roots)


def bios_disks(disk: str, roots: settings.Roots) -> list[str]:
    """The disks to install a BIOS boot loader on: the disk itself, or those behind an array, with room for its core.

    Raises SoftwareRAIDError, BlockDeviceError.
    """
    paths = raid.disks_of(disk, roots)
    for path in paths:
        with blockdev.opened(path, exclusive=False) as device:
            _front_partition(device, gpt.BIOS_BOOT, raidplan.BIOS_SIZE)
    return paths or [disk]


def _copy(array: blockdev.Device, source: gpt.Partition, disk: blockdev.Device) -> None:
    """The array's EFI system partition, onto the disk's own."""
    target = _front_partition(disk, gpt.ESP, raidplan.ESP_SIZE)
    start, size = source.first * array.sector, (source.last + 1 - source.first) * array.sector
    room = (target.last + 1 - target.first) * disk.sector
    if size > room:
        raise errors.ImageWriteError(
            f"The image's EFI system partition has {size >> 20} MiB and {disk.path} has room for {room >> 20} in front "
            "of the array. Use an image with a smaller one."
        )
    for at in range(0, size, _STEP):
        piece = array.read(start + at, min(_STEP, size - at))
        disk.write(memoryview(piece), target.first * disk.sector + at)
    disk.flush()


def _front_partition(disk: blockdev.Device, kind: bytes, size: int) -> gpt.Partition:
    """The partition of this kind on a disk behind an array, made in front of the array where there is none yet."""
    table = gpt.find(disk)
    if table is None or not table.partitions:
        raise errors.SoftwareRAIDError(f"{disk.path} has no partition table, so there is no room to start from.")
    present = next((one for one in table.partitions if one.kind == kind), None)
    if present is not None:
        return present
    start, end = raidplan.MIB, min(one.first for one in table.partitions) * disk.sector
    if end - start < size:
        raise errors.SoftwareRAIDError(
            f"{disk.path} has no room in front of the array for what the machine's firmware starts: the array was made "
            "while the machine was in another boot mode. Delete the arrays and make them again in this one."
        )
    grown = partitioning.add(table, start, size, kind, raid.START_NAME)
    added = grown.partitions[-1]
    gpt.write(disk, replace(grown, partitions=tuple(sorted(grown.partitions, key=lambda one: one.number))))
    partitioning.tell_kernel(disk, added.number, start, size)
    return added
