"""A part of a processor for a process, by cgroups: it is as slow as on a small machine of its own.

Why: what several hosts do together shows on one host only where each gets no more than its own. Needs root and the
kernel's controller "cpu" (version 1 or 2), else it raises SystemExit. Invariant: leaving the context removes the group.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Generator
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_PERIOD_US = 20_000
"""Short, so that who has used its part up waits for milliseconds."""


@contextlib.contextmanager
def part(name: str, of_a_core: float) -> Generator[Callable[[int], None]]:
    """A group of processes that get so much of one core together; gives what puts a process into it, by its id."""
    quota = int(of_a_core * _PERIOD_US)
    old = _ROOT / "cpu"
    folder = (old if old.exists() else _ROOT) / f"ingot-bench-{os.getpid()}-{name}"
    try:
        folder.mkdir()
        if old.exists():
            (folder / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
            (folder / "cpu.cfs_quota_us").write_text(str(quota))
        else:
            (_ROOT / "cgroup.subtree_control").write_text("+cpu")
            (folder / "cpu.max").write_text(f"{quota} {_PERIOD_US}")
    except OSError as error:
        with contextlib.suppress(OSError):
            folder.rmdir()
        raise SystemExit(f"no part of a core can be given ({error}): take --share 0 to give everybody all") from error
    try:
        yield lambda pid: _move(folder, pid)
    finally:
        _remove(folder)


def _move(folder: Path, pid: int) -> None:
    (folder / "cgroup.procs").write_text(str(pid))


def _remove(folder: Path) -> None:
    """Its processes have ended, but the kernel may need a moment to know."""
    for _ in range(50):
        try:
            folder.rmdir()
            return
        except OSError:
            time.sleep(0.1)  # noqa: TID251  looking now and then
