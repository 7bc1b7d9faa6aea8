"""Tells what an image file really is by its content, and refuses what must never reach a converter.

Why: a wrong declared format makes a converter read one format as another, and a file that is two formats at once is
made to be read differently by two readers. May not: run a program or trust a file's name. Invariant: a file passes
``check`` only if its content is the declared format, is no second one, and names no other file.

Sources: RFC 1952 (gzip), RFC 8878 (zstd), the xz file format 1.1, ECMA-119,
UEFI 2.10 section 5, LUKS1/LUKS2 on-disk format.
"""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path

from ingot.domain import errors
from ingot.images import qcow2

_ISO_AT = 32768
_HEAD = _ISO_AT + 8


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
_CONVERT = "Convert it to qcow2 or raw (qemu-img convert -O qcow2) and give the new checksum."
_DECLARED: dict[str, tuple[Format, ...]] = {
    "raw": (*_RAW_KINDS, *_COMPRESSED),
    "gpt": (Format.GPT, Format.MBR, *_COMPRESSED),  # Ironic's inspector calls both so
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
    return _of_bytes(*_ends(path))


def check(path: Path, declared: str | None) -> Format:
    """Return the format of ``path`` after refusing what is unsafe, unusable or not ``declared`` (None: any).

    Raises Invalid with a sentence that names what was found.
    """
    head, tail = _ends(path)
    found = _of_bytes(head, tail)
    if found is Format.EMPTY:
        raise errors.Invalid("The image is empty.", hint="Check the image's URL.")
    if declared is not None:
        check_declared(found, declared)
    _check_single(found, head)
    if found is Format.QCOW2:
        qcow2.check(path)
    elif found not in _RAW_KINDS and found not in _COMPRESSED:
        raise errors.Invalid(
            f"The image is a {found} file, which ingot does not write to disks.",
            hint=_CONVERT,
        )
    return found


def _ends(path: Path) -> tuple[bytes, bytes]:
    with path.open("rb") as file:
        head = file.read(_HEAD)
        file.seek(max(0, path.stat().st_size - 512))
        return head, file.read(512)


def is_compressed(found: Format) -> bool:
    """Tell whether ``found`` is a compressed stream of another format."""
    return found in _COMPRESSED


def check_declared(found: Format, declared: str) -> None:
    """Raise Invalid when a file of format ``found`` was declared as something else."""
    wanted = _DECLARED.get(declared.lower())
    if wanted is None:
        known = ", ".join(sorted(_DECLARED))
        raise errors.Invalid(f"The disk format {declared!r} is not known.", hint=f"Use one of {known}.")
    if found not in wanted:
        named = "raw" if found in _RAW_KINDS else str(found)
        hint = f"Set image_disk_format to {named}, or leave it out." if named in _DECLARED else _CONVERT
        raise errors.Invalid(f"The image was declared as {declared}, but its content is {found}.", hint=hint)


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
    if _is_vmdk_text(head):
        return Format.VMDK
    kinds = _disk_kinds(head)
    return next((kind for kind in (Format.ISO, Format.GPT, Format.MBR) if kind in kinds), Format.RAW)


def _disk_kinds(head: bytes) -> set[Format]:
    """The plain disk layouts in the head; a bootable ISO has a partition table as well, and is both rightly."""
    found: set[Format] = set()
    if head[512:520] == b"EFI PART" or head[4096:4104] == b"EFI PART":
        found.add(Format.GPT)
    if head[_ISO_AT + 1 : _ISO_AT + 6] == b"CD001":
        found.add(Format.ISO)
    if head[510:512] == b"\x55\xaa" and _has_partition(head):
        found.add(Format.MBR)
    return found


def _is_vmdk_text(head: bytes) -> bool:
    """A VMDK descriptor may begin with comments and blank lines; it names the files with the data (its extents)."""
    return re.match(rb"(?:[ \t]*(?:#[^\n]*)?\r?\n)*version=\d", head) is not None


def _check_single(found: Format, head: bytes) -> None:
    """Raise Invalid when another disk layout hides in the place that ``found`` leaves free."""
    hidden = _disk_kinds(head)
    if hidden and found not in _RAW_KINDS:
        raise errors.Invalid(
            f"The image is a {found} file and at once a {sorted(hidden)[0]} disk, as only a forged file is.",
            hint="Do not use it; make the image again from a source you trust.",
        )


def _has_partition(head: bytes) -> bool:
    entries = [head[446 + 16 * index : 462 + 16 * index] for index in range(4)]
    return all(entry[0] in (0, 0x80) for entry in entries) and any(entry[4] for entry in entries)
