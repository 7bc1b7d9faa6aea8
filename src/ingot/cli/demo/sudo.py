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
import tempfile

from ingot.cli.demo import children

KEPT = ("PYTHONPATH", "XDG_CACHE_HOME", "INGOT_RACK_ACCEL", "TERM", "PATH", "http_proxy", "https_proxy")

_SOURCE = '. "$0"; rm -f "$0"; exec "$@"'


def become_root() -> None:
    """Start this program again under sudo, if it is not root and sudo needs no password; else return."""
    if os.geteuid() == 0 or shutil.which("sudo") is None:
        return
    if subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False).returncode:
        return
    argv = ["sudo", "-n", "sh", "-c", _SOURCE, _written(children.environment()), *children.ingot_command(*sys.argv[1:])]
    os.execvp("sudo", argv)  # noqa: S606 - replaces this process, so that signals and the terminal stay one


def _written(known: dict[str, str]) -> str:
    """A file that only we and root can read, with what is kept: a proxy's URL may hold a password, and the command line
    is everybody's."""
    descriptor, path = tempfile.mkstemp(prefix="ingot-")
    with os.fdopen(descriptor, "w") as file:
        file.writelines(f"export {name}={shlex.quote(known[name])}\n" for name in KEPT if name in known)
    return path
