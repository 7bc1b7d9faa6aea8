"""The demo started by somebody who is not root: what reaches root, and what nobody may read on the way."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import programs
from cli.program import environment

# Instead of sudo: tells what it was given, keeps nothing of the environment, as sudo does.
SUDO = """#!/bin/sh
[ "$2" != true ] || exit 0
printf '%s\\n' "$@" >"${0%/*}/given"
shift
exec env -i "$@"
"""
ASK = "from ingot.cli.demo import sudo; sudo.become_root(); raise SystemExit('still here')"


@pytest.fixture
def everybody() -> Iterator[Path]:
    """A folder that is not in one of root's own."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def test_root_gets_what_is_kept_and_no_command_line_or_file_shows_it(everybody: Path) -> None:
    stand_in, files = everybody / "sudo", everybody / "files"
    files.mkdir()
    stand_in.write_text(SUDO)
    for path in (everybody, stand_in):
        path.chmod(0o755)
    # Somebody with root's eyes but another number: the interpreter may lie in root's own folder.
    eyes = "+dac_override,+dac_read_search"
    other = [programs.system("setpriv"), "--reuid", "65534", "--inh-caps", eyes, "--ambient-caps", eyes]
    own = {"PATH": f"{stand_in.parent}:{os.environ['PATH']}", "TMPDIR": str(files), "http_proxy": "http://u:hush@p:1"}
    argv = [*(other if os.geteuid() == 0 else []), sys.executable, "-c", ASK, "rack", "--help"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env={**environment(), **own}, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Usage: ingot rack" in done.stdout, "it found its modules, so the environment came through"
    given = (stand_in.parent / "given").read_text()
    assert "-m\ningot.cli.main\nrack\n--help\n" in given
    assert "hush" not in given
    assert list(files.iterdir()) == []
