"""Run the programs the build needs, each with an end.

Why: a mirror that hangs, or apt waiting for a lock, must be a sentence and not a build that never ends. May not: judge
what a program said. Invariant: no program outlives its limit.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import IO


class BuildError(Exception):
    """The ramdisk cannot be built; the text says what, why and what to do."""


def run(
    command: Sequence[str],
    limit: float,
    *,
    environment: dict[str, str] | None = None,
    folder: Path | None = None,
    source: IO[bytes] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, ``limit`` seconds at most; its exit code is for the caller to judge.

    ``source``: what it reads; nothing without. Raises BuildError when it takes longer, or is not there.
    """
    given = subprocess.DEVNULL if source is None else source
    try:
        return subprocess.run(
            command,
            env=environment,
            cwd=folder,
            stdin=given,
            capture_output=True,
            text=True,
            timeout=limit,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise BuildError(
            f"{' '.join(command[:4])} did not end within {limit:.0f} s, so it was ended. "
            "Check the network and that nothing else holds apt's lock, then build the ramdisk again."
        ) from error
    except OSError as error:
        raise BuildError(f"{command[0]} cannot be run: {error.strerror}. Install it, then build again.") from error
