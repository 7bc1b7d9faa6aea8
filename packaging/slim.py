#!/usr/bin/env python3
"""Makes installed libraries small: cuts off what their compiled modules carry for debuggers; removes sources, tests.

Why by hand: wheels come with symbols and debug information, most of what uvloop is, and few hosts have the program
strip. May not: touch anything that is loaded. Invariant: a module loads after it as before; what it does not understand
stays as it is. Standard library only: the launcher runs it in every new environment, packaging/build_deb.py as well.

    packaging/slim.py FOLDER

Source: the ELF specification, "Object Files": the dynamic linker reads program headers alone, so sections that lie
behind the last segment are of use to debuggers only.
"""

from __future__ import annotations

import shutil
import struct
import sys
from pathlib import Path

_SOURCES = frozenset({".c", ".cpp", ".h", ".pxd", ".pyi", ".pyx"})
_IDENT = b"\x7fELF\x02\x01"
"""64 bits, least significant byte first: amd64 and arm64."""
_HEADER = struct.Struct("<QQIHHHHHH")
"""From byte 32 on: where program and section headers are, flags, sizes and numbers of them."""
_SEGMENT = struct.Struct("<IIQQQQQQ")


def slim(folder: Path) -> None:
    """Make what is installed below ``folder`` small."""
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.exists():
            continue
        if path.is_dir() and path.name == "tests" and (path / "__init__.py").exists():
            shutil.rmtree(path)
        elif path.is_file() and path.suffix in _SOURCES:
            path.unlink()
        elif path.is_file() and ".so" in path.suffixes:
            cut(path)


def cut(path: Path) -> None:
    """Cut a shared library behind its last segment."""
    with path.open("r+b") as file:
        head = file.read(64)
        if len(head) < 64 or not head.startswith(_IDENT):
            return
        segments, _sections, flags, size, each, count, *_ = _HEADER.unpack_from(head, 32)
        file.seek(segments)
        table = file.read(each * count)
        if each != _SEGMENT.size or len(table) != each * count or not count:
            return
        found = [_SEGMENT.unpack_from(table, each * number) for number in range(count)]
        end = max(offset + length for _kind, _flags, offset, _at, _phys, length, _memory, _align in found)
        if end >= path.stat().st_size:
            return
        file.seek(32)
        file.write(_HEADER.pack(segments, 0, flags, size, each, count, 0, 0, 0))
        file.truncate(max(end, segments + len(table)))


if __name__ == "__main__":
    slim(Path(sys.argv[1]))
