"""The guide's three hosts, typed as it stands there: PostgreSQL, RabbitMQ and ingot's packages on three of them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from installed import guide, hosts
from installed.hosts import Host, Network

pytestmark = [
    pytest.mark.long,
    pytest.mark.slow,
    pytest.mark.peer,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(os.geteuid() != 0, reason="makes namespaces and mounts"),
    pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the package is for the Python that builds it"),
]
PASSWORD = "Xk3v9QpTz7"
RANGES = {"beta": "10.1.0.100-10.1.0.149", "gamma": "10.1.0.150-10.1.0.199"}
SERVER = "10.1.0.100"
"""What ingot's DHCP gives the first server that boots: an address and, with it, no gateway."""
TAKEOVER = 10.0
# What Debian's packages leave behind where they are installed for the first time, which was on this machine long ago.
FRESH = """
for each in $(pg_lsclusters -h | cut -d' ' -f1); do pg_dropcluster --stop $each main; done
rm -rf /var/lib/rabbitmq/mnesia /etc/rabbitmq/rabbitmq.conf
pg_createcluster $(ls /usr/lib/postgresql | sort -n | tail -1) main --start
service rabbitmq-server start
"""
# A database whose certificate is not the one that this host was given.
STRANGER = """
openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=alpha -addext subjectAltName=IP:10.0.0.1 \
  -keyout /dev/null -out other.pem 2>/dev/null
sed s,/etc/ingot/servers.pem,/srv/walk/other.pem, /etc/ingot/ingot.toml >other.toml
! ingot db check --config other.toml 2>&1
"""


def walk(host: Host, heading: str, **given: str) -> str:
    """Type what stands under a heading, with this site's own values in place of the guide's; what was said."""
    typed = guide.blocks(heading, {**given, "PASSWORD@": f"{PASSWORD}@"})
    return "".join(host.type(lines, stdin=f"{PASSWORD}\n" * 2) for lines in typed)


def awaited(told: Callable[[], str], wanted: set[str], within: float) -> str:
    """What is told, once it is one of those."""
    end = time.monotonic() + within
    while (found := told()) not in wanted:
        assert time.monotonic() < end, f"{found!r} is none of {wanted}"
        time.sleep(0.2)  # noqa: TID251  waits for another process
    return found


@pytest.fixture
def place(tmp_path: Path, packages: tuple[Path, Path]) -> Iterator[tuple[Network, dict[str, Host]]]:
    """Three hosts on the guide's networks, with nothing on them but the packages to install."""
    told = guide.addresses()
    assert set(told) == {"alpha", *RANGES}
    with hosts.running(tmp_path, *told) as (network, made):
        for name, host in made.items():
            for number, address in enumerate(told[name]):
                network.plug(host, f"eth{number}", address)
            for file in packages:
                shutil.copy(file, host.place("srv/walk"))
        made["alpha"].type(FRESH)
        yield network, made


def test_three_hosts_as_the_guide_says(place: tuple[Network, dict[str, Host]], tmp_path: Path) -> None:
    network, made = place
    alpha = made["alpha"]
    walk(alpha, "On alpha: the servers")
    said = walk(alpha, "On alpha: the API")
    (secret,) = re.findall(r"password of admin: (\S+)", said)
    for name, own in RANGES.items():
        shutil.copy(alpha.place("srv/walk/ingot-hosts.tar"), made[name].place("srv/walk"))
        walk(made[name], "On beta and gamma: the conductors", **{RANGES["beta"]: own})
    looked = walk(alpha, "On alpha: look", **{"INGOT_PASSWORD=...": f"INGOT_PASSWORD={secret}"})
    assert "answers and is at version" in looked
    assert re.search(r"n1\s+available\s+(beta|gamma)", looked), looked
    asked = "select bool_and(ssl) from pg_stat_ssl join pg_stat_activity using (pid) where usename = 'ingot'"
    encrypted = alpha.type(f'runuser -u postgres -- psql -XAtc "{asked}"')
    assert encrypted.strip() == "t", "everything that speaks to the database does so by TLS"
    assert "certificate verify failed" in made["beta"].type(STRANGER), "nobody else is taken for the database"
    for name, host in made.items():
        kept = host.type("find /var/lib/ingot ! -user ingot")
        assert not kept, f"{name}: the service may not change what is its own: {kept}"
        assert PASSWORD not in host.log()
        assert PASSWORD not in host.type("ps -eo args")
    ramdisks_reach_the_api(network, made, tmp_path / "servers")
    dies_and_is_taken_over(network, made, secret)


def ramdisks_reach_the_api(network: Network, made: dict[str, Host], folder: Path) -> None:
    """A server that has booted reaches the URL that each conductor hands to ramdisks, and knows who answers there."""
    folder.mkdir()
    with contextlib.closing(Host(folder, "server")) as server:
        network.plug(server, "eth1", SERVER)
        assert server.type("ip route").split()[:3] == ["10.1.0.0/24", "dev", "eth1"]
        assert "default" not in server.type("ip route")
        for name in RANGES:
            told = tomllib.loads(made[name].place("etc/ingot/ingot.toml").read_text())["agent_api_url"]
            server.write("srv/walk/ca.pem", made[name].place("var/lib/ingot/tls/ca.pem").read_text())
            answer = server.type(f"curl -sS --fail --max-time 20 --cacert ca.pem {told}/")
            assert json.loads(answer)["default_version"]["id"] == "v1", f"{told} of {name} is ingot's API"


def dies_and_is_taken_over(network: Network, made: dict[str, Host], secret: str) -> None:
    """The table "What happens when": the host that has the node loses its network in the middle of a deployment."""
    access = f"export INGOT_URL=https://127.0.0.1:6385 INGOT_USER=admin INGOT_PASSWORD={secret}\n"
    access += "export INGOT_CACERT=/var/lib/ingot/tls/ca.pem\n"
    image = f"--image http://10.0.0.1/none.raw --checksum sha256:{'0' * 64}"  # imaginary machines fetch none
    alpha = made["alpha"]
    alpha.type(f"{access}ingot node set n1 driver_info.fake_delay=3; ingot node deploy n1 {image}")

    def shown(field: str) -> str:
        return str(json.loads(alpha.type(f"{access}ingot node show n1 --fields {field} --json"))[field])

    owner = awaited(lambda: shown("reservation"), {"beta", "gamma"}, 30)
    (other,) = RANGES.keys() - {owner}
    network.set(made[owner], "eth0", "down")
    cut = time.monotonic()
    awaited(lambda: shown("reservation"), {other}, TAKEOVER)
    print(f"taken over {time.monotonic() - cut:.1f} s after {owner} was cut off")
    awaited(lambda: shown("provision_state"), {"active"}, 90)
    network.set(made[owner], "eth0", "up")
