"""Turns a checked image into a sparse raw file: qcow2 by qemu-img under limits, compressed raw by unpacking.

Why: the agent writes raw bytes; a hostile image must not cost more than a bounded child process.
May not: look at a file ``formats.check`` has not passed. Invariant: qemu-img always gets an explicit format.
"""

from __future__ import annotations

import asyncio
import gzip
import io
import lzma
import os
import shutil
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import msgspec
import zstandard

from ingot.domain import errors
from ingot.images import formats, sparse

_BLOCK = 1024 * 1024
# The child sets its own limits before it becomes qemu-img: no code runs between fork and exec of the service.
_LIMITER = (
    "import os, resource, sys\n"
    "memory, cpu, size = map(int, sys.argv[1:4])\n"
    "for name, value in (('AS', memory), ('CPU', cpu), ('FSIZE', size), ('CORE', 0)):\n"
    "    resource.setrlimit(getattr(resource, 'RLIMIT_' + name), (value, value))\n"
    # An arena of 64 MiB of address space for each of its threads would use the limit up by chance.
    "os.environ['MALLOC_ARENA_MAX'] = '1'\n"
    "os.execvp(sys.argv[4], sys.argv[4:])\n"
)


class Limits(msgspec.Struct, frozen=True):
    """Bounds of one conversion: disk ``size`` and ``memory`` in bytes, ``cpu`` and wall ``time`` in seconds."""

    size: int = 1 << 42
    memory: int = 2 << 30
    cpu: int = 1800
    time: float = 3600


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


async def to_raw(source: Path, target: Path, declared: str | None, limits: Limits) -> int:
    """Check ``source`` and write its disk content to ``target`` as a sparse raw file; return its size.

    A raw source is moved, not copied. Raises Invalid, TooLarge, TimedOut, Misbehaved.
    """
    found = await asyncio.to_thread(formats.check, source, declared)
    if found is formats.Format.QCOW2:
        await _from_qcow2(source, target, limits)
    elif formats.is_compressed(found):
        await asyncio.to_thread(_unpack, source, target, found, limits.size)
    else:
        await asyncio.to_thread(source.rename, target)
    return await asyncio.to_thread(_finish, source, target, limits.size)


def _finish(source: Path, target: Path, limit: int) -> int:
    source.unlink(missing_ok=True)
    size = target.stat().st_size
    if size > limit:
        raise _too_large(limit)
    return size


async def _from_qcow2(source: Path, target: Path, limits: Limits) -> None:
    if formats.check_qcow2(source) > limits.size:
        raise _too_large(limits.size)
    if shutil.which("qemu-img") is None:
        raise errors.NotSupported(
            "qcow2 images need the program qemu-img.",
            hint="Run: apt-get install --no-install-recommends qemu-utils",
        )
    bounds = [str(limits.memory), str(limits.cpu), str(limits.size)]
    command = ["qemu-img", "convert", "-f", "qcow2", "-O", "raw", "-S", "4k", "-t", "writeback"]
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-c", _LIMITER, *bounds, *command, str(source), str(target)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(limits.time):
            _, complaint = await child.communicate()
    except TimeoutError as error:
        raise errors.TimedOut(f"Converting the qcow2 image took more than {limits.time:g} s.", hint=_SLOW) from error
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode:
        raise errors.Invalid(
            f"qemu-img could not convert the qcow2 image: {_why(child.returncode, complaint)}.",
            hint="Run qemu-img check on it; if it is sound, convert it to raw yourself.",
        )


_SLOW = "Give a raw image, or raise the limit."


def _why(code: int, complaint: bytes) -> str:
    if code in (-24, -9):
        return "it used up its CPU time"
    if code == -25:
        return "it wrote more than allowed"
    lines = complaint.decode(errors="replace").strip().splitlines()
    return lines[-1].removeprefix("qemu-img: ").rstrip(".") if lines else f"exit code {code}"


def _unpack(source: Path, target: Path, found: formats.Format, limit: int) -> None:
    try:
        with source.open("rb") as packed, target.open("wb") as file:
            if found is formats.Format.ZSTD:
                _check_zstd_whole(packed, source.stat().st_size)
            _write_sparse(_reader(packed, found).read, file.fileno(), limit, target)
        inner = formats.check(target, None)
        if inner is formats.Format.QCOW2 or formats.is_compressed(inner):
            raise errors.Invalid(
                f"The {found} file holds a {inner} file; ingot unpacks compressed raw disks only.",
                hint="Give the inner file itself: qcow2 is compressed by qemu-img convert -c.",
            )
    except (gzip.BadGzipFile, EOFError, zlib.error, lzma.LZMAError, zstandard.ZstdError) as error:
        raise errors.Invalid(
            f"The {found} image cannot be unpacked: {error}.", hint="Upload it again, whole."
        ) from error


def _reader(packed: io.BufferedReader, found: formats.Format) -> _Readable:
    match found:
        case formats.Format.GZIP:
            return gzip.GzipFile(fileobj=packed)
        case formats.Format.XZ:
            return lzma.LZMAFile(packed)
        case _:
            unpacker = zstandard.ZstdDecompressor(max_window_size=1 << 27)
            return unpacker.stream_reader(packed, read_across_frames=True)


def _check_zstd_whole(packed: io.BufferedReader, size: int) -> None:
    """Walk the frames and blocks by their headers: the library's reader ends silently at a cut-off file.

    Source: RFC 8878 sections 3.1.1 and 3.1.2. Raises EOFError.
    """
    position = 0
    while position < size:
        packed.seek(position)
        head = packed.read(18)
        if len(head) >= 8 and head[1:4] == b"\x2a\x4d\x18" and head[0] & 0xF0 == 0x50:  # a skippable frame
            position += 8 + int.from_bytes(head[4:8], "little")
            continue
        position += zstandard.frame_header_size(head)
        last = False
        while not last:
            packed.seek(position)
            block = int.from_bytes(packed.read(3), "little")
            last, kind = bool(block & 1), block >> 1 & 3
            position += 3 + (1 if kind == 1 else block >> 3)
            if position > size:
                raise EOFError("it is cut off")
        position += 4 * zstandard.get_frame_parameters(head).has_checksum
    packed.seek(0)
    if position > size:
        raise EOFError("it is cut off")


def _write_sparse(read: Callable[[int], bytes], fd: int, limit: int, target: Path) -> None:
    """Copy until the end, leaving runs of zeros as holes."""

    position = 0
    while block := read(_BLOCK):
        if position + len(block) > limit:
            target.unlink()
            raise _too_large(limit)
        sparse.write(fd, position, block)
        position += len(block)
    os.truncate(fd, position)


def _too_large(limit: int) -> errors.TooLarge:
    return errors.TooLarge(
        f"The image's disk is larger than the {limit} bytes allowed.",
        hint="Use a smaller image or raise the limit.",
    )
