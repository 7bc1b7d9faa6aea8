"""The linters, the type checker and the import contracts, run as tests so that one command proves everything.

The programs are those of the environment that runs the tests, pinned by packaging/dev.txt.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from checkout import ROOT

BIN = Path(sys.executable).parent


def run(program: str, *arguments: str) -> None:
    """Runs one checker at the root of the checkout; its own report is the failure message."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "NO_COLOR": "1"}
    done = subprocess.run(
        [BIN / program, *arguments],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{program} {' '.join(arguments)}\n{done.stdout[-8000:]}"


def test_ruff_finds_nothing() -> None:
    run("ruff", "check", "--no-cache", ".")


def test_code_is_formatted() -> None:
    run("ruff", "format", "--no-cache", "--check", ".")


@pytest.mark.timeout(600)
def test_types_hold() -> None:
    run("basedpyright", "--pythonpath", sys.executable, "--warnings")


@pytest.mark.timeout(600)
def test_types_of_the_measurements_hold() -> None:
    """In the basic mode: they are programs that speak to JSON."""
    run("basedpyright", "--project", "bench", "--pythonpath", sys.executable)


def test_import_contracts_hold() -> None:
    run("lint-imports", "--no-cache")


def test_spelling() -> None:
    run("codespell", "src", "tests", "docs", "packaging", *sorted(p.name for p in ROOT.glob("*.md")))
