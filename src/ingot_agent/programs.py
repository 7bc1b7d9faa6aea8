"""Run the few programs the agent needs.

Why: Python's subprocess module costs start-up time, so it is loaded at the first use. May not: raise.
Invariants: a program that is absent or too slow is a failed program; nothing of one that was too slow goes on.
"""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Done:
    """What a program left behind; ``output`` is what it printed, or why it could not run."""

    succeeded: bool
    output: bytes


def run(command: list[str], timeout: float = 20.0) -> Done:
    """Run a program to its end, at most ``timeout`` seconds; its complaints are in the output only when it failed."""
    import signal
    import subprocess  # slow to load in an emulated machine, and seldom wanted

    try:
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        ) as running:
            try:
                output, complaints = running.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                os.killpg(running.pid, signal.SIGKILL)  # its children, too: they would hold what it worked on
                raise
    except (OSError, subprocess.TimeoutExpired) as error:
        return Done(False, f"{' '.join(command)}: {error}\n".encode())
    failed = running.returncode != 0
    return Done(not failed, output + (complaints if failed else b""))
