"""Write a folder as an initramfs archive ("newc" cpio), the same bytes for the same files.

Why: the kernel unpacks this format; writing it here needs no root, no device nodes and no cpio program.
May not: read the host's clock, owners or inode numbers. Invariant: sorted names, time 0, owner root.
Format: Documentation/driver-api/early-userspace/buffer-format.rst of the Linux kernel.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path


def _entry(name: str, mode: int, body: bytes, inode: int, device: tuple[int, int] = (0, 0)) -> bytes:
    encoded = name.encode() + b"\0"
    fields = (inode, mode, 0, 0, 1, 0, len(body), 0, 0, device[0], device[1], len(encoded), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + encoded
    return head + b"\0" * (-len(head) % 4) + body + b"\0" * (-len(body) % 4)


def _paths(root: Path) -> Iterator[Path]:
    for path in sorted(root.iterdir()):
        yield path
        if path.is_dir() and not path.is_symlink():
            yield from _paths(path)


def archive(root: Path) -> bytes:
    """Give the archive of everything below ``root``, with the console node the kernel wants before devtmpfs."""
    parts: list[bytes] = []
    for number, path in enumerate(_paths(root), start=1):
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            mode, body = stat.S_IFLNK | 0o777, str(path.readlink()).encode()
        elif stat.S_ISDIR(mode):
            mode, body = stat.S_IFDIR | 0o755, b""
        else:
            mode, body = stat.S_IFREG | (0o755 if mode & 0o100 else 0o644), path.read_bytes()
        parts.append(_entry(path.relative_to(root).as_posix(), mode, body, number))
    parts.append(_entry("dev/console", stat.S_IFCHR | 0o600, b"", 0xFFFF01, (5, 1)))
    parts.append(_entry("TRAILER!!!", 0, b"", 0))
    return b"".join(parts)
