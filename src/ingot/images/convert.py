"""Turns a checked image into a sparse raw file: qcow2 by qemu-img, compressed raw by our unpacker, both as children.

Why: the agent writes raw bytes. May not: look at a file ``formats.check`` has not passed, or convert in this process.
Invariant: qemu-img always gets an explicit format.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
from pathlib import Path

from ingot.domain import errors
from ingot.images import child, formats, qcow2, unpack

_CORRUPT, _LEAKS = 2, 3  # exit codes of qemu-img check; leaks are clusters that nobody uses, which harms nobody


async def to_raw(source: Path, target: Path, declared: str | None, limits: child.Limits) -> int:
    """Check ``source`` and write its disk content to ``target`` as a sparse raw file; return its size.

    A raw source is moved, not copied. Raises Invalid, TooLarge, TimedOut, and OSError when the disk is full.
    """
    found = await asyncio.to_thread(formats.check, source, declared)
    if found is formats.Format.QCOW2:
        await _from_qcow2(source, target, limits)
    elif formats.is_compressed(found):
        await _unpack(source, target, found, limits)
    else:
        await asyncio.to_thread(source.rename, target)
    return await asyncio.to_thread(_finish, source, target, limits.size)


def _finish(source: Path, target: Path, limit: int) -> int:
    source.unlink(missing_ok=True)
    size = target.stat().st_size
    if size > limit:
        raise _too_large(limit)
    return size


async def _from_qcow2(source: Path, target: Path, limits: child.Limits) -> None:
    if qcow2.check(source) > limits.size:
        raise _too_large(limits.size)
    _need("qemu-img", "qemu-utils", "qcow2 images")
    # Conversion reads what a cut-off file lacks as zeros, and says nothing.
    ended = await child.run(["qemu-img", "check", "-q", "-f", "qcow2", str(source)], target, limits)
    if ended.code == _CORRUPT:
        raise errors.Invalid(
            f"The qcow2 image is damaged or cut off: {ended.reason}.",
            hint="Upload it again, whole; qemu-img check must find no errors.",
        )
    if ended.code in (0, _LEAKS):
        command = ["qemu-img", "convert", "-f", "qcow2", "-O", "raw", "-S", "4k", "-t", "writeback"]
        ended = await child.run([*command, str(source), str(target)], target, limits)
    if ended.code:
        raise errors.Invalid(
            f"qemu-img could not convert the qcow2 image: {ended.reason}.",
            hint="Run qemu-img check on it; if it is sound, convert it to raw yourself.",
        )


async def _unpack(source: Path, target: Path, found: formats.Format, limits: child.Limits) -> None:
    if found is formats.Format.ZSTD:
        _need("zstd", "zstd", "zstd images")
    command = [sys.executable, "-P", "-m", unpack.__name__, str(source), str(target), str(found), str(limits.size)]
    ended = await child.run(command, target, limits)
    if ended.code == unpack.TOO_LARGE:
        await asyncio.to_thread(target.unlink, missing_ok=True)
        raise _too_large(limits.size)
    if ended.code:
        raise errors.Invalid(f"The {found} image cannot be unpacked: {ended.reason}.", hint="Upload it again, whole.")
    inner = await asyncio.to_thread(formats.check, target, None)
    if inner is formats.Format.QCOW2 or formats.is_compressed(inner):
        raise errors.Invalid(
            f"The {found} file holds a {inner} file; ingot unpacks compressed raw disks only.",
            hint="Give the inner file itself: qcow2 is compressed by qemu-img convert -c.",
        )


def _need(program: str, package: str, asked: str) -> None:
    """Raises errors.NotSupported where a program is missing."""
    if shutil.which(program) is None:
        cure = f"Run: apt-get install --no-install-recommends {package}"
        raise errors.NotSupported(f"{asked} need the program {program}.", hint=cure)


def _too_large(limit: int) -> errors.TooLarge:
    return errors.TooLarge(
        f"The image's disk is larger than the {limit} bytes allowed.",
        hint="Use a smaller image or raise the limit.",
    )
