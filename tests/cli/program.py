"""What the command line's tests talk to: a real `ingot serve` with imaginary hardware, and awkward servers."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from pathlib import Path

import click
from click.testing import CliRunner, Result

from ingot.cli import client as api
from ingot.cli import main
from ingot.domain import errors

SOURCE = Path(__file__).parents[2] / "src"


def environment() -> dict[str, str]:
    """The environment of a child that runs this checkout's ingot."""
    return {**os.environ, "PYTHONPATH": str(SOURCE), "PYTHONWARNINGS": "default"}


def ingot_argv(*words: str) -> list[str]:
    return [sys.executable, "-P", "-m", "ingot.cli.main", *words]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Return when the condition holds; fail at the deadline."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"not true within {seconds} s"
        pause.wait(0.05)


@contextlib.contextmanager
def serving(data: Path, *more: str) -> Generator[str]:
    """A running `ingot serve` on a free port of loopback; its URL."""
    port = free_port()
    log = data / "serve.log"
    data.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        words = ["serve", "--data-dir", str(data), "--port", str(port), *more]
        child = subprocess.Popen(ingot_argv(*words), stdout=output, stderr=output, env=environment())
    try:
        client = api.Client(f"http://127.0.0.1:{port}", timeout=5)
        wait_for(lambda: _answers(client, child, log), 30)
        yield client.url
    finally:
        child.terminate()
        child.wait(40)  # it lets steps end


def _answers(client: api.Client, child: subprocess.Popen[bytes], log: Path) -> bool:
    assert child.poll() is None, log.read_text()
    try:
        client.get("/v1")
        return True
    except errors.Unreachable:
        return False


Run = Callable[..., Result]


def run_here(*words: str, url: str = "", stdin: str | None = None, **variables: str) -> Result:
    runner = CliRunner()
    env: dict[str, str | None] = {"INGOT_URL": url, "INGOT_USER": None, "INGOT_PASSWORD": None, **variables}
    return runner.invoke(program, list(words), input=stdin, env=env)


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def program(words: tuple[str, ...]) -> None:
    """The program itself, whose errors and exit codes are made by main()."""
    sys.exit(main.main(list(words)))
