"""Read the tables of a qcow2 image: which bytes of the file are which bytes of the disk.

Why: a conductor that converts nothing (force_raw_images = false) hands out qcow2 as it is. May not: fetch or write
anything. Invariants: an image that refers outside itself, is encrypted or needs an unknown feature is refused; no table
of a hostile image makes us keep more than _LIMIT entries. Source: QEMU docs/interop/qcow2.txt.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from ingot_agent import errors

HEAD = 112
_ENTRY = 0x00FFFFFFFFFFFE00
_COMPRESSED = 1 << 62
_CORRUPT, _DATA_FILE, _COMPRESSION_TYPE, _EXTENDED = 2, 4, 8, 16
_KNOWN = 1 | _COMPRESSION_TYPE | _EXTENDED  # 1: dirty, which concerns reference counts alone
_L1_LIMIT = 32 << 20
_LIMIT = 4 << 20
_SUBCLUSTERS = 32
_FLAT = "Flatten it: qemu-img convert -O qcow2 OLD NEW."


@dataclass(frozen=True)
class Header:
    """What the header says; ``size``: of the disk in bytes."""

    size: int
    cluster: int
    l1_offset: int
    l1_count: int
    zstd: bool
    extended: bool
    snapshots: int

    @property
    def entry(self) -> int:
        """Bytes of an L2 entry."""
        return 16 if self.extended else 8

    @property
    def reach(self) -> int:
        """Bytes of the disk that one L2 table describes."""
        return self.cluster // self.entry * self.cluster


@dataclass(frozen=True)
class Run:
    """``size`` bytes of the file at ``host`` that belong at ``guest`` of the disk; ``packed``: one cluster, compressed.

    What is read of a packed one may be longer than its data, even beyond the file's end.
    """

    host: int
    guest: int
    size: int
    packed: bool = False


def header(raw: bytes) -> Header:
    """Read the first HEAD bytes of the file (fewer of a tiny one). Raises ImageWriteError."""
    if len(raw) < 72 or raw[:4] != b"QFI\xfb":
        raise _refused("is not qcow2 though its order says so. Correct the image's disk_format")
    version, backing, _, bits, size, crypt, l1_count, l1_offset = struct.unpack_from(">IQIIQIIQ", raw, 4)
    if version not in (2, 3):
        raise _refused(f"is qcow version {version}. Convert it to version 3")
    if backing:
        raise _refused("has a backing file, so it is not whole. " + _FLAT)
    if crypt:
        raise _refused("is encrypted. Decrypt it with qemu-img convert")
    if not 9 <= bits <= 21:
        raise _refused(f"has clusters of 2^{bits} bytes, which no qcow2 has. Make it anew")
    features, zstd = _features(raw) if version == 3 else (0, False)
    (snapshots,) = struct.unpack_from(">I", raw, 60)
    result = Header(size, 1 << bits, l1_offset, l1_count, zstd, bool(features & _EXTENDED), snapshots)
    if l1_count * 8 > _L1_LIMIT or l1_count < -(-size // result.reach) or size % 512:
        raise _refused("has a table that does not fit its size. Make it anew")
    return result


def _features(raw: bytes) -> tuple[int, bool]:
    """Incompatible features, and whether clusters are compressed by zstd. Raises ImageWriteError."""
    if len(raw) < 104:
        raise _refused("ends in its header. Upload it again")
    (features,) = struct.unpack_from(">Q", raw, 72)
    (length,) = struct.unpack_from(">I", raw, 100)
    if features & _DATA_FILE:
        raise _refused("keeps its data in another file. " + _FLAT)
    if features & _CORRUPT:
        raise _refused("is marked as corrupt. Repair it: qemu-img check -r all")
    if features & ~_KNOWN:
        unknown = ", ".join(str(bit) for bit in range(64) if (features & ~_KNOWN) >> bit & 1)
        raise _refused(f"needs features this agent does not know (bits {unknown}). Convert it with qemu-img")
    kind = raw[104] if length > 104 and len(raw) > 104 else 0
    if kind > 1 or bool(kind) != bool(features & _COMPRESSION_TYPE):
        raise _refused(f"is compressed by method {kind}, which this agent does not know. Convert it with qemu-img")
    return features, kind == 1


def _refused(why: str) -> errors.ImageWriteError:
    return errors.ImageWriteError(f"The image {why.rstrip('.')}.")


def l1_range(head: Header) -> tuple[int, int]:
    """Where the part of the L1 table lies that describes the disk: offset and length."""
    return head.l1_offset, -(-head.size // head.reach) * 8


def l2_ranges(head: Header, l1: bytes) -> list[tuple[int, int, int]]:
    """The L2 tables in use: the first disk byte of each, where it lies, and how much of it is needed."""
    found: list[tuple[int, int, int]] = []
    for index, (value,) in enumerate(struct.iter_unpack(">Q", l1)):
        place, guest = value & _ENTRY, index * head.reach
        if place:
            clusters = -(-(min(head.size, guest + head.reach) - guest) // head.cluster)
            found.append((guest, place, clusters * head.entry))
    return found


def runs(head: Header, tables: list[tuple[int, bytes]]) -> list[Run]:
    """All data of the image in the order of the file, from its L2 tables, each with its first disk byte.

    Raises ImageWriteError.
    """
    found: list[Run] = []
    for guest, table in tables:
        for run in _of_table(head, guest, table):
            last = found[-1] if found else None
            if last and _follows(last, run):
                found[-1] = Run(last.host, last.guest, last.size + run.size)
            elif run.size:
                found.append(run)
        if len(found) > _LIMIT:
            raise _refused("lies in too many pieces. Convert it with qemu-img")
    if not found and head.snapshots:
        raise _refused("holds nothing but snapshots. Choose one: qemu-img convert -l SNAPSHOT")
    return sorted(found, key=lambda run: run.host)


def _follows(last: Run, run: Run) -> bool:
    together = last.host + last.size == run.host and last.guest + last.size == run.guest
    return together and not last.packed and not run.packed


def _of_table(head: Header, guest: int, table: bytes) -> Iterator[Run]:
    for entry in struct.iter_unpack(">QQ" if head.extended else ">Q", table):
        room = min(head.cluster, head.size - guest)
        if entry[0] & _COMPRESSED:
            yield _packed(head, guest, entry[0])
        elif head.extended:
            yield from _subclusters(head, guest, room, entry[0] & _ENTRY, entry[1])
        elif entry[0] & _ENTRY and not entry[0] & 1:  # bit 0: reads as zeros
            yield Run(_aligned(head, entry[0] & _ENTRY), guest, room)
        guest += head.cluster


def _packed(head: Header, guest: int, entry: int) -> Run:
    """A compressed cluster: place, and 512-byte sectors beyond the one in which it begins."""
    shift = 62 - (head.cluster.bit_length() - 1 - 8)
    host = entry & ((1 << shift) - 1)
    sectors = (entry & (_COMPRESSED - 1)) >> shift
    return Run(host, guest, (sectors + 1) * 512 - host % 512, packed=True)


def _subclusters(head: Header, guest: int, room: int, host: int, bitmap: int) -> Iterator[Run]:
    size = head.cluster // _SUBCLUSTERS
    for index in range(_SUBCLUSTERS if host else 0):
        at = index * size
        if bitmap >> index & 1 and at < room:
            yield Run(_aligned(head, host) + at, guest + at, min(size, room - at))


def _aligned(head: Header, host: int) -> int:
    if host % head.cluster:
        raise _refused("has a table with a place inside a cluster. Make it anew")
    return host


def unpack(head: Header, data: bytes | bytearray | memoryview) -> bytes:
    """The cluster that was compressed into the beginning of ``data``. Raises ImageWriteError."""
    cluster = _unzstd(data, head.cluster) if head.zstd else _inflate(data, head.cluster)
    if len(cluster) != head.cluster:
        raise _refused("has a compressed cluster that cannot be unpacked. It is damaged: make it anew")
    return cluster


def _inflate(data: bytes | bytearray | memoryview, size: int) -> bytes:
    import zlib

    try:
        return zlib.decompressobj(-12).decompress(data, size)
    except zlib.error:
        return b""


def _unzstd(data: bytes | bytearray | memoryview, size: int) -> bytes:
    """By the library, for Python has none; b"" when the data is no frame."""
    import ctypes

    try:
        library = ctypes.CDLL("libzstd.so.1")
    except OSError as error:
        raise _refused("is compressed by zstd, and this ramdisk lacks libzstd.so.1. Add it, or use zlib") from error
    for call in (library.ZSTD_decompress, library.ZSTD_findFrameCompressedSize):
        call.restype = ctypes.c_size_t
    source, target = bytes(data), ctypes.create_string_buffer(size)
    length = library.ZSTD_findFrameCompressedSize(source, ctypes.c_size_t(len(source)))
    if library.ZSTD_isError(ctypes.c_size_t(length)):
        return b""
    done = library.ZSTD_decompress(target, ctypes.c_size_t(size), source, ctypes.c_size_t(length))
    return b"" if library.ZSTD_isError(ctypes.c_size_t(done)) else target.raw[:done]
