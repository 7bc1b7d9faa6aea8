"""The sessions open on Redfish services, on disk: so that the next process takes over what a killed one has left.

Why: a service holds a session for half an hour and has room for a dozen; without this each ``kill -9`` leaves one on
every BMC. May not: log in or out. Invariant: a token is on disk only sealed, and opens only for who gives the password
that it was got with; what cannot be read is left out, for then a new login does.

A line is an event, "origin sealed-session" or "origin -"; the last one of an origin counts.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import msgspec

from ingot.clients.redfish.target import Target
from ingot.domain import errors, typed
from ingot.store import seal

_NONE = "-"
_SLACK = 1000  # lines that do not count any more, before the file is written anew


class Session(msgspec.Struct, frozen=True):
    """An open session: its token, and the path of its resource (None: the service told none)."""

    token: str
    path: str | None


class Sessions:
    """The file of one process. Without a ``path`` nothing is kept."""

    def __init__(self, path: Path | None = None, sealer: seal.Sealer | None = None) -> None:
        self._path, self._sealer = path, sealer
        self._lines: dict[str, str] = {}  # of the sessions that are open, by origin
        self._left: dict[str, str] = {}  # by the process before
        self._written = 0
        if path is not None:
            with contextlib.suppress(FileNotFoundError):
                self._left = _read(path)
            self._lines = dict(self._left)
            self._rewrite()

    def take(self, target: Target) -> Session | None:
        """The session that the process before had there with the same user and password; once."""
        line = self._left.pop(target.origin, None)
        if line is None or self._sealer is None:
            return None
        with contextlib.suppress(errors.Bug, msgspec.ValidationError):  # other credentials, another key, or damaged
            return typed.convert(self._sealer.open(_whose(target), line), Session)
        return None

    def opened(self, target: Target, session: Session) -> None:
        """A session was opened."""
        if self._sealer is not None:
            sealed = self._lines[target.origin] = self._sealer.seal(_whose(target), msgspec.to_builtins(session))
            self._append(f"{target.origin} {sealed}\n")

    def ended(self, origin: str) -> None:
        """It is open no more."""
        if self._lines.pop(origin, None) is not None:
            self._append(f"{origin} {_NONE}\n")

    def close(self) -> None:
        """Keep what is still open of this process; what the one before left and nobody came for times out."""
        for origin in self._left:
            self._lines.pop(origin, None)
        self._rewrite()

    def _append(self, line: str) -> None:
        """Not made durable: after a power cut the BMCs' own time-outs do."""
        if self._path is None:
            return
        if self._written > 2 * len(self._lines) + _SLACK:
            self._rewrite()
            return
        with contextlib.suppress(OSError):  # a full disk: the next process logs in anew
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(descriptor, line.encode())
            finally:
                os.close(descriptor)
        self._written += 1

    def _rewrite(self) -> None:
        if self._path is not None:
            content = "".join(f"{origin} {line}\n" for origin, line in self._lines.items())
            with contextlib.suppress(OSError):
                seal.replace_file(self._path, content.encode())
            self._written = len(self._lines)


def _whose(target: Target) -> str:
    return "\n".join((target.origin, target.username, target.password))


def _read(path: Path) -> dict[str, str]:
    """Origin -> sealed session. A torn last line is left out."""
    found: dict[str, str] = {}
    for line in path.read_text(errors="replace").splitlines(keepends=True):
        origin, _, sealed = line.rstrip("\n").partition(" ")
        if sealed and line.endswith("\n"):
            found[origin] = sealed
    return {origin: sealed for origin, sealed in found.items() if sealed != _NONE}
