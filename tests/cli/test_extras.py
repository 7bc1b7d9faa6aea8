"""What only some sites need is not imported by the others, and where it is missing the sentence names the cure."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cli.program import environment

_WITHOUT = """
import sys
sys.modules[{library!r}] = None  # as where it is not installed
from ingot.cli import main
sys.exit(main.main({words!r}))
"""
_SERVE = ["serve", "--noauth", "--port", "0"]


@pytest.mark.parametrize(
    ("library", "words", "extra"),
    [
        ("asyncpg", [*_SERVE, "--set", "database=postgresql://u:secret@127.0.0.1:1/x"], "postgresql"),
        ("asyncmy", [*_SERVE, "--set", "database=mariadb://u:secret@127.0.0.1:1/x"], "mariadb"),
        ("greenlet", [*_SERVE, "--set", "database=postgresql://u:secret@127.0.0.1:1/x"], "postgresql"),
        ("aio_pika", [*_SERVE, "--set", "broker=amqp://u:secret@127.0.0.1:1/"], "rabbitmq"),
        ("asyncmy", ["import", "ironic", "--database", "mysql://u:secret@127.0.0.1:1/x"], "mariadb"),
    ],
)
def test_a_missing_driver_is_named_with_its_cure(tmp_path: Path, library: str, words: list[str], extra: str) -> None:
    code = _WITHOUT.format(library=library, words=[*words, "--data-dir", str(tmp_path)])
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment(), timeout=60, check=False
    )
    assert done.returncode == 1, done.stderr
    assert f"pip install 'ingot[{extra}]'" in done.stderr
    assert library in done.stderr
    assert "Traceback" not in done.stderr
    assert "secret" not in done.stderr
