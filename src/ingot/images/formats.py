"""Tells what an image file really is by its content, and refuses what must never reach a converter.

Why: a qcow2 file may name other files of this host as its backing or data file, and a wrong declared format
makes a converter read one format as another. May not: run a program or trust a file's name.
Invariant: a file passes ``check`` only if its content is the declared format and names no other file.

Sources: QEMU ``docs/interop/qcow2.txt``, RFC 1952 (gzip), RFC 8878 (zstd), the xz file format 1.1, ECMA-119,
UEFI 2.10 section 5, LUKS1/LUKS2 on-disk format.
"""

from __future__ import annotations

import struct
from enum import StrEnum
from pathlib import Path

from ingot.domain import errors

_ISO_AT = 32768
_HEAD = _ISO_AT + 8
_QCOW2_KNOWN_INCOMPATIBLE = 0b11001  # dirty, compression type, extended L2 entries
_QCOW2_CORRUPT = 0b10
_QCOW2_DATA_FILE = 0b100


class Format(StrEnum):
    """What the bytes of a file are. RAW is a disk without a partition table that we know."""

    RAW = "raw"
    GPT = "gpt"
    MBR = "mbr"
    QCOW2 = "qcow2"
    GZIP = "gzip"
    XZ = "xz"
    ZSTD = "zstd"
    ISO = "iso"
    VMDK = "vmdk"
    VHD = "vhd"
    VHDX = "vhdx"
    VDI = "vdi"
    LUKS = "luks"
    EMPTY = "empty"


_VHD_COOKIE = b"conectix"  # codespell:ignore conectix
_COMPRESSED = (Format.GZIP, Format.XZ, Format.ZSTD)
_RAW_KINDS = (Format.RAW, Format.GPT, Format.MBR, Format.ISO)
_MAGICS: tuple[tuple[bytes, Format], ...] = (
    (b"QFI\xfb", Format.QCOW2),
    (b"\x1f\x8b\x08", Format.GZIP),
    (b"\xfd7zXZ\0", Format.XZ),
    (b"\x28\xb5\x2f\xfd", Format.ZSTD),
    (b"KDMV", Format.VMDK),
    (b"COWD", Format.VMDK),
    (b"# Disk DescriptorFile", Format.VMDK),
    (b"vhdxfile", Format.VHDX),
    (_VHD_COOKIE, Format.VHD),
    (b"LUKS\xba\xbe", Format.LUKS),
)
_DECLARED: dict[str, tuple[Format, ...]] = {
    "raw": (*_RAW_KINDS, *_COMPRESSED),
    "gpt": (Format.GPT, *_COMPRESSED),
    "mbr": (Format.MBR, *_COMPRESSED),
    "iso": (Format.ISO, *_COMPRESSED),
    "qcow2": (Format.QCOW2,),
    "gzip": (Format.GZIP,),
    "gz": (Format.GZIP,),
    "xz": (Format.XZ,),
    "zstd": (Format.ZSTD,),
    "zst": (Format.ZSTD,),
}


def detect(path: Path) -> Format:
    """Return what the content of ``path`` is. Reads at most 40 KiB and the last sector."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
        file.seek(max(0, path.stat().st_size - 512))
        tail = file.read(512)
    return _of_bytes(head, tail)


def check(path: Path, declared: str | None) -> Format:
    """Return the format of ``path`` after refusing what is unsafe, unusable or not ``declared`` (None: any).

    Raises Invalid with a sentence that names what was found.
    """
    found = detect(path)
    if found is Format.EMPTY:
        raise errors.Invalid("The image is empty.", hint="Check the image's URL.")
    if declared is not None:
        check_declared(found, declared)
    if found is Format.QCOW2:
        check_qcow2(path)
    elif found not in _RAW_KINDS and found not in _COMPRESSED:
        raise errors.Invalid(
            f"The image is a {found} file, which ingot does not write to disks.",
            hint="Convert it to qcow2 or raw (qemu-img convert -O qcow2) and give the new checksum.",
        )
    return found


def is_compressed(found: Format) -> bool:
    """Tell whether ``found`` is a compressed stream of another format."""
    return found in _COMPRESSED


def check_qcow2(path: Path) -> int:
    """Refuse a qcow2 that names another file or uses unknown features; return its virtual size in bytes."""
    with path.open("rb") as file:
        head = file.read(112)
    if len(head) < 72 or head[:4] != b"QFI\xfb":
        raise errors.Invalid("The qcow2 image's header is cut off.", hint="Upload the image again.")
    version, backing_offset, _, cluster_bits, virtual_size, crypt = struct.unpack_from(">IQIIQI", head, 4)
    if version not in (2, 3):
        raise errors.Invalid(f"The image is qcow version {version}; ingot reads 2 and 3.", hint=_CONVERT)
    if backing_offset:
        raise errors.Invalid("The qcow2 image has a backing file, another file it would read on this host.", hint=_FLAT)
    if crypt:
        raise errors.Invalid("The qcow2 image is encrypted.", hint="Decrypt it with qemu-img convert first.")
    if not 9 <= cluster_bits <= 21:
        raise errors.Invalid(f"The qcow2 image's cluster size 2^{cluster_bits} is not valid.", hint=_CONVERT)
    if version == 3:
        _check_features(head)
    return int(virtual_size)


_FLAT = "Flatten it: qemu-img convert -O qcow2 OLD NEW, and give the new checksum."
_CONVERT = "Convert it with a current qemu-img (-O qcow2), and give the new checksum."


def _check_features(head: bytes) -> None:
    if len(head) < 104:
        raise errors.Invalid("The qcow2 image's header is cut off.", hint="Upload the image again.")
    (features,) = struct.unpack_from(">Q", head, 72)
    if features & _QCOW2_DATA_FILE:
        raise errors.Invalid("The qcow2 image keeps its data in an external file.", hint=_FLAT)
    if features & _QCOW2_CORRUPT:
        raise errors.Invalid("The qcow2 image is marked as corrupt.", hint="Repair it: qemu-img check -r all.")
    unknown = features & ~_QCOW2_KNOWN_INCOMPATIBLE
    if unknown:
        bits = ", ".join(str(bit) for bit in range(64) if unknown >> bit & 1)
        raise errors.Invalid(f"The qcow2 image needs features ingot does not know (bits {bits}).", hint=_CONVERT)


def check_declared(found: Format, declared: str) -> None:
    """Raise Invalid when a file of format ``found`` was declared as something else."""
    wanted = _DECLARED.get(declared.lower())
    if wanted is None:
        known = ", ".join(sorted(_DECLARED))
        raise errors.Invalid(f"The disk format {declared!r} is not known.", hint=f"Use one of {known}.")
    if found not in wanted:
        raise errors.Invalid(
            f"The image was declared as {declared}, but its content is {found}.",
            hint=f"Set image_disk_format to {_name_for(found)}, or leave it out.",
        )


def _name_for(found: Format) -> str:
    return "raw" if found in _RAW_KINDS else str(found)


def _of_bytes(head: bytes, tail: bytes) -> Format:
    if not head:
        return Format.EMPTY
    for magic, found in _MAGICS:
        if head.startswith(magic):
            return found
    if head[64:68] == b"\x7f\x10\xda\xbe":
        return Format.VDI
    if tail.startswith(_VHD_COOKIE):
        return Format.VHD
    return _raw_kind(head)


def _raw_kind(head: bytes) -> Format:
    """Tell the kinds of plain disk content apart; a bootable ISO with a partition table counts as a disk."""
    if head[512:520] == b"EFI PART" or head[4096:4104] == b"EFI PART":
        return Format.GPT
    if head[_ISO_AT + 1 : _ISO_AT + 6] == b"CD001":
        return Format.ISO
    if head[510:512] == b"\x55\xaa" and _has_partition(head):
        return Format.MBR
    return Format.RAW


def _has_partition(head: bytes) -> bool:
    entries = [head[446 + 16 * index : 462 + 16 * index] for index in range(4)]
    return all(entry[0] in (0, 0x80) for entry in entries) and any(entry[4] for entry in entries)
