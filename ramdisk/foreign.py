"""Packages of another processor's architecture: apt with lists of its own, beside the host's and without root.

Why: a ramdisk for ARM64 servers is built on the x86 host that serves them, and nothing of it need run there.
May not: change the host, or trust what its own keys do not vouch for. Invariant: apt's sources, keys and preferences
are the host's; only the architecture and the folders differ.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from . import child
from .child import BuildError

_FRESH = 24 * 3600.0
_FETCHING = 600.0


@dataclass(frozen=True)
class Machine:
    """One architecture: Debian's name of it, where its libraries and its program loader are."""

    name: str
    libraries: str
    loader: str

    @property
    def native(self) -> bool:
        """Whether this host runs its programs."""
        return self.name == host()


MACHINES = {
    "amd64": Machine("amd64", "usr/lib/x86_64-linux-gnu", "usr/lib64/ld-linux-x86-64.so.2"),
    "arm64": Machine("arm64", "usr/lib/aarch64-linux-gnu", "usr/lib/ld-linux-aarch64.so.1"),
}
"""The loaders' paths are those of the processors' ABIs: every program names them."""


def host() -> str:
    """Debian's name of the host's own architecture."""
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)


def find(name: str | None) -> Machine:
    """The machine of that name, the host's own for None. Raises BuildError."""
    wanted = name or host()
    if wanted not in MACHINES:
        raise BuildError(f"There is no ramdisk for {wanted!r}. Choose one of: {', '.join(MACHINES)}.")
    return MACHINES[wanted]


def environment(machine: Machine, cache: Path) -> dict[str, str]:
    """The environment in which apt knows ``machine``'s packages; nothing special for the host's own.

    Lists older than a day are fetched anew. Raises BuildError where the host's sources do not have the architecture.
    """
    if machine.native:
        return dict(os.environ)
    folder = cache / "apt" / machine.name
    for name in ("lists/partial", "archives/partial"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    config = folder / "apt.conf"
    config.write_text(
        f'APT::Architecture "{machine.name}";\nAPT::Architectures {{ "{machine.name}"; }};\n'
        f'Dir::State "{folder}";\nDir::State::lists "{folder / "lists"}";\nDir::State::status "/dev/null";\n'
        f'Dir::Cache "{folder}";\n'
    )
    found = {**os.environ, "APT_CONFIG": str(config)}
    stamp = folder / "fetched"
    if not stamp.exists() or time.time() - stamp.stat().st_mtime > _FRESH:
        _fetch(machine, found)
        stamp.touch()
    return found


def stamp(machine: Machine, cache: Path) -> str:
    """Something that changes whenever the machine's package lists may have changed."""
    lists = cache / "apt" / machine.name / "fetched"
    return f"{machine.name} {lists.stat().st_mtime_ns if lists.exists() else ''}"


def _fetch(machine: Machine, environment: dict[str, str]) -> None:
    command = ["apt-get", "-q", "-o", "APT::Sandbox::User=root", "-o", "APT::Update::Error-Mode=any", "update"]
    done = child.run(command, _FETCHING, environment=environment)
    if done.returncode:
        raise BuildError(
            f"The host's package sources could not be read for {machine.name}: {done.stderr.strip()[-300:]} "
            "Debian's own sources have it; correct /etc/apt/sources.list, or restrict the others by Architectures."
        )
