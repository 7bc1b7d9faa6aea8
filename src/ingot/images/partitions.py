"""Partition images: what an instance asks for around the image of a root file system.

May not: know a node. Invariant: sizes that leave this module are whole numbers of MiB.
"""

from __future__ import annotations

from typing import Any, cast

from ingot.domain import errors

_DEFAULT_FORMAT = "ext4"
_TYPES = ("whole-disk", "partition")


def is_wanted(info: dict[str, Any]) -> bool:
    """Whether instance_info names a partition image: by image_type, else by a kernel and a ramdisk beside the image.

    Raises errors.Invalid for an unknown image_type.
    """
    kind = info.get("image_type")
    if kind is None:
        return bool(info.get("kernel") and info.get("ramdisk"))
    if kind not in _TYPES:
        raise errors.Invalid(f"instance_info has image_type {kind!r}.", hint=f"Use one of {', '.join(_TYPES)}.")
    return kind == "partition"


def order(info: dict[str, Any], image_size: int | None = None) -> dict[str, Any]:
    """The fields of the agent protocol's image_info for a partition image; ``image_size`` in bytes, where it is known.

    Raises errors.Invalid for a missing or impossible size.
    """
    root = _number(info, "root_gb") * 1024
    if root <= 0:
        raise errors.Invalid(
            "Cannot validate image information: a partition image needs instance_info root_gb",
            hint="Set it to the size of the root partition in GiB, or set image_type to whole-disk.",
        )
    if image_size is not None and image_size > root << 20:
        raise errors.Invalid(
            f"The root partition is too small for the image: {image_size >> 20} MiB into {root}",
            hint="Raise instance_info root_gb.",
        )
    wanted = {
        "image_type": "partition",
        "root_mb": root,
        "swap_mb": _number(info, "swap_mb"),
        "ephemeral_mb": _number(info, "ephemeral_gb") * 1024,
        "ephemeral_format": str(info.get("ephemeral_format") or _DEFAULT_FORMAT),
        "preserve_ephemeral": str(info.get("preserve_ephemeral", False)).lower() in ("true", "1", "yes", "on"),
        "boot_option": "local",
    }
    label = _capability(info.get("capabilities"), "disk_label")
    return {**wanted, "disk_label": label} if label else wanted


def _capability(found: Any, name: str) -> str | None:
    """One of the capabilities, which clients send as an object or as ``name:value,name:value``."""
    if isinstance(found, dict):
        return cast("dict[str, str]", found).get(name)
    pairs = (one.partition(":") for one in str(found or "").split(","))
    return next((value.strip() for key, mark, value in pairs if mark and key.strip() == name), None)


def _number(info: dict[str, Any], name: str) -> int:
    try:
        number = int(info.get(name) or 0)
    except (TypeError, ValueError):
        number = -1
    if number < 0:
        raise errors.Invalid(f"instance_info has {name} {info.get(name)!r}.", hint="Give a whole number, 0 for none.")
    return number
