"""Write a partition image: a table of our own, the image into its root partition, the other partitions ready to use.

May not: know HTTP. Invariants: nothing is written before the whole plan is known to fit; with ``preserve`` no byte of
the ephemeral partition is written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ingot_agent import blockdev, commands, configdrive, disks, errors, filesystems, gpt, layout, mbr

_WIPE = layout.MIB
_KINDS = {
    "esp": gpt.ESP,
    "bios": gpt.BIOS_BOOT,
    "swap": gpt.guid("0657fd6d-a4ab-43c4-84e5-0933c84b4f4f"),
}
_WORDS = {"esp": "efi system partition"}


@dataclass(frozen=True)
class Place:
    """A partition as it is on a disk: its device, name and kind in the table, and the file system in it."""

    node: str
    name: str
    is_esp: bool
    part: layout.Part
    found: filesystems.Found | None


def places(device: blockdev.Device) -> list[Place]:
    """All partitions of a disk, with what is in them."""
    table, sector = gpt.find(device), device.sector
    if table is not None:
        rows = [(one.number, one.first, one.last + 1 - one.first, one.name, one.kind) for one in table.partitions]
    else:
        rows = [(one.number, one.first, one.count, "", b"") for one in mbr.find(device) or []]
    result: list[Place] = []
    for number, first, count, name, kind in rows:
        part = layout.Part(name, number, first * sector, count * sector)
        found = filesystems.identify(window(device, part))
        result.append(Place(disks.partition_path(device.path, number), name, kind == gpt.ESP, part, found))
    return result


def uuids(device: blockdev.Device) -> dict[str, object]:
    """What a conductor is told of a disk with a partition image: the root is the last partition of our tables."""
    found = [one for one in places(device) if one.found is not None]
    esp = next((one for one in found if one.is_esp), None)
    root = found[-1] if found and found[-1].name in ("root", "") else None
    return {
        "partitions": {_WORDS.get(one.name, one.name or str(one.part.number)): one.node for one in found},
        "root uuid": root.found.uuid if root and root.found else None,
        "efi system partition uuid": esp.found.uuid if esp and esp.found else None,
    }


def write(
    disk: str,
    wanted: layout.Wish,
    drive: bytes,
    write_root: Callable[[blockdev.Device], int],
    progress: commands.Progress,
) -> int:
    """Write everything; ``write_root`` writes the image to the device it is given. The image's size.

    Raises ImageWriteError, BlockDeviceError and what ``write_root`` raises.
    """
    with blockdev.opened(disk) as device:
        progress.begin("making the partitions")
        parts = lay_out(device, wanted, drive)
        size = write_root(window(device, parts[-1]))
        device.flush()
        device.drop_cache()
        fill(device, parts, drive)
    make_ephemeral(disk, wanted, parts, progress)
    with blockdev.opened(disk) as device:
        device.flush()
        device.reread_partitions()
    return size


def window(device: blockdev.Device, part: layout.Part) -> blockdev.Device:
    """One partition of a disk."""
    return device.part(part.start, part.size)


def lay_out(device: blockdev.Device, wanted: layout.Wish, drive: bytes) -> tuple[layout.Part, ...]:
    """Write the table and clear what earlier owners left at the partitions' ends. Raises ImageWriteError."""
    parts = layout.plan(wanted, device.size, len(drive))
    kept = layout.find(parts, "ephemeral") if wanted.preserve else None
    if kept is not None and kept not in _present(device):
        raise errors.ImageWriteError(
            f"The ephemeral partition cannot be preserved: the disk has none of {kept.size} bytes at {kept.start}. "
            "Deploy with the sizes of the first deployment, or without preserve_ephemeral."
        )
    for place in (0, device.size - _WIPE):
        _clear(device, place)
    write = _write_gpt if wanted.label == "gpt" else _write_mbr
    write(device, parts)
    for part in parts:
        if part is not kept:
            _clear(window(device, part), 0)
            _clear(window(device, part), part.size - _WIPE)
    return parts


def _clear(device: blockdev.Device, offset: int) -> None:
    for _ in device.zero(max(0, offset), min(_WIPE, device.size)):
        pass


def _present(device: blockdev.Device) -> list[layout.Part]:
    """The partitions that are there, each with the role it would have if it is to be preserved."""
    return [layout.Part("ephemeral", one.part.number, one.part.start, one.part.size) for one in places(device)]


def _write_gpt(device: blockdev.Device, parts: tuple[layout.Part, ...]) -> None:
    sector = device.sector
    entries = tuple(
        gpt.Partition(
            part.number,
            _KINDS.get(part.role, gpt.LINUX),
            gpt.random_guid(),
            part.start // sector,
            (part.start + part.size) // sector - 1,
            configdrive.LABEL if part.role == "configdrive" else part.role,
        )
        for part in parts
    )
    gpt.write(device, gpt.empty(device, entries))


def _write_mbr(device: blockdev.Device, parts: tuple[layout.Part, ...]) -> None:
    kinds = {"swap": 0x82}
    sector = device.sector
    entries = [
        mbr.Partition(part.number, kinds.get(part.role, 0x83), part.start // sector, part.size // sector)
        for part in parts
    ]
    mbr.create(device, entries, active=parts[-1].number)


def fill(device: blockdev.Device, parts: tuple[layout.Part, ...], drive: bytes) -> None:
    """Make ESP and swap and place the config drive, beside the image in the root partition.

    Raises ImageWriteError when the image is no file system that can be booted from.
    """
    if filesystems.identify(window(device, parts[-1])) is None:
        raise errors.ImageWriteError(
            "The image has no ext, XFS, Btrfs or FAT file system at its start, so it is no partition image. "
            "Use one, or set image_type to whole-disk."
        )
    esp, swap, place = (layout.find(parts, role) for role in ("esp", "swap", "configdrive"))
    if swap is not None:
        filesystems.make_swap(window(device, swap), "swap1")
    if place is not None:
        device.write(memoryview(drive + bytes(-len(drive) % device.sector)), place.start)
    if esp is not None:
        filesystems.make_fat(window(device, esp), "efi-part")
    device.flush()


def make_ephemeral(path: str, wanted: layout.Wish, parts: tuple[layout.Part, ...], progress: commands.Progress) -> None:
    """Make the ephemeral file system, unless it is to be preserved. The disk must not be open."""
    part = layout.find(parts, "ephemeral")
    if part is None or wanted.preserve:
        return
    progress.begin("making the ephemeral file system")
    if wanted.ephemeral_format == "vfat":
        with blockdev.opened(path) as device:
            filesystems.make_fat(window(device, part), "ephemeral0")
        return
    filesystems.make_ext(path, wanted.ephemeral_format, "ephemeral0", (part.start, part.size))
