"""RAID configurations: which volumes a node may be asked to have. Pure.

May not: know a controller. Source of keys, levels and rules: the schema that Ironic publishes for target_raid_config.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, cast

import msgspec

from ingot.domain import errors, schema_texts, typed

LEVELS = ("JBOD", "0", "1", "2", "5", "6", "1+0", "5+0", "6+0")
_DISK_TYPES = ("hdd", "ssd")
_BUSES = ("sata", "scsi", "sas")
PROPERTIES = {
    "raid_level": f"RAID level, one of {', '.join(LEVELS)}. Required.",
    "size_gb": 'Size in GiB, a whole number, or "MAX" for all that is left. Required.',
    "volume_name": "Name of the volume; made up if not given. Optional.",
    "is_root_volume": "Whether the instance's system goes onto it; at most one volume may say so. Optional.",
    "share_physical_disks": "Whether other volumes may use the same physical disks. Default false. Optional.",
    "disk_type": f"Kind of disk, one of {', '.join(_DISK_TYPES)}. Default: any. Optional.",
    "interface_type": f"How the disks are connected, one of {', '.join(_BUSES)}. Default: any. Optional.",
    "number_of_physical_disks": "How many physical disks to use. Default: as few as the level needs. Optional.",
    "controller": "RAID controller to use, as the hardware calls it. Default: the driver chooses. Optional.",
    "physical_disks": "Physical disks to use, as the hardware calls them; needs controller. Optional.",
}


class _Volume(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a volume may say of itself."""

    raid_level: Literal["JBOD", "0", "1", "2", "5", "6", "1+0", "5+0", "6+0"]
    size_gb: Annotated[int, msgspec.Meta(ge=0)] | Literal["MAX"]
    volume_name: str | None = None
    is_root_volume: bool = False
    share_physical_disks: bool = False
    disk_type: Literal["hdd", "ssd"] | None = None
    interface_type: Literal["sata", "scsi", "sas"] | None = None
    number_of_physical_disks: Annotated[int, msgspec.Meta(ge=1)] | None = None
    controller: str | None = None
    physical_disks: list[str | dict[str, Any]] | None = None


class _Target(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    logical_disks: Annotated[list[_Volume], msgspec.Meta(min_length=1)]


def check(target: dict[str, Any]) -> None:
    """Raise errors.Invalid unless ``target`` ({"logical_disks": [...]}) can be meant."""
    try:
        disks = typed.convert(target, _Target).logical_disks
    except msgspec.ValidationError as error:
        raise _wrong(schema_texts.told(error, target)) from error
    if any(disk.physical_disks is not None and disk.controller is None for disk in disks):
        raise _wrong("'controller' is a dependency of 'physical_disks'")
    roots = sum(disk.is_root_volume for disk in disks)
    if roots > 1:
        raise _wrong(f"Raid config cannot have more than one root volume. {roots} root volumes were specified")


def volumes(target: dict[str, Any]) -> list[dict[str, Any]]:
    """The volumes that a checked target names, as they were written."""
    return cast("list[dict[str, Any]]", target["logical_disks"])


def _wrong(text: str) -> errors.Invalid:
    return errors.Invalid(f"RAID config validation error: {text}", hint="Correct target_raid_config.")
