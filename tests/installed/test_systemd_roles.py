"""The package's unit as a conductor alone and as an API alone, under a real systemd, as docs/howto/scale-out.md has it.

The machine is first beta and then alpha of that guide, typed as it stands there; PostgreSQL, RabbitMQ and the other
half of ingot are on this host, whose loopback it reaches.
"""

from __future__ import annotations

import base64
import contextlib
import io
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from bus import broker as brokers
from cli import program
from conductor import site as sites
from ingot.cli import client as api
from ingot.domain import errors
from installed import guest as guests
from installed import guide
from installed.guest import Guest
from servers.postgresql import PostgreSQL

pytestmark = [
    pytest.mark.qemu,
    pytest.mark.long,
    pytest.mark.peer,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the package is for the Python that builds it"),
]
HERE = "127.0.0.1"
PAUSE = {"fake_delay": 4}
"""Seconds of a step of an imaginary machine: a deployment lasts long enough for something to happen to it."""
NETWORK = "ip link add eth1 type bridge; ip addr add 10.1.0.2/24 dev eth1; ip link set eth1 up"


class Place(NamedTuple):
    """The machine, the host's half of the site, its database server, and this site's words in place of the guide's."""

    guest: Guest
    site: sites.Site
    server: PostgreSQL
    words: dict[str, str]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, tree: Path, packages: tuple[Path, Path]) -> Iterator[Place]:
    """A machine with nothing on it but the packages to install; on this host the servers and an API."""
    folder = tmp_path_factory.mktemp("roles")
    own = folder / "host"
    own.mkdir()
    server = PostgreSQL(address=HERE)
    with contextlib.ExitStack() as stack:
        stack.callback(server.remove)
        server.start()
        database = server.create("ingot")
        broker = stack.enter_context(brokers.running(tmp_path_factory.mktemp("rabbitmq"), HERE))
        environment = {**program.environment(), "INGOT_DATABASE": database}
        words = ["init", "--config", str(own / "ingot.toml"), "--password-file", str(own / "password")]
        subprocess.run(program.ingot_argv(*words, "--data-dir", str(own)), env=environment, check=True, timeout=120)
        site = stack.enter_context(sites.site(own, database, broker.url))
        guest = stack.enter_context(guests.started(folder, tree, packages[0].name, reaches_host=True))
        told = {
            "postgresql://ingot:PASSWORD@10.0.0.1/ingot?sslrootcert=/etc/ingot/servers.pem": database,
            "amqps://ingot:PASSWORD@10.0.0.1/?cafile=/etc/ingot/servers.pem": broker.url,
        }
        seen = {guides: here.replace(HERE, guests.HOST) for guides, here in told.items()}
        yield Place(guest, site, server, seen)


def become(place: Place, heading: str) -> str:
    """Type on the machine what the guide has under a heading; what was said."""
    typed = guide.blocks(heading, place.words)
    assert "PASSWORD" not in "".join(typed), "the guide's settings are not those that this test knows"
    return "".join(place.guest.run(f"cd\nset -e\n{block}", limit=600) for block in typed)


def carry_over(place: Place) -> None:
    """What the guide packs on the first host: of this host's data directory, with the owners that it has there."""
    packed = io.BytesIO()
    data = place.site.folder

    def owned(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid, entry.gid, entry.uname, entry.gname = 1, 1, "ingot", "ingot"
        return entry

    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name in ("secret.key", "url.key", "tls", "tls/ca.key", "tls/ca.pem"):
            archive.add(data / name, f"var/lib/ingot/{name}", recursive=False, filter=owned)
    text = base64.b64encode(packed.getvalue()).decode()
    place.guest.run(f"umask 077; echo {text} | base64 -d >~/ingot-hosts.tar")


def shown(guest: Guest, name: str) -> str:
    return guest.run(f"systemctl show -P {name} ingot").strip()


def dnsmasq(guest: Guest) -> str:
    return guest.done("ps -C dnsmasq -o ppid=,user= | xargs").stdout.strip()


def deploying(place: Place) -> str:
    """A machine that the guest's conductor deploys, and takes its time."""
    (uuid,) = place.site.enrol(1)
    place.site.client.call("PATCH", f"/v1/nodes/{uuid}", [{"op": "add", "path": "/driver_info", "value": PAUSE}])
    place.site.ask([uuid], "active")
    program.wait_for(lambda: uuid in place.site.held_by("guest"), 60)
    return uuid


def active(place: Place, uuid: str) -> str:
    """Wait until a machine is deployed; who did that, and remove it."""
    client = place.site.client

    def state() -> str:
        found = client.get(f"/v1/nodes/{uuid}")
        assert "failed" not in found["provision_state"], found
        return str(found["provision_state"])

    place.site.wait(lambda: state() == "active", 120)
    who = place.site.worker(uuid)
    client.call("PATCH", f"/v1/nodes/{uuid}", [{"op": "add", "path": "/driver_info", "value": {}}])
    place.site.ask([uuid], "deleted")
    place.site.wait(lambda: state() == "available", 120)
    client.call("DELETE", f"/v1/nodes/{uuid}")
    return who


def test_a_conductor_alone_serves_as_the_guide_says(place: Place) -> None:
    guest, site, *_ = place
    guest.run(NETWORK)
    carry_over(place)
    began = time.monotonic()
    become(place, "On beta and gamma: the conductors")
    print(f"installed and started in {time.monotonic() - began:.0f} s")
    assert guest.run("systemctl is-active ingot").strip() == "active", "it has told that it is ready"
    main = shown(guest, "MainPID")
    assert guest.run(f"ps -o args= -p {main}").strip().endswith("serve --only conductor --config /etc/ingot/ingot.toml")
    assert shown(guest, "NRestarts") == "0"
    site.await_conductors("guest", within=30)
    assert dnsmasq(guest) == f"{main} ingot", "network boot is the conductor's"
    assert ":6385" not in guest.run("ss -Hltn"), "the API is not"
    (uuid,) = site.enrol(1)
    assert site.client.get(f"/v1/nodes/{uuid}/validate")["deploy"]["result"], "it answers through the broker"
    site.ask([uuid], "active")
    assert active(place, uuid) == "guest"
    assert guest.run("find /var/lib/ingot ! -user ingot").split() == []


def test_a_conductor_that_is_stopped_hands_its_work_over(place: Place) -> None:
    guest, site, *_ = place
    uuid = deploying(place)
    site.start("west")
    site.await_conductors("guest", "west")
    began = time.monotonic()
    guest.run("systemctl stop ingot")
    print(f"stopped in {time.monotonic() - began:.1f} s")
    assert (shown(guest, "Result"), shown(guest, "ExecMainStatus")) == ("success", "0")
    assert guest.done("ps -u ingot -o pid=").stdout == "", "nothing of it is left"
    assert site.alive() == ["west"], "it has said goodbye"
    assert "dnsmasq ended" not in guest.journal(), "network boot goes on until the end"
    assert active(place, uuid) == "west"
    site.signal("west", signal.SIGTERM)
    assert site.end("west") == 0


def test_a_conductor_waits_for_its_database_and_is_started_again(place: Place) -> None:
    guest, site, server, _ = place
    guest.run("systemctl start ingot")
    site.await_conductors("guest", within=30)
    left = deploying(place)
    server.stop()
    began = time.monotonic()
    guest.run("systemctl stop ingot")
    print(f"stopped without a database in {time.monotonic() - began:.1f} s")
    assert (shown(guest, "Result"), shown(guest, "ExecMainStatus")) == ("success", "0")
    guest.done("systemctl start --no-block ingot")
    guest.reach("test $(systemctl show -P NRestarts ingot) -ge 2 && echo tried", "tried", 180)
    server.start()
    guest.reach("systemctl is-active ingot", "active")
    site.await_conductors("guest", within=30)
    assert active(place, left) == "guest", "it goes on with what it had in hand"
    uuid = deploying(place)
    before, count = shown(guest, "MainPID"), int(shown(guest, "NRestarts"))
    guest.run(f"kill -9 {before}")
    guest.reach("systemctl show -P NRestarts ingot", str(count + 1))
    assert active(place, uuid) == "guest"
    after = shown(guest, "MainPID")
    assert after not in {before, "0"}
    guest.reach("ps -C dnsmasq -o ppid=,user= | xargs", f"{after} ingot")
    assert "status=9/KILL" in guest.run("journalctl -u ingot -o cat --no-pager")


def test_an_api_alone_serves_as_the_guide_says(place: Place) -> None:
    guest, site, *_ = place
    guest.run("systemctl stop ingot; rm /etc/ingot/ingot.toml; : >~/servers.pem")
    site.start("west")
    site.await_conductors("west")
    assert "users: admin" in become(place, "On alpha: the API")
    assert guest.run("systemctl is-active ingot").strip() == "active"
    main = shown(guest, "MainPID")
    assert guest.run(f"ps -o args= -p {main}").strip().endswith("serve --only api --config /etc/ingot/ingot.toml")
    assert dnsmasq(guest) == ""
    password = (site.folder / "password").read_text().strip()
    authority = guest.folder / "ca.pem"
    authority.write_text(guest.run("cat /var/lib/ingot/tls/ca.pem"))
    client = api.Client(f"https://127.0.0.1:{guest.api}", "admin", password, ca=str(authority))
    assert [one["hostname"] for one in client.get("/v1/conductors")["conductors"] if one["alive"]] == ["west"]
    uuid = client.call("POST", "/v1/nodes", {"driver": "fake-hardware", "name": "n1"})["uuid"]
    client.call("PUT", "/v1/nodes/n1/states/provision", {"target": "manage"})
    program.wait_for(lambda: client.get("/v1/nodes/n1")["provision_state"] == "manageable", 60)
    assert client.get("/v1/nodes/n1/validate")["power"]["result"], "west answers through the broker"
    guest.run(f"kill -9 {main}")
    guest.reach("systemctl show -P NRestarts ingot", "1")

    def answers() -> bool:
        with contextlib.suppress(errors.Unreachable):
            return bool(client.get("/v1/nodes/n1")["uuid"] == uuid)
        return False

    program.wait_for(answers, 90)
    guest.run("systemctl stop ingot")
    assert (shown(guest, "Result"), shown(guest, "ExecMainStatus")) == ("success", "0")
    assert guest.run("systemctl --failed --no-legend").strip() == ""
