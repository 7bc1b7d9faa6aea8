"""`ingot serve` as a child: started in a namespace, waited for, killed on purpose, ended.

May not: know what runs in it. Invariant: after ``stop`` neither it nor a child of it lives.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from ingot.cli import client as api
from ingot.cli.demo import children
from ingot.domain import errors
from ingot_rack import processes

_READY_WITHIN = 60.0
_TAIL = 800


class Service:
    """One `ingot serve` with these settings; ``prefix`` puts it into a namespace."""

    def __init__(self, folder: Path, prefix: Sequence[str], settings: Mapping[str, str]) -> None:
        self.log = folder / "serve.log"
        self.data = folder / "data"
        self._prefix = prefix
        self._settings = settings
        self._pid_file = folder / "serve.pid"
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """Its process, None while it does not run."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    async def end_leftover(self) -> bool:
        """End the service of an earlier, killed demo; False when there was none."""
        return await processes.end(self._pid_file, str(self.data))

    async def add_user(self, name: str) -> str:
        """Give somebody the right to call the API; the password. Raises errors.IngotError."""
        words = ["user", "add", name, "--generate", "--data-dir", str(self.data)]
        code, printed, complaints = await children.capture(children.ingot_command(*words), _READY_WITHIN)
        if code:
            raise errors.IngotError(f"The demo's user could not be made: {complaints.strip()}", hint="")
        return printed.strip()

    async def start(self) -> None:
        """Start it; it is not ready yet."""
        words = ["serve", "--data-dir", str(self.data)]
        for name, value in self._settings.items():
            words += ["--set", f"{name}={value}"]
        self.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self.log.open("ab") as log:
            argv = [*self._prefix, *children.ingot_command(*words)]
            self._process = await children.start(argv, output=log, complaints=log)
        self._pid_file.write_text(str(self._process.pid))

    async def wait_ready(self, client: api.Client, timeout: float = _READY_WITHIN) -> float:
        """Wait until the API answers; the seconds it took. Raises errors.IngotError with the end of its log."""
        began = time.monotonic()
        while True:
            try:
                await asyncio.to_thread(client.get, "/v1")
            except errors.Unreachable as error:
                if self.pid is None:
                    text = f"ingot serve ended at its start: {self.tail()}"
                    raise errors.IngotError(text, hint=f"See {self.log}.") from error
                if time.monotonic() - began > timeout:
                    text = f"ingot serve did not answer within {timeout:g} s: {self.tail()}"
                    raise errors.TimedOut(text, hint=f"See {self.log}.") from error
                await asyncio.sleep(0.1)
            else:
                return time.monotonic() - began

    async def kill(self) -> None:
        """SIGKILL the service alone, as a crash would; its children stay."""
        if self._process is not None and self.pid is not None:
            os.kill(self._process.pid, signal.SIGKILL)
            await self._process.wait()

    async def stop(self) -> None:
        """End it in good order, and whatever of it is left."""
        if self._process is not None:
            await children.end(self._process)
            self._pid_file.unlink(missing_ok=True)

    def tail(self) -> str:
        """The end of its log."""
        try:
            return self.log.read_text(errors="replace")[-_TAIL:].strip()
        except OSError:
            return "(no log)"
