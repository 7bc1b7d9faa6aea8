"""Fixtures of the command line's tests."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from cli.program import Run, run_here, serving


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("service"), "--noauth", "--set", "power_sync_interval=0") as where:
        yield where


@pytest.fixture
def run() -> Run:
    """Runs the command line in this process; errors become exit codes as in the program."""
    return run_here


@pytest.fixture
def silent_server() -> Iterator[str]:
    """A server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
