"""Judges the header of a qcow2 file before any program opens it.

Why: a qcow2 file may name other files of this host as its backing or data file, and a converter would read them into
the image. May not: follow what the header names. Invariant: a file that passes ``check`` names no other file.

Source: QEMU ``docs/interop/qcow2.txt``.
"""

from __future__ import annotations

import struct
from pathlib import Path

from ingot.domain import errors

_KNOWN_INCOMPATIBLE = 0b11001  # dirty, compression type, extended L2 entries
_CORRUPT = 0b10
_DATA_FILE = 0b100
_FLAT = "Flatten it: qemu-img convert -O qcow2 OLD NEW, and give the new checksum."
_CONVERT = "Convert it with a current qemu-img (-O qcow2), and give the new checksum."


def check(path: Path) -> int:
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


def _check_features(head: bytes) -> None:
    if len(head) < 104:
        raise errors.Invalid("The qcow2 image's header is cut off.", hint="Upload the image again.")
    (features,) = struct.unpack_from(">Q", head, 72)
    if features & _DATA_FILE:
        raise errors.Invalid("The qcow2 image keeps its data in an external file.", hint=_FLAT)
    if features & _CORRUPT:
        raise errors.Invalid("The qcow2 image is marked as corrupt.", hint="Repair it: qemu-img check -r all.")
    unknown = features & ~_KNOWN_INCOMPATIBLE
    if unknown:
        bits = ", ".join(str(bit) for bit in range(64) if unknown >> bit & 1)
        raise errors.Invalid(f"The qcow2 image needs features ingot does not know (bits {bits}).", hint=_CONVERT)
