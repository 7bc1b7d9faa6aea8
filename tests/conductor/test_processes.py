"""Real processes on one database server and one RabbitMQ: killed, stopped, ended in good order; their servers killed.

Whatever happens, all work ends, and each imaginary machine remembers that its disk was written once.
"""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections import Counter
from collections.abc import Generator
from pathlib import Path

import aio_pika
import pytest

from bus import broker as brokers
from conductor.site import Site, site
from flows import stand
from ingot.domain import errors
from servers.databases import Databases

pytestmark = [pytest.mark.slow, pytest.mark.peer, pytest.mark.torture, pytest.mark.timeout(400)]
NODES = 16
TAKEOVER = 10.0
Place = tuple[Path, str, str]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Generator[brokers.Broker]:
    with brokers.running(tmp_path_factory.mktemp("rabbitmq")) as found:
        yield found


@pytest.fixture(params=["postgresql", pytest.param("mariadb", marks=pytest.mark.long)])
def kind(request: pytest.FixtureRequest) -> str:
    """The kind of the database server."""
    return request.param


@pytest.fixture
def place(tmp_path: Path, databases: Databases, broker: brokers.Broker, kind: str) -> Place:
    """Folder, database and broker of a new site."""
    return tmp_path, databases.new(kind), broker.url


def deploy_until_held(made: Site) -> tuple[list[str], str, str]:
    """Machines being deployed, the conductor that works on more of them just now (three at least), and the other.

    Shares are a preference, and one that has just joined may take what is the other's. A step takes as long as the host
    took to enrol them all, and 3 s at least: else, on a busy one, all may be done before anybody looks who holds them.
    """
    began = time.monotonic()
    uuids = made.enrol(NODES)
    step = min(max(3.0, time.monotonic() - began), 10.0)
    change = [{"op": "add", "path": "/driver_info/fake_delay", "value": step}]
    for uuid in uuids:
        made.client.call("PATCH", f"/v1/nodes/{uuid}", change)
    made.ask(uuids, "active")
    busy: list[str] = []

    def held() -> bool:
        found = made.nodes("provision_state", "reservation")
        assert {one["provision_state"] for one in found} != {"active"}, "all were done before the look"
        by = Counter(one["reservation"] for one in found)
        busy[:] = sorted(("east", "west"), key=lambda name: -by[name])
        return by[busy[0]] >= 3

    made.wait(held, 30)
    return uuids, busy[0], busy[1]


def written_once(made: Site, uuids: list[str]) -> None:
    made.reach("active", len(uuids))
    assert {stand.effects(made.folder, uuid).count("image written") for uuid in uuids} == {1}


def test_a_killed_conductors_machines_are_gone_on_with(place: Place) -> None:
    with site(*place, "east", "west") as made:
        uuids, busy, other = deploy_until_held(made)
        shown = {one["uuid"]: one["conductor"] for one in made.nodes("uuid", "conductor")}
        assert set(shown.values()) == {"east", "west"}
        listed = made.client.get("/v1/nodes", conductor="east", fields="uuid")["nodes"]
        assert {one["uuid"] for one in listed} == {uuid for uuid, name in shown.items() if name == "east"}
        made.signal(busy, signal.SIGKILL)
        killed = time.monotonic()
        made.wait(lambda: not made.held_by(busy), 30)
        took = time.monotonic() - killed
        assert took < TAKEOVER, f"taken over after {took:.1f} s"
        made.await_conductors(other)
        written_once(made, uuids)
        assert {one["conductor"] for one in made.nodes("conductor")} == {other}


def test_a_conductor_that_was_stopped_for_long_does_no_harm(place: Place) -> None:
    with site(*place, "east", "west") as made:
        uuids, busy, other = deploy_until_held(made)
        made.signal(busy, signal.SIGSTOP)
        made.await_conductors(other)
        made.wait(lambda: not made.held_by(busy), 60)  # it may have been stopped while it was the database's writer
        made.signal(busy, signal.SIGCONT)
        made.await_conductors("east", "west")
        written_once(made, uuids)
        assert "lease lost" in made.log(busy)


@pytest.mark.long
def test_sigterm_hands_over_and_a_broker_that_is_killed_stops_no_work(place: Place, broker: brokers.Broker) -> None:
    with site(*place, "east", "west") as made:
        uuids, busy, _ = deploy_until_held(made)
        made.signal(busy, signal.SIGTERM)
        assert made.end(busy) == 0
        assert "draining" in made.log(busy)
        assert not made.held_by(busy)
        assert made.client.get(f"/v1/nodes/{uuids[0]}/validate")["power"] == {"result": True}
        broker.kill()
        with pytest.raises(errors.IngotError, match=r"The message broker .* is not reached"):
            made.client.get(f"/v1/nodes/{uuids[0]}/validate")
        made.ask(made.enrol(2), "active")
        written_once(made, [one["uuid"] for one in made.nodes("uuid")])
        broker.start()
        made.wait(lambda: bool(made.client.get(f"/v1/nodes/{uuids[0]}/validate")), 30)


@pytest.mark.long
def test_a_database_server_that_goes_and_comes_back_loses_no_work(
    place: Place, databases: Databases, kind: str
) -> None:
    server = databases.server(kind)
    with site(*place, "east", "west") as made:
        uuids, _, _ = deploy_until_held(made)
        server.stop()
        gone = time.monotonic()
        try:
            with pytest.raises(errors.IngotError, match="cannot be used"):
                made.ask(uuids[:1], "deleted")
            made.wait(lambda: time.monotonic() - gone > TAKEOVER, 2 * TAKEOVER)  # longer than every lease
        finally:
            server.start()
        written_once(made, uuids)
        made.await_conductors("east", "west")
        made.ask(uuids, "deleted")
        made.reach("available", len(uuids))


async def ring_and_ring(url: str, uuids: list[str]) -> None:
    """By another client than ours: every ring two hundred times, and what is none."""
    connection = await aio_pika.connect(url, timeout=20)
    async with connection, connection.channel() as channel:
        rings = await channel.get_exchange("ingot.rings")
        for number in range(200):
            body = json.dumps({"topic": "nodes", "uuids": uuids}).encode() if number % 10 else b"\0 no ring"
            await rings.publish(aio_pika.Message(body), "")


@pytest.mark.long
def test_rings_by_the_hundred_and_noise_are_as_good_as_one_ring(place: Place) -> None:
    with site(*place, "east", "west") as made:
        uuids, _, _ = deploy_until_held(made)
        asyncio.run(ring_and_ring(place[2], uuids))
        written_once(made, uuids)
        assert "Traceback" not in made.log("east") + made.log("west")
