"""A site of several processes: an API and conductors on one database, which meet by a broker."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

from cli import program
from ingot.cli.client import Client
from ingot.domain import errors

_END_WITHIN = 40


class Site:
    """``database``, ``broker``: their URLs, empty for SQLite and none; conductors are known by their hostnames."""

    def __init__(self, folder: Path, database: str, broker: str) -> None:
        self.folder = folder
        self._port = program.free_port()
        urls = {"INGOT_DATABASE": database, "INGOT_BROKER": broker}
        self._environment = {**program.environment(), **{name: url for name, url in urls.items() if url}}
        effects = str(folder / "effects")
        self._settings = {"fake_effects": effects, "power_sync_interval": "0", "drivers": "fake-hardware"}
        self.prefix: dict[str, tuple[str, ...]] = {}
        """Words before the command of a process, by its name."""
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self.client = Client(f"http://127.0.0.1:{self._port}", timeout=30)

    def start(self, name: str, source: Path = program.SOURCE) -> None:
        """Start the conductor of that hostname, or ``api``; ``source``: a ``src`` folder, or a whole checkout."""
        half = "api" if name == "api" else "conductor"
        words = ["serve", "--noauth", "--only", half, "--data-dir", str(self.folder), "--port", str(self._port)]
        for key, value in {**self._settings, "hostname": name}.items():
            words += ["--set", f"{key}={value}"]
        with (self.folder / f"{name}.log").open("ab") as log:
            argv = [*self.prefix.get(name, ()), *_program(source), *words]
            environment = {**self._environment, "PYTHONPATH": str(source)}
            self._children[name] = subprocess.Popen(argv, stdout=log, stderr=log, env=environment)

    def signal(self, name: str, number: signal.Signals) -> None:
        os.kill(self._children[name].pid, number)

    def end(self, name: str) -> int:
        """Wait until a process has ended; its exit code."""
        return self._children.pop(name).wait(_END_WITHIN)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def close(self) -> None:
        """End everything."""
        for child in self._children.values():
            child.kill()
            child.wait(_END_WITHIN)

    def await_conductors(self, *names: str, within: float = 60.0) -> None:
        """Wait until exactly these are alive."""
        try:
            self.wait(lambda: self.alive() == sorted(names), within)
        except AssertionError as error:
            ends = {name: self.log(name)[-1500:] for name in self._children}
            raise AssertionError(f"{error}; the logs end so: {ends}") from error

    def alive(self) -> list[str]:
        found = self.client.get("/v1/conductors")["conductors"]
        return sorted(one["hostname"] for one in found if one["alive"])

    def wait(self, condition: Callable[[], bool], within: float) -> None:
        """Wait for something the API tells; that it does not answer yet is no reason to fail."""

        def holds() -> bool:
            with contextlib.suppress(errors.Unreachable, errors.Misbehaved):  # away, or 503
                return condition()
            return False

        program.wait_for(holds, within)

    def enrol(self, number: int, **driver_info: Any) -> list[str]:
        """So many available imaginary machines; their uuids."""
        body = {"driver": "fake-hardware", "driver_info": driver_info}
        uuids = [self.client.call("POST", "/v1/nodes", body)["uuid"] for _ in range(number)]
        self.ask(uuids, "manage")
        self.reach("manageable", number)
        self.ask(uuids, "provide")
        self.reach("available", number)
        return uuids

    def ask(self, uuids: list[str], verb: str) -> None:
        for uuid in uuids:
            self.client.call("PUT", f"/v1/nodes/{uuid}/states/provision", {"target": verb})

    def reach(self, state: str, number: int, within: float = 90.0) -> None:
        """Wait until so many nodes are in a state; none may fail."""

        def there() -> bool:
            found = self.nodes("provision_state", "last_error")
            assert not [one for one in found if "failed" in (one["provision_state"] or "")], found
            return sum(one["provision_state"] == state for one in found) == number

        self.wait(there, within)

    def nodes(self, *fields: str) -> list[dict[str, Any]]:
        return self.client.get("/v1/nodes", fields=",".join(fields))["nodes"]

    def worker(self, uuid: str) -> str:
        """The conductor that did what was asked of a node last."""
        entries = self.client.get(f"/v1/nodes/{uuid}/history", detail=True)["history"]
        return next(one["conductor"] for one in reversed(entries) if one["conductor"])

    def held_by(self, name: str) -> set[str]:
        """The nodes a conductor works on."""
        return {one["uuid"] for one in self.nodes("uuid", "reservation") if one["reservation"] == name}


def _program(source: Path) -> list[str]:
    """A checkout is started by its own launcher, with the packages it wants; a mere ``src`` by this Python."""
    launcher = source / "ingot"
    return [str(launcher)] if launcher.is_file() else program.ingot_argv()


@contextlib.contextmanager
def site(
    folder: Path,
    database: str,
    broker: str,
    *conductors: str,
    prefix: dict[str, tuple[str, ...]] | None = None,
    source: Path = program.SOURCE,
) -> Generator[Site]:
    """A site that works: its API and these conductors are there, all of them started from ``source``."""
    made = Site(folder, database, broker)
    made.prefix |= prefix or {}
    try:
        for name in ("api", *conductors):
            made.start(name, source)
        made.await_conductors(*conductors, within=120)  # a busy host took 48 s to start three processes
        yield made
    finally:
        made.close()
