"""Where the partitions of a partition image go: boot, ephemeral, swap, config drive, root, in this order.

Why: an image of a root file system alone needs a table around it. May not: touch a disk. Invariant: the same wish on
the same disk gives the same places, so that a later deployment finds its ephemeral partition again; what comes
before it depends on the firmware alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ingot_agent import errors, fields

MIB = 1 << 20
ESP_SIZE = 200 * MIB
_BIOS_BOOT_SIZE = MIB
_START = MIB
_TAIL = MIB  # for the backup of a GPT
LABELS = ("gpt", "msdos")
FORMATS = ("ext4", "ext3", "ext2", "vfat")


@dataclass(frozen=True)
class Wish:
    """What the conductor asks for; sizes in bytes, 0 for none. ``label`` is the kind of table."""

    root: int
    swap: int
    ephemeral: int
    ephemeral_format: str
    preserve: bool
    label: str
    uefi: bool


@dataclass(frozen=True)
class Part:
    """One partition to be; ``start`` and ``size`` in bytes, ``number`` counts from 1."""

    role: str
    number: int
    start: int
    size: int


def _mebibytes(info: dict[str, Any], name: str) -> int:
    try:
        number = int(info.get(name) or 0)
    except (TypeError, ValueError):
        number = -1
    if number < 0:
        raise errors.InvalidCommandParams(f"image_info has {name} {info.get(name)!r}. Send a number of MiB.")
    return number * MIB


def wish(info: dict[str, Any], uefi: bool) -> Wish:
    """What a partition image's image_info asks for. Raises InvalidCommandParams."""
    root, label = _mebibytes(info, "root_mb"), fields.text(info, "disk_label") or ("gpt" if uefi else "msdos")
    made = fields.text(info, "ephemeral_format") or FORMATS[0]
    if not root:
        raise errors.InvalidCommandParams("A partition image needs the size of its root partition. Send root_mb.")
    if label not in LABELS or (uefi and label != "gpt"):
        raise errors.InvalidCommandParams(f"The disk label {label!r} is not possible here. Use gpt, or msdos for BIOS.")
    if made not in FORMATS:
        known = ", ".join(FORMATS)
        raise errors.InvalidCommandParams(
            f"This ramdisk cannot make the ephemeral format {made!r}. Use one of {known}."
        )
    ephemeral = _mebibytes(info, "ephemeral_mb")
    preserve = bool(info.get("preserve_ephemeral")) and ephemeral > 0
    return Wish(root, _mebibytes(info, "swap_mb"), ephemeral, made, preserve, label, uefi)


def plan(wanted: Wish, disk_size: int, drive_size: int) -> tuple[Part, ...]:
    """The partitions in the order of the disk, the root last. Raises ImageWriteError when they do not fit."""
    sizes = [
        ("esp", ESP_SIZE if wanted.uefi else 0),
        ("bios", _BIOS_BOOT_SIZE if wanted.label == "gpt" and not wanted.uefi else 0),
        ("ephemeral", wanted.ephemeral),
        ("swap", wanted.swap),
        ("configdrive", -(-drive_size // MIB) * MIB),
        ("root", wanted.root),
    ]
    found: list[Part] = []
    at = _START
    for role, size in sizes:
        if size:
            found.append(Part(role, len(found) + 1, at, size))
            at += size
    if at + _TAIL > disk_size:
        words = ", ".join(f"{part.role} {part.size // MIB}" for part in found)
        raise errors.ImageWriteError(
            f"The partitions asked for need {(at + _TAIL) // MIB} MiB ({words}) and the disk has {disk_size // MIB}. "
            "Choose a larger disk or ask for less."
        )
    return tuple(found)


def find(parts: tuple[Part, ...], role: str) -> Part | None:
    """The partition with this role, None without one."""
    return next((part for part in parts if part.role == role), None)
