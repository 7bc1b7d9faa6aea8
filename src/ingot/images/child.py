"""Runs a converter as a child process that cannot cost more than it was given.

Why: a hostile image must not cost more than one bounded process. May not: know image formats. Invariant: when ``run``
returns or raises, the child is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import sys
from pathlib import Path

import msgspec

from ingot.domain import errors
from ingot.images import download

# The child sets its own limits before it becomes the program: no code runs between fork and exec of the service.
_LIMITER = (
    "import os, resource, sys\n"
    "memory, cpu, size = map(int, sys.argv[1:4])\n"
    "for name, value in (('AS', memory), ('CPU', cpu), ('FSIZE', size), ('CORE', 0)):\n"
    "    resource.setrlimit(getattr(resource, 'RLIMIT_' + name), (value, value))\n"
    # An arena of 64 MiB of address space for each of its threads would use the limit up by chance.
    "os.environ.update(MALLOC_ARENA_MAX='1', LC_ALL='C')\n"
    "os.execvp(sys.argv[4], sys.argv[4:])\n"
)
_LOOK = 0.2  # seconds between looks at what the target takes


class Limits(msgspec.Struct, frozen=True):
    """Bounds of one conversion: disk ``size``, ``space`` it may take, ``memory``; seconds of ``cpu`` and ``time``."""

    size: int = 1 << 42
    space: int = 1 << 62
    memory: int = 2 << 30
    cpu: int = 1800
    time: float = 3600


class Ended(msgspec.Struct, frozen=True):
    """How a program ended: its exit code (negative: the signal) and why it says it failed."""

    code: int
    reason: str


async def run(command: list[str], target: Path, limits: Limits) -> Ended:
    """Run ``command``, which writes ``target``. Raises TimedOut, TooLarge, OSError (ENOSPC) when the disk is full."""
    bounds = [str(limits.memory), str(limits.cpu), str(limits.size)]
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-c", _LIMITER, *bounds, *command),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    watching = asyncio.create_task(_watch(child, target, limits.space))
    try:
        async with asyncio.timeout(limits.time):
            complaint = await _tail(child)
    except TimeoutError as error:
        text = f"Converting the image took more than {limits.time:g} s."
        raise errors.TimedOut(text, hint="Give a raw image, or raise the limit.") from error
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
        if child.returncode is None:
            child.kill()
            await child.wait()
    if _taken(target) > limits.space:
        raise download.out_of_space("The image's disk", limits.space)
    if os.strerror(errno.ENOSPC).encode() in complaint:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return Ended(child.returncode or 0, _why(child.returncode or 0, complaint))


async def _tail(child: asyncio.subprocess.Process) -> bytes:
    """Wait for the child; the end of what it complained of, which may be long."""
    kept = b""
    while child.stderr is not None and (said := await child.stderr.read(65536)):
        kept = (kept + said)[-8192:]
    await child.wait()
    return kept


async def _watch(child: asyncio.subprocess.Process, target: Path, space: int) -> None:
    """Kill the child when its file takes more than ``space`` bytes of the disk: holes cost nothing, so no limit of the
    kernel fits."""
    while True:
        await asyncio.sleep(_LOOK)
        if _taken(target) > space:
            child.kill()
            return


def _taken(target: Path) -> int:
    try:
        return target.stat().st_blocks * 512
    except FileNotFoundError:
        return 0


def _why(code: int, complaint: bytes) -> str:
    if code in (-24, -9):
        return "it used up its CPU time"
    if code == -25:
        return "it wrote more than allowed"
    lines = complaint.decode(errors="replace").strip().splitlines()
    return lines[-1].removeprefix("qemu-img: ").rstrip(".") if lines else f"exit code {code}"
