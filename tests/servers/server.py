"""A database server of Debian's as a child of the tests: a folder, a socket, a user and a port of nobody else.

It runs as an ordinary user, because PostgreSQL refuses root, and speaks by a Unix socket in its folder, so that no port
can be taken. It flushes to disk only if it is to be ``durable``, which tests hardly are about.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import pytest

PASSWORD = "not-a-secret"
_START = 60.0
_STOP = 30.0


class Server(ABC):
    """One server, running from ``start`` to ``stop``; ``create`` makes a database in it and gives its URL."""

    stop_signal = signal.SIGTERM

    def __init__(self, *, durable: bool = False) -> None:
        self.durable = durable
        self.folder = Path(tempfile.mkdtemp(prefix="ingot-db-", dir="/tmp"))
        self.data = self.folder / "data"
        self._process: subprocess.Popen[bytes] | None = None
        self._as_user: dict[str, Any] = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)
            self._as_user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}

    @property
    def pid(self) -> int:
        """Of the server's first process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start the server (the first time on new files) and wait until it answers."""
        if not self.data.exists():
            self._make_files()
        log = (self.folder / "log").open("ab")
        with log:
            self._process = subprocess.Popen(
                self._command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder, **self._as_user
            )
        deadline = time.monotonic() + _START
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"{self._command()[0]} did not start: {(self.folder / 'log').read_text()[-2000:]}")
            _pause()

    def stop(self) -> None:
        """End the server; its files stay for another start."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(self.stop_signal)
            try:
                self._process.wait(_STOP)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(_STOP)

    def remove(self) -> None:
        """End the server and remove its files."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, *command: str) -> str:
        """What a program prints that runs as the server's user."""
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_START,
            cwd=self.folder,
            check=False,
            **self._as_user,
        )
        assert done.returncode == 0, f"{command[0]}: {done.stdout}{done.stderr}"
        return done.stdout

    def _answers(self) -> bool:
        try:
            done = subprocess.run(self._ping(), stdin=subprocess.DEVNULL, capture_output=True, timeout=10, check=False)
        except subprocess.TimeoutExpired:
            return False
        return done.returncode == 0

    @abstractmethod
    def create(self, name: str) -> str:
        """Make an empty database; its URL."""

    @abstractmethod
    def let_write(self, *, allowed: bool) -> None:
        """Whether the user of our databases may write."""

    @abstractmethod
    def cut_connections(self) -> None:
        """End every connection of the user of our databases."""

    @abstractmethod
    def _make_files(self) -> None: ...

    @abstractmethod
    def _command(self) -> list[str]: ...

    @abstractmethod
    def _ping(self) -> list[str]:
        """A command that succeeds where the server answers."""


def _pause() -> None:
    """A moment between two looks."""
    time.sleep(0.05)  # noqa: TID251 - between two looks at a condition with a deadline
