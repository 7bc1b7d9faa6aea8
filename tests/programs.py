"""Where tests find programs of other authors: Debian's, and the Python peers of packaging/peers.txt.

`./ingot test` installs all of them, so a missing one is a fault of the set-up and fails: a skipped judge is no judge.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest


def peer(name: str = "python") -> str:
    """The path of a program in the peers' environment: python, baremetal, sushy-emulator, ..."""
    python = os.environ.get("INGOT_PEERS_PYTHON")
    if python is None:
        pytest.fail("INGOT_PEERS_PYTHON is not set; run the tests by './ingot test', which makes that environment")
    path = Path(python).with_name(name)
    if not path.exists():
        pytest.fail(f"{path} is missing; has packaging/peers.txt lost it?")
    return str(path)


def upstream(name: str) -> str:
    """The path of a program in upstream's environment: python, ironic, ironic-dbsync."""
    python = os.environ.get("INGOT_UPSTREAM_PYTHON")
    if python is None:
        pytest.fail("INGOT_UPSTREAM_PYTHON is not set; './ingot check' makes that environment")
    return str(Path(python).with_name(name))


def system(name: str) -> str:
    """The path of a program of Debian's."""
    found = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    if found is None:
        pytest.fail(f"{name} is missing; './ingot test' installs packaging/debian-packages.txt: add its package there")
    return found


def end(child: subprocess.Popen[bytes], patience: float = 20) -> None:
    """Ask a program to end, and kill it when it has not after ``patience`` seconds, with what is left of its group."""
    child.terminate()
    try:
        child.wait(patience)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait(patience)
    # Who leads no group has none. A number that is in use again is a stranger's: it is not while its group has members.
    if not Path(f"/proc/{child.pid}").exists():
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
