"""A conductor whose network goes: in a namespace of its own, PostgreSQL, RabbitMQ and another conductor outside."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Generator
from pathlib import Path

import pytest

from bus import broker as brokers
from conductor import test_processes
from conductor.site import site
from servers.postgresql import PostgreSQL

pytestmark = [
    pytest.mark.slow,
    pytest.mark.long,
    pytest.mark.peer,
    pytest.mark.torture,
    pytest.mark.timeout(500),
    pytest.mark.skipif(os.geteuid() != 0, reason="makes a network namespace"),
]
OUTSIDE, INSIDE = "172.22.11.1", "172.22.11.2"


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, timeout=20)


class Wire:
    """A namespace and the only link into it, which can be taken down."""

    def __init__(self) -> None:
        self.namespace, self._card = f"igcut{os.getpid()}", f"igcut{os.getpid()}"
        ip("netns", "add", self.namespace)
        try:
            ip("link", "add", self._card, "type", "veth", "peer", "name", "eth0", "netns", self.namespace)
            ip("addr", "add", f"{OUTSIDE}/30", "dev", self._card)
            ip("link", "set", self._card, "up")
            for words in (("addr", "add", f"{INSIDE}/30", "dev", "eth0"), ("link", "set", "eth0", "up")):
                ip("-n", self.namespace, *words)
            ip("-n", self.namespace, "link", "set", "lo", "up")
        except BaseException:
            self.remove()
            raise

    def set(self, state: str) -> None:
        ip("link", "set", self._card, state)

    def remove(self) -> None:
        ip("netns", "del", self.namespace)


@pytest.fixture
def wire() -> Generator[Wire]:
    made = Wire()
    yield made
    made.remove()


def test_a_conductor_that_is_cut_off_loses_no_work_and_does_no_harm(wire: Wire, tmp_path: Path) -> None:
    server = PostgreSQL(address=OUTSIDE)
    (tmp_path / "broker").mkdir()
    inside = {"east": ("ip", "netns", "exec", wire.namespace)}
    try:
        server.start()
        with (
            brokers.running(tmp_path / "broker", OUTSIDE) as broker,
            site(tmp_path, server.create("cut"), broker.url, "east", "west", prefix=inside) as made,
        ):
            uuids = made.enrol(test_processes.NODES)
            for uuid in uuids:
                change = {"op": "add", "path": "/driver_info/fake_delay", "value": 1.2}
                made.client.call("PATCH", f"/v1/nodes/{uuid}", [change])
            made.ask(uuids, "active")
            made.wait(lambda: len(made.held_by("east")) >= 2, 60)
            wire.set("down")
            cut = time.monotonic()
            made.wait(lambda: not made.held_by("east"), 60)
            took = time.monotonic() - cut
            # The server ends a transaction that a silent conductor holds after 5 s; then its leases run out.
            assert took < 2 * test_processes.TAKEOVER, f"taken over after {took:.1f} s"
            made.await_conductors("west")
            test_processes.written_once(made, uuids)
            wire.set("up")
            made.await_conductors("east", "west", within=120)
            test_processes.written_once(made, uuids)
            made.ask(uuids, "deleted")
            made.reach("available", len(uuids))
    finally:
        server.remove()
