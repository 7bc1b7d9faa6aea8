"""Becoming root without a question, where the host allows it.

May not: ask for a password (the demo asks no question). Invariant: without such a right nothing happens, and the
check that follows tells the reader what to type.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys

from ingot.cli.demo import children

KEPT = ("PYTHONPATH", "XDG_CACHE_HOME", "INGOT_RACK_ACCEL", "TERM", "PATH", "http_proxy", "https_proxy")

_SOURCE = 'eval "$(cat)"; exec "$@" </dev/null'


def become_root() -> None:
    """Start this program again under sudo, if it is not root and sudo needs no password; else return."""
    if os.geteuid() == 0 or shutil.which("sudo") is None:
        return
    if subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False).returncode:
        return
    os.dup2(_kept(children.environment()), 0)
    argv = ["sudo", "-n", "sh", "-c", _SOURCE, "ingot", *children.ingot_command(*sys.argv[1:])]
    os.execvp("sudo", argv)  # noqa: S606 - replaces this process, so that signals and the terminal stay one


def _kept(known: dict[str, str]) -> int:
    """What is kept, as a file without a name, read on standard input: a proxy's URL may hold a password, and the
    command line is everybody's."""
    descriptor = os.memfd_create("ingot")
    lines = [f"export {name}={shlex.quote(known[name])}\n" for name in KEPT if name in known]
    os.write(descriptor, "".join(lines).encode())
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor
