"""Run the few programs the agent needs.

Why: Python's subprocess module costs start-up time, so it is loaded at the first use. May not: raise.
Invariant: a program that is absent or too slow is a failed program.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Done:
    """What a program left behind; ``output`` is what it printed, or why it could not run."""

    succeeded: bool
    output: bytes


def run(command: list[str], timeout: float = 20.0) -> Done:
    """Run a program to its end, at most ``timeout`` seconds; its complaints are in the output only when it failed."""
    import subprocess  # slow to load in an emulated machine, and seldom wanted

    try:
        done = subprocess.run(command, capture_output=True, timeout=timeout, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Done(False, f"{' '.join(command)}: {error}\n".encode())
    failed = done.returncode != 0
    return Done(not failed, done.stdout + (done.stderr if failed else b""))
