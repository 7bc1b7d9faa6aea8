"""Choose the disk an operating system goes to, by Ironic's root device hints.

May not: touch a disk. Invariant: without hints the smallest disk of at least 4 GiB; never a disk of the
skip list. Source of the operators: ironic-lib's and Ironic's documentation of root device hints and the
extra specs language.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from ingot_agent import disks, errors, fields

_MINIMUM = 4 << 30
_FIELDS = (
    "size", "model", "wwn", "serial", "vendor", "wwn_with_extension", "wwn_vendor_extension",
    "name", "rotational", "hctl", "by_path",
)  # fmt: skip
_NUMBERS: dict[str, Callable[[float, float], bool]] = {
    "=": lambda own, wanted: own >= wanted,  # the extra specs language says: at least
    "==": lambda own, wanted: own == wanted,
    "!=": lambda own, wanted: own != wanted,
    ">=": lambda own, wanted: own >= wanted,
    "<=": lambda own, wanted: own <= wanted,
    "<": lambda own, wanted: own < wanted,
    ">": lambda own, wanted: own > wanted,
}
_TEXTS: dict[str, Callable[[str, str], bool]] = {
    "s==": lambda own, wanted: own == wanted,
    "s!=": lambda own, wanted: own != wanted,
    "s>=": lambda own, wanted: own >= wanted,
    "s<=": lambda own, wanted: own <= wanted,
    "s>": lambda own, wanted: own > wanted,
    "s<": lambda own, wanted: own < wanted,
}


def _number(text: str, field: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise errors.InvalidCommandParams(
            f"The root device hint {field} wants a number, not {text!r}. Correct it."
        ) from None


def _truth(text: str) -> bool:
    return text.lower() in ("1", "true", "t", "yes", "y", "on")


def _words(text: str) -> list[str]:
    import shlex  # only hints need it

    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


def _alternatives(words: list[str], mark: str) -> list[str]:
    """Values after each ``mark``: ``<or> a <or> b`` gives a and b.

    Several words between marks are one value.
    """
    values: list[list[str]] = []
    for word in words:
        if word == mark:
            values.append([])
        elif values:
            values[-1].append(word)
    return [" ".join(value) for value in values]


def _matches_text(own: str, wanted: str, field: str) -> bool:
    own, wanted = own.lower(), wanted.strip().lower()
    words = _words(wanted)
    operator = words[0] if words else ""
    rest = " ".join(words[1:])
    match operator:
        case "<or>":
            return own in _alternatives(words, "<or>")
        case "<in>":
            return all(value in own for value in _alternatives(words, "<in>"))
        case "<all-in>":
            return all(value in own for value in words[1:])
        case _ if operator in _TEXTS:
            return _TEXTS[operator](own, rest)
        case _ if operator in _NUMBERS:
            return _NUMBERS[operator](_number(own, field), _number(rest, field))
        case _:
            return own == " ".join(words) or own == wanted


def _matches_size(own: int, wanted: str) -> bool:
    words = wanted.split()
    gibibytes = own / (1 << 30)
    if words and words[0] == "<or>":
        return any(int(gibibytes) == _number(one, "size") for one in _alternatives(words, "<or>"))
    if len(words) == 2 and words[0] in _NUMBERS:
        return _NUMBERS[words[0]](float(int(gibibytes)), _number(words[1], "size"))
    return int(gibibytes) == _number(wanted, "size")


def _matches_name(own: str, wanted: str) -> bool:
    plain = wanted.strip().removeprefix("s==").strip()
    if plain.startswith("<"):
        return _matches_text(own, wanted, "name")
    return own.rpartition("/")[2] == plain.rpartition("/")[2]


def matches(disk: disks.Disk, hints: dict[str, Any]) -> bool:
    """Tell whether a disk fits every hint. Raises InvalidCommandParams for a hint that makes no sense."""
    own = disk.as_dict()
    for field, value in hints.items():
        wanted = str(value)
        if field not in _FIELDS:
            known = ", ".join(_FIELDS)
            raise errors.InvalidCommandParams(f"There is no root device hint {field!r}. Use one of: {known}.")
        match field:
            case "size":
                fits = _matches_size(disk.size, wanted)
            case "rotational":
                fits = disk.rotational == _truth(wanted)
            case "name":
                fits = _matches_name(disk.name, wanted)
            case _:
                fits = own[field] is not None and _matches_text(str(own[field]), wanted, field)
        if not fits:
            return False
    return True


def skipped(found: list[disks.Disk], skip_list: list[dict[str, Any]]) -> list[disks.Disk]:
    """The disks that an entry of ``skip_block_devices`` describes; those with a ``volume_name`` mean no disk."""
    entries = [entry for entry in skip_list if entry and "volume_name" not in entry]
    return [disk for disk in found if any(matches(disk, entry) for entry in entries)]


def describe(disk: disks.Disk) -> str:
    """One disk in a few words."""
    parts = [
        disk.name,
        f"{disk.size / (1 << 30):.1f} GiB",
        disk.model or "",
        f"serial {disk.serial}" if disk.serial else "",
        f"({disk.barred})" if disk.barred else "",
    ]
    return " ".join(part for part in parts if part)


def choose(found: list[disks.Disk], hints: dict[str, Any], kept: Collection[str] = ()) -> disks.Disk:
    """Give the disk, none of those ``kept`` (names). Raises DeviceNotFound naming every candidate."""
    free = (disk for disk in disks.usable(found) if disk.name not in kept)
    usable = sorted(free, key=lambda disk: (disk.size, disk.name))
    listing = "; ".join(describe(disk) for disk in found) or "none at all: the ramdisk lacks a driver, or there is none"
    if hints:
        for disk in usable:
            if matches(disk, hints):
                return disk
        asked = ", ".join(f"{field}={value}" for field, value in sorted(hints.items()))
        text = f"No disk fits the root device hints {asked}. Disks: {listing}. Change the hints or the disks."
        raise errors.DeviceNotFound(text)
    for disk in usable:
        if disk.size >= _MINIMUM:
            return disk
    raise errors.DeviceNotFound(
        f"No disk of at least 4 GiB can take the image. Disks: {listing}. Add one or give a hint."
    )


def of_node(node: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The node's root device hints (the instance's before the node's own) and its skip list."""
    properties = fields.find_object(node, "properties") or {}
    instance = fields.find_object(node, "instance_info") or {}
    chosen = fields.find_object(instance, "root_device") or fields.find_object(properties, "root_device") or {}
    return chosen, fields.objects(properties, "skip_block_devices")
