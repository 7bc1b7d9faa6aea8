"""Make and recognise the few file systems that partition images need, by their bytes.

Why: a swap area and an empty FAT are some sectors to write; their tools would be megabytes of ramdisk. May not: mount.
Invariant: what is made here is what the kernel and the firmware read, for partitions of at least 34 MiB (FAT).

Sources: Linux include/linux/swap.h; Microsoft's FAT specification 1.03; superblocks of ext4, XFS and Btrfs in the Linux
kernel's documentation.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass

from ingot_agent import blockdev, errors, programs

_PAGE = 4096
_FAT32_CLUSTERS = 70_000  # with fewer than 65525 clusters firmware takes it for a FAT16
_RESERVED = 32
_MKFS_LIMIT = 1800.0


@dataclass(frozen=True)
class Found:
    """A file system: ``kind`` as mount takes it, ``uuid`` as blkid prints it."""

    kind: str
    uuid: str


def identify(device: blockdev.Device) -> Found | None:
    """The file system at the start of ``device``, None when it is none of those a boot loader starts from."""
    head = device.read(0, 65536 + 4096)
    if head[1080:1082] == b"\x53\xef":
        return Found("ext4", _uuid(head[1128:1144]))
    if head[:4] == b"XFSB":
        return Found("xfs", _uuid(head[32:48]))
    if head[65600:65608] == b"_BHRfS_M":
        return Found("btrfs", _uuid(head[65568:65584]))
    if head[510:512] == b"\x55\xaa" and head[82:87] == b"FAT32":
        return Found("vfat", _serial(head[67:71]))
    if head[510:512] == b"\x55\xaa" and head[54:57] == b"FAT":
        return Found("vfat", _serial(head[39:43]))
    return None


def make_swap(device: blockdev.Device, label: str) -> str:
    """Make a swap area; gives its UUID."""
    identity = os.urandom(16)
    page = bytearray(_PAGE)
    struct.pack_into("<III", page, 1024, 1, device.size // _PAGE - 1, 0)
    page[1036:1052] = identity
    page[1052:1068] = label.encode()[:16].ljust(16, b"\0")
    page[-10:] = b"SWAPSPACE2"
    device.write(memoryview(bytes(page)), 0)
    return _uuid(identity)


def make_fat(device: blockdev.Device, label: str) -> str:
    """Make an empty FAT32; gives its volume id as blkid prints it."""
    sector, total = device.sector, device.size // device.sector
    cluster = next(one for one in (8, 4, 2, 1) if one == 1 or total // one >= _FAT32_CLUSTERS)
    clusters = (total - _RESERVED) * sector // (cluster * sector + 8)
    fat = -(-(clusters + 2) * 4 // sector)
    serial, name = os.urandom(4), label.upper().encode()[:11].ljust(11)
    geometry = struct.pack("<HBHBHHBHHHII", sector, cluster, _RESERVED, 2, 0, 0, 0xF8, 0, 63, 255, 0, total)
    tail = struct.pack("<IHHIHH12xBBB", fat, 0, 0, 2, 1, 6, 0x80, 0, 0x29)
    boot = b"\xeb\x58\x90ingotfs " + geometry + tail + serial + name + b"FAT32   "
    free = (total - _RESERVED - 2 * fat) // cluster - 1
    info = b"RRaA" + bytes(480) + b"rrAa" + struct.pack("<II", free, 3)
    for _ in device.zero(0, (_RESERVED + 2 * fat + cluster) * sector):
        pass
    for copy in (0, 6):
        _write_sector(device, copy, boot)
        _write_sector(device, copy + 1, info)
    chain = struct.pack("<III", 0x0FFFFFF8, 0x0FFFFFFF, 0x0FFFFFFF)
    for start in (_RESERVED, _RESERVED + fat):
        device.write(memoryview(chain.ljust(sector, b"\0")), start * sector)
    volume = (name + b"\x08").ljust(32, b"\0")
    device.write(memoryview(volume.ljust(sector, b"\0")), (_RESERVED + 2 * fat) * sector)
    return _serial(serial)


def _write_sector(device: blockdev.Device, number: int, content: bytes) -> None:
    raw = content.ljust(510, b"\0") + b"\x55\xaa"
    device.write(memoryview(raw.ljust(device.sector, b"\0")), number * device.sector)


def make_ext(path: str, kind: str, label: str, place: tuple[int, int]) -> None:
    """Make ext2, ext3, ext4 at ``place`` (offset, size in bytes) of a disk nobody has open. Raises ImageWriteError."""
    offset, size = place
    command = ["mke2fs", "-q", "-F", "-t", kind, "-L", label, "-E", f"offset={offset}", path, f"{size // 1024}k"]
    done = programs.run(command, timeout=_MKFS_LIMIT)
    if not done.succeeded:
        said = done.output.decode("utf-8", "replace").strip()
        raise errors.ImageWriteError(f"The {kind} file system {label} cannot be made: {said}. Check the disk.")


def _uuid(raw: bytes) -> str:
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _serial(raw: bytes) -> str:
    text = raw[::-1].hex().upper()
    return f"{text[:4]}-{text[4:]}"
