"""The proof of a deployment: logging in to the deployed system by SSH.

May not: accept anything less than an answer with the right host name. Invariant: the key is made anew each time.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ingot.cli.demo import children
from ingot.cli.demo.artifacts import Artifacts
from ingot.cli.demo.world import Machine
from ingot.domain import errors

QUESTION = "uname -a; echo; hostname; echo; lsblk -o NAME,SIZE,TYPE,MOUNTPOINTS 2>/dev/null || cat /proc/partitions"
LIMIT = 900.0
_PAUSE = 1.0
_CONSOLE_TAIL = 600


class Place(Protocol):
    """Where deployed systems are: the argument list that runs a command in their network, and what was deployed."""

    @property
    def prefix(self) -> list[str]:
        """What a command inside the network begins with."""
        ...

    @property
    def artifacts(self) -> Artifacts:
        """What was deployed; only its user matters here."""
        ...


@dataclass(frozen=True)
class Key:
    """A key pair: where the private part lies, and the public line."""

    path: Path
    public: str


async def make_key(folder: Path) -> Key:
    """A fresh key pair in ``folder``. Raises errors.IngotError."""
    path = folder / "id_ed25519"
    for old in (path, path.with_suffix(".pub")):
        old.unlink(missing_ok=True)
    argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "ingot-demo", "-f", str(path)]
    code, _, complaints = await children.capture(argv, 30.0)
    if code:
        raise errors.IngotError(f"ssh-keygen failed: {complaints.strip()}", hint="Is openssh-client installed?")
    return Key(path, path.with_suffix(".pub").read_text().strip())


def command(world: Place, machine: Machine, key_path: Path) -> list[str]:
    """The argument list that logs in to the machine from the host."""
    options = ["-i", str(key_path), "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
    return [*world.prefix, "ssh", *options, f"{world.artifacts.user}@{machine.address}"]


async def ask(world: Place, machine: Machine, key: Key, limit: float = LIMIT) -> str:
    """What the deployed system says, once it answers under its host name.

    Raises errors.TimedOut with the end of its console when it does not answer in ``limit`` seconds.
    """
    *most, target = command(world, machine, key.path)
    quiet = ["-o", "BatchMode=yes", "-o", "ConnectTimeout=5", "-o", "LogLevel=ERROR"]
    deadline = time.monotonic() + limit
    last = "no try yet"
    while time.monotonic() < deadline:
        try:
            code, output, complaints = await children.capture([*most, *quiet, target, QUESTION], 60.0)
        except errors.TimedOut as error:
            code, output, complaints = 1, "", error.message
        if code == 0 and machine.name in output.split():
            return output.strip()
        last = complaints.strip() or f"the answer lacks the host name {machine.name}: {output.strip()}"
        await asyncio.sleep(_PAUSE)
    text = f"{machine.name} does not answer by SSH at {machine.address} after {limit:g} s: {last}"
    raise errors.TimedOut(text, hint=f"End of its console: {console_tail(machine)}")


def console_tail(machine: Machine) -> str:
    """The end of the machine's serial console."""
    try:
        return machine.serial_log.read_text(errors="replace")[-_CONSOLE_TAIL:].strip() or "(silent)"
    except OSError:
        return "(none)"
