"""Upstream's service beside ours: one process with SQLite, no authentication, hardware that is only pretended.

Every setting is its default but those that a machine without hardware needs, and what favours it: automated cleaning
off. Its programs are those of packaging/upstream.txt ($INGOT_UPSTREAM_PYTHON; `./ingot bench` makes that environment).
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import sqlite3
import subprocess
import time
import uuid
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import service

_CONFIGURATION = """[DEFAULT]
auth_strategy = noauth
rpc_transport = none
my_ip = 127.0.0.1
host = bench
state_path = {folder}
log_file = {folder}/ironic.log
enabled_hardware_types = fake-hardware
{interfaces}
[database]
connection = sqlite:///{folder}/ironic.sqlite
[api]
host_ip = 127.0.0.1
port = {port}
[conductor]
automated_clean = false
[service_catalog]
auth_type = none
endpoint_override = http://127.0.0.1:{port}
[oslo_concurrency]
lock_path = {folder}/locks
"""
_FAKES = ("boot", "deploy", "management", "power")
_NONES = ("inspect", "raid", "bios", "firmware", "vendor", "console", "rescue")
_READY = 90.0


@contextmanager
def served(folder: Path) -> Generator[tuple[int, int]]:
    """Upstream's service on loopback, its data in ``folder``: (its pid, its port)."""
    chosen, port = prepare(folder)
    with running(chosen, port) as pid:
        yield pid, port


def prepare(folder: Path) -> tuple[str, int]:
    """Configuration and database in ``folder``: (the option that names the configuration, its port)."""
    port = service.free_port()
    lines = [f"enabled_{kind}_interfaces = fake" for kind in _FAKES]
    lines += [f"enabled_{kind}_interfaces = no-{kind}" for kind in _NONES]
    lines += ["enabled_network_interfaces = noop", "enabled_storage_interfaces = noop"]
    configuration = folder / "ironic.conf"
    configuration.write_text(_CONFIGURATION.format(folder=folder, port=port, interfaces="\n".join(lines)))
    chosen = f"--config-file={configuration}"
    command = [_program("ironic-dbsync"), chosen, "create_schema"]
    subprocess.run(command, check=True, capture_output=True, timeout=180)
    return chosen, port


def multiply(folder: Path, count: int) -> None:
    """Nodes n1, n2, ..., ``count`` with n0, which its API has made: rows like that one's. Its API makes 50 a second."""
    with contextlib.closing(sqlite3.connect(folder / "ironic.sqlite", timeout=60)) as connection, connection:
        connection.row_factory = sqlite3.Row
        first = dict(connection.execute("select * from nodes where name = 'n0'").fetchone())
        del first["id"]
        rows = [{**first, "uuid": str(uuid.uuid4()), "name": f"n{number}"} for number in range(1, count)]
        marks = ", ".join(f":{name}" for name in first)
        connection.executemany(f"insert into nodes ({', '.join(first)}) values ({marks})", rows)


def _program(name: str) -> Path:
    return Path(os.environ["INGOT_UPSTREAM_PYTHON"]).with_name(name)


@contextmanager
def running(chosen: str, port: int) -> Generator[int]:
    """Its service on what is prepared, ready: its pid."""
    quiet = subprocess.DEVNULL
    with subprocess.Popen([_program("ironic"), chosen], stdout=quiet, stderr=quiet) as process:
        try:
            _wait_ready(port, process)
            yield process.pid
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(20)
            if not Path(f"/proc/{process.pid}").exists():  # else its number is a stranger's by now
                with suppress(ProcessLookupError):  # it led a group, in which its workers are
                    os.killpg(process.pid, signal.SIGKILL)


def _wait_ready(port: int, process: subprocess.Popen[bytes]) -> None:
    """Ready means that its conductor has told the database which drivers it has."""
    deadline = time.monotonic() + _READY
    while time.monotonic() < deadline and process.poll() is None:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/v1/drivers")
            if json.loads(connection.getresponse().read()).get("drivers"):
                return
        except (OSError, ValueError):
            pass
        time.sleep(0.1)  # noqa: TID251  looking for the moment it answers
    raise SystemExit(f"upstream's service did not answer within {_READY:.0f} s")
