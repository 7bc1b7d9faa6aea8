"""Writes small ISO 9660 file systems in pure Python, with Rock Ridge and Joliet names.

Why: a config drive needs one, and neither genisoimage nor xorriso is worth a dependency for five files.
May not: stream, or write files of 4 GiB and more. Invariant: the same tree gives the same bytes, so a retry
after a crash writes the same config drive.

Sources: ECMA-119 (ISO 9660), IEEE P1282 (Rock Ridge, RRIP_1991A), Microsoft's Joliet specification.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

from ingot.domain import errors

SECTOR = 2048
Tree = Mapping[str, "bytes | Tree"]
_DATE = bytes((124, 1, 1, 0, 0, 0, 0))  # constant: see the invariant
_LONG_DATE = b"0000000000000000\0"
_FIRST_FREE = 19  # after the system area, two volume descriptors and the terminator


@dataclass
class _Folder:
    """One directory with where its records lie on the disc, once for plain names and once for Joliet."""

    name: str
    parent: _Folder | None
    number: int
    folders: list[_Folder] = field(default_factory=list["_Folder"])
    files: list[_File] = field(default_factory=list["_File"])
    extent: dict[bool, int] = field(default_factory=dict[bool, int])
    size: dict[bool, int] = field(default_factory=dict[bool, int])


@dataclass
class _File:
    name: str
    data: bytes
    extent: int = 0


def build(tree: Tree, label: str) -> bytes:
    """Return an ISO 9660 image with volume name ``label`` holding ``tree`` (name -> bytes or nested tree).

    Raises Invalid for a name or label that does not fit.
    """
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,16}", label):
        raise errors.Invalid(f"The volume name {label!r} must be 1 to 16 letters, digits, dashes or underscores.")
    folders = _folders(tree)
    tables: dict[tuple[bool, str], int] = {}
    position = _FIRST_FREE
    for joliet in (False, True):
        for order in ("<", ">"):
            tables[joliet, order] = position
            position += _sectors(len(_path_table(folders, joliet=joliet, order=order, blank=True)))
        position = _place_folders(folders, position, joliet=joliet)
    for folder in folders:
        for file in folder.files:
            file.extent = position
            position += _sectors(len(file.data))
    return _write(folders, tables, position, label)


def _write(folders: list[_Folder], tables: dict[tuple[bool, str], int], total: int, label: str) -> bytes:
    disc = bytearray(total * SECTOR)

    def put(sector: int, data: bytes) -> None:
        disc[sector * SECTOR : sector * SECTOR + len(data)] = data

    put(16, _descriptor(folders, tables, total, label, joliet=False))
    put(17, _descriptor(folders, tables, total, label, joliet=True))
    put(18, b"\xffCD001\x01")
    for (joliet, order), sector in tables.items():
        put(sector, _path_table(folders, joliet=joliet, order=order))
    for folder in folders:
        for joliet in (False, True):
            put(folder.extent[joliet], _records(folder, joliet=joliet))
        for file in folder.files:
            put(file.extent, file.data)
    return bytes(disc)


def _folders(tree: Tree) -> list[_Folder]:
    """All directories, the root first, level by level, as the path table wants them."""
    root = _Folder("", None, 1)
    found, pending = [root], [(root, tree)]
    while pending:
        folder, content = pending.pop(0)
        for name in sorted(content, key=lambda name: _plain_name(name, folder=False)):
            _check_name(name)
            inner = content[name]
            if isinstance(inner, bytes):
                folder.files.append(_File(name, inner))
                continue
            child = _Folder(name, folder, len(found) + 1)
            folder.folders.append(child)
            found.append(child)
            pending.append((child, inner))
    return found


def _check_name(name: str) -> None:
    if not 1 <= len(name) <= 60 or "/" in name or not name.isascii():
        raise errors.Invalid(f"The file name {name!r} cannot be put on a config drive (ASCII, up to 60 letters).")


def _place_folders(folders: list[_Folder], position: int, *, joliet: bool) -> int:
    for folder in folders:  # sizes do not depend on extents, so blanks serve to measure
        folder.extent[joliet], folder.size[joliet] = 0, 0
    for folder in folders:
        size = _sectors(len(_records(folder, joliet=joliet))) * SECTOR
        folder.extent[joliet], folder.size[joliet] = position, size
        position += size // SECTOR
    return position


def _records(folder: _Folder, *, joliet: bool) -> bytes:
    parent = folder.parent or folder
    head = b"" if joliet else _rock_ridge("", folder=True, root=folder.parent is None)
    parts = [
        _record(b"\0", folder.extent[joliet], folder.size[joliet], head, folder=True),
        _record(
            b"\1",
            parent.extent[joliet],
            parent.size[joliet],
            b"" if joliet else _rock_ridge("", folder=True),
            folder=True,
        ),
    ]
    entries: list[tuple[bytes, bytes]] = []
    for inner in folder.folders:
        name = _name(inner.name, joliet=joliet, folder=True)
        extra = b"" if joliet else _rock_ridge(inner.name, folder=True)
        entries.append((name, _record(name, inner.extent[joliet], inner.size[joliet], extra, folder=True)))
    for file in folder.files:
        name = _name(file.name, joliet=joliet, folder=False)
        extra = b"" if joliet else _rock_ridge(file.name, folder=False)
        entries.append((name, _record(name, file.extent, len(file.data), extra, folder=False)))
    if len({name for name, _ in entries}) != len(entries):
        raise errors.Invalid(f"Two names in the directory {folder.name!r} differ only in case.")
    parts += [record for _, record in sorted(entries)]
    return _packed(parts)


def _packed(parts: list[bytes]) -> bytes:
    """Join directory records; none may cross a sector's end."""
    packed = bytearray()
    for part in parts:
        room = SECTOR - len(packed) % SECTOR
        if len(part) > room:
            packed += b"\0" * room
        packed += part
    return bytes(packed)


def _record(name: bytes, extent: int, size: int, extra: bytes, *, folder: bool) -> bytes:
    body = _both(extent) + _both(size) + _DATE + bytes((2 if folder else 0, 0, 0))
    body += struct.pack("<H", 1) + struct.pack(">H", 1) + bytes((len(name),)) + name
    if len(name) % 2 == 0:
        body += b"\0"
    body += extra
    if len(body) % 2:
        body += b"\0"
    return bytes((len(body) + 2, 0)) + body


def _rock_ridge(name: str, *, folder: bool, root: bool = False) -> bytes:
    entries = b"SP\x07\x01\xbe\xef\x00" if root else b""
    mode = 0o040755 if folder else 0o100644
    entries += b"PX\x24\x01" + _both(mode) + _both(2 if folder else 1) + _both(0) + _both(0)
    if name:
        entries += b"NM" + bytes((5 + len(name), 1, 0)) + name.encode()
    if root:
        entries += b"ER\x12\x01\x0a\x00\x00\x01RRIP_1991A"
    return entries


def _path_table(folders: list[_Folder], *, joliet: bool, order: str, blank: bool = False) -> bytes:
    table = bytearray()
    for folder in folders:
        name = _name(folder.name, joliet=joliet, folder=True) if folder.parent else b"\0"
        extent = 0 if blank else folder.extent[joliet]
        table += struct.pack(f"{order}BBIH", len(name), 0, extent, (folder.parent or folder).number) + name
        if len(name) % 2:
            table += b"\0"
    return bytes(table)


def _descriptor(
    folders: list[_Folder], tables: dict[tuple[bool, str], int], total: int, label: str, *, joliet: bool
) -> bytes:
    def text(value: str, length: int) -> bytes:
        if joliet:
            return value.ljust(length // 2).encode("utf-16-be").ljust(length, b"\0")
        return value.encode().ljust(length, b" ")

    root = folders[0]
    table_size = len(_path_table(folders, joliet=joliet, order="<"))
    parts = [
        bytes((2 if joliet else 1,)) + b"CD001\x01\0",
        text("", 32) + text(label, 32) + b"\0" * 8 + _both(total),
        (b"%/E" if joliet else b"").ljust(32, b"\0"),
        _both16(1) + _both16(1) + _both16(SECTOR) + _both(table_size),
        struct.pack("<II", tables[joliet, "<"], 0) + struct.pack(">II", tables[joliet, ">"], 0),
        _record(b"\0", root.extent[joliet], root.size[joliet], b"", folder=True),
        text("", 128) + text("", 128) + text("", 128) + text("INGOT", 128),
        text("", 37) + text("", 37) + text("", 37),
        _LONG_DATE * 4 + b"\x01\0",
    ]
    return b"".join(parts).ljust(SECTOR, b"\0")


def _name(name: str, *, joliet: bool, folder: bool) -> bytes:
    if joliet:
        return (name if folder else f"{name};1").encode("utf-16-be")
    return _plain_name(name, folder=folder).encode()


def _plain_name(name: str, *, folder: bool) -> str:
    stem, dot, ending = name.upper().rpartition(".")
    if not dot or folder:
        return re.sub(r"[^A-Z0-9_]", "_", name.upper())[:30] + ("" if folder else ".;1")
    clean = [re.sub(r"[^A-Z0-9_]", "_", part) for part in (stem, ending)]
    return f"{clean[0][:22]}.{clean[1][:7]};1"


def _both(value: int) -> bytes:
    return struct.pack("<I", value) + struct.pack(">I", value)


def _both16(value: int) -> bytes:
    return struct.pack("<H", value) + struct.pack(">H", value)


def _sectors(size: int) -> int:
    return -(-size // SECTOR)
