"""A conductor whose network goes: each of two in a namespace of its own, PostgreSQL and RabbitMQ outside."""

from __future__ import annotations

import contextlib
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
SERVERS = "172.22.11.1"
"""The outer end of the first wire; who is behind another has a way to it."""


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, timeout=20)


class Wire:
    """A namespace and the only link into it, which can be taken down; ``number``: which of them, from 0."""

    def __init__(self, number: int) -> None:
        self.namespace = self._card = f"igcut{os.getpid()}-{number}"
        outside, inside = (f"172.22.11.{4 * number + end}" for end in (1, 2))
        ip("netns", "add", self.namespace)
        try:
            ip("link", "add", self._card, "type", "veth", "peer", "name", "eth0", "netns", self.namespace)
            ip("addr", "add", f"{outside}/30", "dev", self._card)
            ip("link", "set", self._card, "up")
            for words in (("addr", "add", f"{inside}/30", "dev", "eth0"), ("link", "set", "eth0", "up")):
                ip("-n", self.namespace, *words)
            ip("-n", self.namespace, "link", "set", "lo", "up")
            ip("-n", self.namespace, "route", "add", "default", "via", outside)
        except BaseException:
            self.remove()
            raise

    def set(self, state: str) -> None:
        ip("link", "set", self._card, state)

    def remove(self) -> None:
        ip("netns", "del", self.namespace)


@pytest.fixture
def wires() -> Generator[dict[str, Wire]]:
    """The wire of each conductor."""
    with contextlib.ExitStack() as stack:
        made: dict[str, Wire] = {}
        for number, name in enumerate(("east", "west")):
            made[name] = Wire(number)
            stack.callback(made[name].remove)
        yield made


def test_a_conductor_that_is_cut_off_loses_no_work_and_does_no_harm(wires: dict[str, Wire], tmp_path: Path) -> None:
    server = PostgreSQL(address=SERVERS)
    (tmp_path / "broker").mkdir()
    inside = {name: ("ip", "netns", "exec", wire.namespace) for name, wire in wires.items()}
    try:
        server.start()
        with (
            brokers.running(tmp_path / "broker", SERVERS) as broker,
            site(tmp_path, server.create("cut"), broker.url, *wires, prefix=inside) as made,
        ):
            uuids, busy, other = test_processes.deploy_until_held(made)
            wires[busy].set("down")
            cut = time.monotonic()
            made.wait(lambda: not made.held_by(busy), 60)
            took = time.monotonic() - cut
            # The server ends a transaction that a silent conductor holds after 5 s; then its leases run out.
            assert took < 2 * test_processes.TAKEOVER, f"taken over after {took:.1f} s"
            made.await_conductors(other)
            test_processes.written_once(made, uuids)
            wires[busy].set("up")
            made.await_conductors("east", "west", within=120)
            test_processes.written_once(made, uuids)
            made.ask(uuids, "deleted")
            made.reach("available", len(uuids))
    finally:
        server.remove()
