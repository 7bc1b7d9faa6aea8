"""Find and end processes that an earlier, killed rack left behind.

Why: a pid file alone may name a stranger after a restart of the host; the command line tells.
May not: end a process whose command line does not hold the expected mark. Invariant: ends one process per call, by pid.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path


def find(pid_file: Path, mark: str) -> int | None:
    """The process named by the file, if it lives and `mark` is in its command line."""
    try:
        pid = int(pid_file.read_text().strip())
        argv = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, ValueError):
        return None
    if state == "Z" or not any(mark.encode() in argument for argument in argv):
        return None
    return pid


async def end(pid_file: Path, mark: str, *, seconds: float = 10.0) -> bool:
    """Ask the process to end, insist after `seconds`; False when there was none. Removes the file."""
    pid = find(pid_file, mark)
    if pid is None:
        _forget(pid_file)
        return False
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await _gone(pid_file, mark)
            break
    _forget(pid_file)
    return True


def _forget(pid_file: Path) -> None:
    pid_file.unlink(missing_ok=True)


async def _gone(pid_file: Path, mark: str) -> None:
    while find(pid_file, mark) is not None:  # noqa: ASYNC110  no event tells of the end of a process not our child
        await asyncio.sleep(0.05)
