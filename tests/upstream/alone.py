"""Upstream's own service (packaging/upstream.txt) by itself: fake-hardware, on loopback.

Why: what ingot answers under /v1 is judged by what upstream answers to the same call. Invariant: leaving the context
ends the process; everything it wrote is below the folder it was given.
"""

from __future__ import annotations

import contextlib
import http.client
import subprocess
import threading
import time
from collections.abc import Generator
from pathlib import Path

import programs
from upstream import configuration

_READY = 90.0
# What ingot's fake-hardware has too, so that both sides offer the same interfaces and choose the same ones unasked: the
# first of each.
_INTERFACES = {
    "bios": "no-bios,fake",
    "boot": "fake,ipxe,pxe,http,http-ipxe",
    "console": "no-console,fake",
    "deploy": "fake,direct",
    "firmware": "no-firmware,fake",
    "inspect": "fake,agent,no-inspect",
    "management": "fake",
    "network": "noop,flat",
    "power": "fake",
    "raid": "no-raid,fake",
    "rescue": "no-rescue,fake,agent",
    "storage": "noop",
    "vendor": "no-vendor,fake",
}


@contextlib.contextmanager
def serving(
    folder: Path, port: int, more: configuration.Sections, headers: dict[str, str] | None = None
) -> Generator[int]:
    """The service on this port of loopback, ready to answer.

    ``more``: what its configuration has besides; ``headers``: by which it lets callers in.
    """
    chosen = {f"enabled_{kind}_interfaces": names for kind, names in _INTERFACES.items()}
    chosen |= {f"default_{kind}_interface": names.partition(",")[0] for kind, names in _INTERFACES.items()}
    general = {"host": "here", "enabled_hardware_types": "fake-hardware", **chosen, **more.get("DEFAULT", {})}
    quiet = {"sync_power_state_interval": 0}
    path = configuration.write(folder, "127.0.0.1", port, {**more, "DEFAULT": general, "conductor": quiet})
    file = f"--config-file={path}"
    subprocess.run([programs.upstream("ironic-dbsync"), file, "create_schema"], check=True, capture_output=True)
    with (folder / "output").open("wb") as output:
        child = subprocess.Popen([programs.upstream("ironic"), file], stdout=output, stderr=output)
    try:
        _wait_ready(child, folder, port, headers or {})
        yield port
    finally:
        programs.end(child)


def _wait_ready(child: subprocess.Popen[bytes], folder: Path, port: int, headers: dict[str, str]) -> None:
    """Ready means that its conductor has told the database which drivers it has."""
    deadline = time.monotonic() + _READY
    pause = threading.Event()
    while not _has_driver(port, headers):
        if child.poll() is not None or time.monotonic() > deadline:
            output = (folder / "output").read_text(errors="replace")
            log = (folder / "ironic.log").read_text(errors="replace")
            raise AssertionError(f"Upstream's service did not start\n{output[-1500:]}\n{log[-1500:]}")
        pause.wait(0.2)


def _has_driver(port: int, headers: dict[str, str]) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", "/v1/drivers", headers=headers)
        return b"fake-hardware" in connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
