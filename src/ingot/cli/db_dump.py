"""`ingot db backup` of a database on a server: the server's own program writes the file.

May not: put a password into a command line, a message or a file. Invariant: a target that is there is whole; when
``write`` returns or raises, the program it started is gone, and so is what it had written of a failed dump.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import click

from ingot.cli import stopping
from ingot.domain import errors
from ingot.store import dumps, place, upgrade

_SILENCE = 300.0
"""Seconds without another byte after which a dump is given up: a dead server, or a table that somebody holds."""
_LOOK = 1.0
"""Seconds between two looks at how much there is."""
_TOLD = 10.0
"""Seconds between two lines on how far it is, where nobody sits at a terminal."""
_LONGEST = 2000
"""Letters of what a program complained that are shown: the last ones."""


class _Progress:
    """How far it is, on standard error: one line that changes on a terminal, else a line each 10 s."""

    def __init__(self) -> None:
        self._last = 0.0
        self._is_open = False

    def tell(self, size: int, seconds: float) -> None:
        """So many bytes are there."""
        text = f"{size / 1e6:.1f} MB after {seconds:.0f} s"
        if sys.stderr.isatty():
            self._is_open = True
            click.echo(f"\r{text} ", nl=False, err=True)
        elif seconds - self._last >= _TOLD:
            self._last = seconds
            click.echo(text, err=True)

    def end(self) -> None:
        """What comes next begins a line."""
        if self._is_open:
            click.echo(err=True)


def write(where: str, target: Path) -> None:
    """Dump the database of this URL to ``target``, mode 0600. Tells on standard error how far it is.

    Raises errors.NotSupported without the server's program, NotFound where the database has no tables of ingot's,
    Misbehaved when the program fails, TimedOut when it writes nothing for 300 s, OSError when there is no place.
    """
    plan = dumps.plan(where)
    program = _find(plan)
    if upgrade.current(where) is None:
        raise errors.NotFound(f"{place.shown(where)} has no tables of ingot's", hint="Correct the setting database.")
    with stopping.on_sigterm(), _taking_place_of(target) as file:
        code, said = _run([program, *plan.words], plan.environment(os.environ), file)
        # Cut after the password is out: half of one would not be found.
        words = plan.without_password(said)[-_LONGEST:].strip()
        if code:
            raise _failure(plan, words or f"it ended with {code}")
    if words:
        click.echo(f"{plan.program}: {words}", err=True)


def _find(plan: dumps.Plan) -> str:
    program = shutil.which(plan.program)
    if program is None:
        text = f"A backup of this database is written by the program {plan.program}, which is not installed"
        cure = f"Run: apt-get install --no-install-recommends {plan.package} (of the server's version or newer)"
        raise errors.NotSupported(text, hint=f"{cure}, or back up on the server's host.")
    return program


@contextmanager
def _taking_place_of(target: Path) -> Generator[BinaryIO]:
    """A new file beside the target, which takes its name when the block ends well, and else is removed."""
    handle, name = tempfile.mkstemp(prefix=f"{target.name}.", suffix=".partial", dir=target.parent)  # mode 0600
    partial = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            os.fsync(file.fileno())
        if target.exists():  # somebody else's since the command began
            raise errors.Conflict(f"{target} exists already", hint="Choose another name.")
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _run(command: list[str], environment: dict[str, str], file: BinaryIO) -> tuple[int, str]:
    """Run the program until it has ended; its exit code (negative: the signal) and what it said beside."""
    progress = _Progress()
    with tempfile.TemporaryFile() as said:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=said, env=environment)
        try:
            _watch(child, file, progress)
        finally:
            child.kill()
            child.wait()
            progress.end()
        said.seek(0)
        return child.returncode, said.read().decode(errors="replace")


def _failure(plan: dumps.Plan, words: str) -> errors.IngotError:
    cure = f'Correct that; a "version mismatch" asks for {plan.package} of the server\'s version or newer.'
    return errors.Misbehaved(f"The backup failed, nothing of it was kept. {plan.program}: {words}", hint=cure)


def _watch(child: subprocess.Popen[bytes], file: BinaryIO, progress: _Progress) -> None:
    """Return when the program has ended."""
    begun = moved = time.monotonic()
    before = 0
    while True:
        try:
            child.wait(_LOOK)
        except subprocess.TimeoutExpired:
            now, size = time.monotonic(), os.fstat(file.fileno()).st_size
            moved, before = (now, size) if size != before else (moved, before)
            if now - moved > _SILENCE:
                text = f"The backup was given up, nothing of it was kept: no more of it came for {_SILENCE:g} s"
                raise errors.TimedOut(
                    text, hint="Is the server at work, or does another program hold a table?"
                ) from None
            progress.tell(size, now - begun)
        else:
            return


def restoring(where: str, file: Path) -> str:
    """How the file is restored: a line for a shell, which asks for the password."""
    return f"{dumps.plan(where).restore} {shlex.quote(str(file))}"
