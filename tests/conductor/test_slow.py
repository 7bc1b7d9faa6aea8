"""Conductors that get the processor by turns, too seldom for their leases: work stays with who has it, and ends."""

from __future__ import annotations

import contextlib
import itertools
import signal
import threading
from collections.abc import Generator
from pathlib import Path

import pytest

from bus import broker as brokers
from conductor.site import Site, site
from servers.databases import Databases

pytestmark = [pytest.mark.slow, pytest.mark.peer, pytest.mark.torture, pytest.mark.long, pytest.mark.timeout(500)]
NODES = 8
STEP = 30.0
"""Seconds of a step: it ends where it is left alone for so long."""
STANDS, GOES = 16.0, 3.0
"""Seconds that a process stands, and goes on. A lease is 6 s."""


@contextlib.contextmanager
def by_turns(made: Site, *names: str) -> Generator[None]:
    """Each process stands for most of the time, and they take turns in going on."""
    over = threading.Event()

    def hold(name: str, first: float) -> None:
        over.wait(first)
        for number, seconds in itertools.cycle(((signal.SIGSTOP, STANDS), (signal.SIGCONT, GOES))):
            made.signal(name, number)
            if over.wait(seconds):
                break
        made.signal(name, signal.SIGCONT)

    threads = [threading.Thread(target=hold, args=(name, at * STANDS / 2)) for at, name in enumerate(names)]
    for each in threads:
        each.start()
    try:
        yield
    finally:
        over.set()
        for each in threads:
            each.join()


def test_conductors_that_are_slow_for_long_keep_what_they_work_on(tmp_path: Path, databases: Databases) -> None:
    with (
        brokers.running(tmp_path) as broker,
        site(tmp_path, databases.new("postgresql"), broker.url, "east", "west") as made,
    ):
        uuids = made.enrol(NODES)
        for uuid in uuids:
            change = [{"op": "add", "path": "/driver_info/fake_delay", "value": STEP}]
            made.client.call("PATCH", f"/v1/nodes/{uuid}", change)
        with by_turns(made, "east", "west"):
            for uuid in uuids:
                made.client.call("PUT", f"/v1/nodes/{uuid}/states/power", {"target": "power on"})
            made.wait(lambda: {one["power_state"] for one in made.nodes("power_state")} == {"power on"}, 200)
            assert "lease lost" in made.log("east") + made.log("west"), "they were not slow enough to show anything"
