"""The inject_files step: files put into the file systems of the root disk, or taken out of them.

Why: for what a machine needs before its system starts and no config drive can bring. May not: tell what a file holds.
Invariants: no file is touched before every wish was checked; no path leaves its file system, whatever links it has.
"""

from __future__ import annotations

import binascii
import errno
import os
import re
from dataclasses import dataclass
from typing import Any, cast

from ingot_agent import (
    blockdev,
    commands,
    errors,
    fields,
    filesystems,
    log,
    mounts,
    partition,
    rootdisk,
    settings,
    wire,
)

LIMIT = 64 << 20
_NUMBERS = {"owner": 0xFFFF_FFFE, "group": 0xFFFF_FFFE, "mode": 0o7777, "dirmode": 0o7777}
"""What numbers a wish may have, and the largest that the kernel takes for each."""
_KNOWN = {"path", "partition", "content", "deleted", *_NUMBERS}
_NO_PATH = re.compile("[\0\ud800-\udfff]")
_BLANK = re.compile(r"\{(node|ports)((?:\[[^\]{}]+\])+)\}")
_MOST_LINKS = 40  # as the kernel has it (path_resolution(7))
_USUAL_MODE = 0o644


@dataclass(frozen=True)
class Wish:
    """One file to be there or not; ``content`` is base64 or a URL, ``partition`` a number or a device, "" to look."""

    path: str
    partition: str
    content: str
    deleted: bool
    numbers: dict[str, int]


@dataclass(frozen=True)
class Source:
    """What URLs may name of this machine, and how they are fetched."""

    node: dict[str, Any]
    ports: list[dict[str, Any]]
    config: settings.Settings
    insecure: bool


@dataclass(frozen=True)
class _Place:
    """A partition with a file system."""

    node: str
    names: frozenset[str]
    found: filesystems.Found


def wishes(node: dict[str, Any], args: dict[str, Any]) -> list[Wish]:
    """The files of the node's property and of the step's argument. Raises InvalidCommandParams with all complaints."""
    listed: list[dict[str, Any]] = []
    complaints: list[str] = []
    for values, name in ((fields.find_object(node, "properties") or {}, "inject_files"), (args, "files")):
        listed += fields.objects(values, name)
        if not _is_list_of_objects(values.get(name)):
            complaints.append(f"{name} is not a list of objects")
    complaints += [said for one in listed for said in _complaints(one)]
    if complaints:
        raise errors.InvalidCommandParams(f"The files to inject cannot be: {'; '.join(complaints)}. Correct them.")
    return [_wish(one) for one in listed]


def _is_list_of_objects(value: object) -> bool:
    entries = cast("list[object]", value or [])
    return isinstance(entries, list) and all(isinstance(entry, dict) for entry in entries)


def _complaints(one: dict[str, Any]) -> list[str]:
    path, plain = fields.text(one, "path"), _plain(one)
    said = [f"{name!r} is not known" for name in sorted(set(one) - _KNOWN)]
    said += [f"{name} is not a number of 0 to {most}" for name, most in _NUMBERS.items() if not _fits(one, name, most)]
    if not plain:
        said.append("it has no path")
    elif _NO_PATH.search(path):
        said.append("its path has a letter that no file's name can have")
    elif path.endswith("/"):
        said.append("its path is a folder's")
    elif "/" not in plain and not one.get("partition"):
        said.append("a file in the root folder needs its partition")
    if bool(one.get("deleted")) is bool("content" in one):
        said.append("it needs either content or deleted")
    elif "content" in one and not _is_content(one["content"]):
        said.append("its content is neither base64 nor a URL")
    shown = ascii(path) if _NO_PATH.search(path) else path
    return [f"{shown or 'a file'}: {each}" for each in said]


def _fits(one: dict[str, Any], name: str, most: int) -> bool:
    value = one.get(name, 0)
    return type(value) is int and 0 <= value <= most


def _plain(one: dict[str, Any]) -> str:
    """Its path from the root folder, without detours."""
    return os.path.normpath("/" + fields.text(one, "path")).strip("/")


def _is_content(value: object) -> bool:
    if not isinstance(value, str):
        return False
    if "://" in value:
        return value.lower().startswith(("http://", "https://"))
    try:
        binascii.a2b_base64("".join(value.split()), strict_mode=True)
    except ValueError:
        return False
    return True


def _wish(one: dict[str, Any]) -> Wish:
    numbers = {name: one[name] for name in _NUMBERS if name in one}
    content, where = fields.text(one, "content"), str(one.get("partition") or "")
    return Wish(_plain(one), where, content, bool(one.get("deleted")), numbers)


def carry_out(wanted: list[Wish], source: Source, roots: settings.Roots, progress: commands.Progress) -> dict[str, str]:
    """What was done with each path. Raises DeviceNotFound, Unreachable, ImageWriteError and CommandExecutionError."""
    if not wanted:
        return {}
    disk = rootdisk.find(source.node, roots).name
    places = _places(disk)
    done: dict[str, str] = {}
    for wish in wanted:
        progress.begin(f"injecting /{wish.path}")
        data = b"" if wish.deleted else _content(wish, source)
        place = _find(places, wish, disk, roots)
        with mounts.mounted(place.node, _folder(roots), place.found) as top:
            done[f"/{wish.path}"] = f"{_change(top, wish, data)} {place.node}"
    return done


def _places(disk: str) -> list[_Place]:
    with blockdev.opened(disk, exclusive=False) as device:
        return [
            _Place(one.node, frozenset((one.node, str(one.part.number), one.name, one.found.uuid)), one.found)
            for one in partition.places(device)
            if one.found is not None
        ]


def _folder(roots: settings.Roots) -> str:
    return f"{roots.run}/ingot-inject"


def _content(wish: Wish, source: Source) -> bytes:
    if "://" not in wish.content:
        return binascii.a2b_base64("".join(wish.content.split()))

    def value(blank: re.Match[str]) -> str:
        found: object = source.node if blank[1] == "node" else source.ports
        try:
            for key in blank[2][1:-1].split("]["):
                found = cast("list[object]", found)[int(key)] if isinstance(found, list) else _member(found, key)
        except (KeyError, IndexError, ValueError, TypeError):
            text = f"/{wish.path}: its URL names {blank[0]}, which this machine does not have. Correct it."
            raise errors.InvalidCommandParams(text) from None
        return str(found)

    url = _BLANK.sub(value, wish.content)
    return wire.fetch(url, timeout=source.config.http_timeout, insecure=source.insecure, limit=LIMIT)


def _member(value: object, key: str) -> object:
    return cast("dict[str, object]", value)[key]  # what is no object raises TypeError


def _find(places: list[_Place], wish: Wish, disk: str, roots: settings.Roots) -> _Place:
    """The partition that is named, else the first that has the path's first folder."""
    first = wish.path.partition("/")[0]
    for place in places:
        if wish.partition:
            if wish.partition in place.names or wish.partition.rpartition("/")[2] in place.names:
                return place
        elif _has(place, first, roots):
            return place
    wanted = f"partition {wish.partition}" if wish.partition else f"partition with the folder /{first}"
    seen = ", ".join(f"{one.node} ({one.found.kind})" for one in places) or "none"
    raise errors.DeviceNotFound(
        f"{disk} has no {wanted} for /{wish.path}; those with a file system: {seen}. Name one of them."
    )


def _has(place: _Place, first: str, roots: settings.Roots) -> bool:
    try:
        with mounts.mounted(place.node, _folder(roots), place.found) as top:
            return os.path.isdir(inside(top, first))
    except (errors.ImageWriteError, errors.CommandExecutionError) as error:
        log.line(f"{error.message} Looking elsewhere")
        return False


def inside(top: str, path: str) -> str:
    """Where ``path`` leads in the file system at ``top``, its links read as that system reads them."""
    ahead, at, links = path.split("/")[::-1], list[str](), 0
    while ahead:
        name = ahead.pop()
        if name == "..":
            at = at[:-1]
        elif name not in ("", "."):
            here = "/".join((top, *at, name))
            if not os.path.islink(here):
                at.append(name)
                continue
            target, links = os.readlink(here), links + 1
            if links > _MOST_LINKS:
                raise errors.CommandExecutionError(f"/{path} leads through links without end. Name another path.")
            at = [] if target.startswith("/") else at
            ahead += target.split("/")[::-1]
    return "/".join((top, *at))


def _change(top: str, wish: Wish, data: bytes) -> str:
    """What was done, in words that go on with the device's name. Raises CommandExecutionError."""
    try:
        if wish.deleted:
            folder, _, name = wish.path.rpartition("/")
            path = f"{inside(top, folder)}/{name}"
            if not os.path.lexists(path):
                return "is not on"
            os.unlink(path)
            return "deleted from"
        _write(inside(top, wish.path), wish.numbers, data)
    except OSError as error:
        verb = "deleted" if wish.deleted else "written"
        text = f"/{wish.path} cannot be {verb}: {error.strerror}. Check the path and the file system."
        raise errors.CommandExecutionError(text) from error
    return f"{len(data)} bytes written to"


def _write(path: str, numbers: dict[str, int], data: bytes) -> None:
    folder, is_new = os.path.dirname(path), not os.path.exists(path)
    if not os.path.isdir(folder):
        os.makedirs(folder)
        if "dirmode" in numbers:
            os.chmod(folder, numbers["dirmode"])
    if not is_new and not os.path.isfile(path):
        raise OSError(errno.EINVAL, "there is something else than a file")
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fchown(file.fileno(), numbers.get("owner", -1), numbers.get("group", -1))
        if "mode" in numbers or is_new:
            os.fchmod(file.fileno(), numbers.get("mode", _USUAL_MODE))
        os.fsync(file.fileno())
