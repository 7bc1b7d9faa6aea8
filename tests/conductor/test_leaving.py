"""A conductor that is told to end does so before its unit's patience is over, whatever its database does meanwhile."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from checkout import ROOT
from conductor.site import site
from servers.postgresql import PostgreSQL

pytestmark = [pytest.mark.slow, pytest.mark.peer, pytest.mark.timeout(300)]


@pytest.fixture
def server() -> Iterator[PostgreSQL]:
    made = PostgreSQL()
    try:
        made.start()
        yield made
    finally:
        freeze(made, signal.SIGCONT)
        made.remove()


def freeze(server: PostgreSQL, number: signal.Signals = signal.SIGSTOP) -> None:
    """Let every process of the server hang, or go on."""
    found = subprocess.run(["pgrep", "-P", str(server.pid)], capture_output=True, text=True, check=False, timeout=10)
    for pid in (server.pid, *map(int, found.stdout.split())):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


@pytest.mark.parametrize("leave", [PostgreSQL.stop, freeze], ids=["stopped", "hung"])
def test_it_ends_though_its_database_is_away(
    tmp_path: Path, server: PostgreSQL, leave: Callable[[PostgreSQL], None]
) -> None:
    unit = (ROOT / "packaging/ingot.service").read_text()
    (patience,) = re.findall(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)
    with site(tmp_path, server.create("ingot"), "", "east") as made:
        (uuid,) = made.enrol(1)
        change = [{"op": "add", "path": "/driver_info", "value": {"fake_delay": 5}}]
        made.client.call("PATCH", f"/v1/nodes/{uuid}", change)
        made.ask([uuid], "active")
        made.wait(lambda: made.held_by("east") == {uuid}, 30)
        leave(server)
        began = time.monotonic()
        made.signal("east", signal.SIGTERM)
        assert made.end("east") == 0, made.log("east")
        took = time.monotonic() - began
        print(f"ended in {took:.1f} s")
        assert took < int(patience) - 8, made.log("east")
        assert "Traceback" not in made.log("east")
