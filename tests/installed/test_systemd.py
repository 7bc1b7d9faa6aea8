"""The Debian package in a machine of its own: its unit under a real systemd, which starts, guards and ends it."""

from __future__ import annotations

import json
import re
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent import recipe
from ingot.cli import client as api
from ingot.cli import exits
from ingot.domain import errors
from installed import guest as guests
from installed.guest import Guest

pytestmark = [
    pytest.mark.qemu,
    pytest.mark.long,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the package is for the Python that builds it"),
]
MAC = "52:54:00:00:77:01"
# A bridge as the provisioning network, and on it a card of a machine, which is a namespace.
NETWORK = f"""set -e
ip link add br0 type bridge && ip addr add 192.0.2.1/24 dev br0 && ip link set br0 up
ip netns add machine && ip link add srv0 type veth peer name eth0 netns machine address {MAC}
ip link set srv0 master br0 up && ip -n machine link set eth0 up
"""
LEASE = "#!/bin/sh\n[ $1 != bound ] || { ip addr add $ip/24 dev $interface; echo $ip $boot_file; }\n"
CONVERT = """
import asyncio, hashlib, pathlib, subprocess, sys
sys.path.insert(0, "/usr/lib/ingot")
from ingot.images.cache import ImageCache
from ingot.images.download import Limits
from ingot.images.locate import ImageSource
data = pathlib.Path("/srv/disk.qcow2")
limits = Limits(file_roots=(data.parent,))
made = asyncio.run(ImageCache(pathlib.Path("/var/lib/ingot/images"), 1 << 30, fetching=limits).fetch(
    ImageSource(data.as_uri(), None, hashlib.sha256(data.read_bytes()).hexdigest(), "qcow2")))
print("converted", made.size)
"""


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory, tree: Path, packages: tuple[Path, Path]) -> Iterator[Guest]:
    """The machine with the package installed, `ingot init` done and the service started, as the manual says."""
    folder = tmp_path_factory.mktemp("systemd")
    ramdisk = folder / "ramdisk"
    recipe.load("build").build("cloud", ramdisk, lambda _phase, _part: None)
    shutil.copytree(ramdisk, tree / "srv/ramdisk")
    with guests.started(folder, tree, packages[0].name) as made:
        assert "Next: ingot init" in made.run(f"apt-get install -qy {made.package}", limit=600)
        made.run(NETWORK)
        chosen = "--set host=0.0.0.0 --set provision_interface=br0 --set ramdisk_dir=/srv/ramdisk --set image_dirs=/srv"
        told = made.run(f"ingot init {chosen} --password-file ~/password")
        start = "systemctl enable --now ingot"
        assert start in told, "init says how to go on under systemd"
        assert "INGOT_URL=https://127.0.0.1:6385 " in told, "what listens on all addresses is called at one"
        made.run(start)
        ready(made)
        yield made


def client(guest: Guest) -> api.Client:
    authority = guest.folder / "ca.pem"
    authority.write_text(guest.run("cat /var/lib/ingot/tls/ca.pem"))
    password = guest.run("cat ~/password").strip()
    return api.Client(f"https://127.0.0.1:{guest.api}", "admin", password, ca=str(authority))


def ready(guest: Guest, within: float = 90.0) -> None:
    """Wait until the service says that it may be given work."""
    own = client(guest)
    end = time.monotonic() + within
    while True:
        try:
            assert own.get("/ingot/v1/ready")["ready"]
            return
        except errors.IngotError as error:
            assert time.monotonic() < end, f"{error.sentence()}\n{guest.journal()}"
            time.sleep(0.5)  # noqa: TID251  waits for another machine


def shown(guest: Guest, name: str) -> str:
    return guest.run(f"systemctl show -P {name} ingot").strip()


def dnsmasq(guest: Guest) -> list[str]:
    """(pid, parent, user) of each dnsmasq."""
    return guest.done("ps -C dnsmasq -o pid=,ppid=,user=").stdout.split("\n")[:-1]


def test_the_unit_serves_as_the_services_own_account(guest: Guest) -> None:
    assert guest.run("systemctl is-active ingot").strip() == "active"
    assert guest.run("systemctl is-enabled ingot").strip() == "enabled"
    main = shown(guest, "MainPID")
    assert guest.run(f"ps -o user= -p {main}").strip() == "ingot"
    (child,) = dnsmasq(guest)
    assert child.split()[1:] == [main, "ingot"], "DHCP is a child of the service and has no more rights"
    own = client(guest)
    assert own.get("/v1/nodes") == {"nodes": []}
    with pytest.raises(exits.ApiRefused, match="INGOT_PASSWORD"):
        api.Client(own.url, "admin", "wrong", ca=str(guest.folder / "ca.pem")).get("/v1/nodes")
    said = guest.journal()
    assert "API ready" in said
    assert "DHCP and TFTP are served" in said
    assert guest.run("cat ~/password").strip() not in guest.run("journalctl -o cat --no-pager")


def test_the_unit_shuts_the_service_in(guest: Guest) -> None:
    for pid in (shown(guest, "MainPID"), dnsmasq(guest)[0].split()[0]):
        status = dict(re.findall(r"^(\w+):\s+(\S+)$", guest.run(f"cat /proc/{pid}/status"), re.MULTILINE))
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
        assert int(status["CapBnd"], 16) == 1 << 10 | 1 << 12 | 1 << 13, "low ports, network, raw sockets"
        for place, tree in (("/usr/lib/ingot/x", "Read-only"), ("/etc/x", "Read-only"), ("/root/x", "")):
            refused = guest.done(f"nsenter --mount --target {pid} touch {place}")
            assert (refused.returncode != 0, tree in refused.stderr) == (True, True), refused
    guest.run(f"nsenter --mount --target {shown(guest, 'MainPID')} touch /var/lib/ingot")
    exposure = guest.run("systemd-analyze security --no-pager ingot").splitlines()[-1]
    print(exposure)
    assert float(re.findall(r"\d+\.\d+", exposure)[0]) < 2.5, exposure


def test_machines_get_an_address_and_a_boot_program(guest: Guest) -> None:
    """What dnsmasq needs, the unit lets it do: raw sockets, low ports, a look at the neighbours."""
    ask = "ip netns exec machine busybox udhcpc -i eth0 -n -q -t 4 -T 2 -s /root/lease"
    guest.run(f"printf '%s' {guests.shell([LEASE])} >/root/lease && chmod 755 /root/lease")
    assert guest.done(ask).returncode != 0, "a stranger is not answered"
    words = ["--driver", "fake-hardware", "--name", "n1", "--mac", MAC, "--json"]
    made: Any = json.loads(guest.run(ingot("node", "create", *words)))
    assert made["provision_state"] == "enroll"
    guest.run("systemctl restart ingot")  # it admits the cards it knows
    ready(guest)
    address, program = guest.run(ask).split()[-2:]
    assert address.startswith("192.0.2.")
    fetched = guest.run(f"ip netns exec machine busybox tftp -g -l /root/got -r {program} 192.0.2.1; wc -c </root/got")
    assert int(fetched) > 50_000, program


def test_images_are_converted_within_the_unit(guest: Guest) -> None:
    """By the service's own code with the unit's own walls around it: only what is started differs."""
    guest.run("truncate -s 32M /srv/raw && qemu-img convert -O qcow2 /srv/raw /srv/disk.qcow2")
    guest.run(f"printf '%s' {guests.shell([CONVERT])} >/srv/convert.py")
    changed = "s|^ExecStart=.*|ExecStart=/usr/bin/python3 -IB /srv/convert.py|; s|^Restart=.*||; s|=notify|=oneshot|"

    unit = "$(systemctl show -P FragmentPath ingot)"
    guest.run(f"sed '{changed}' {unit} >/run/systemd/system/convert.service && systemctl daemon-reload")
    assert guest.done("systemctl start convert").returncode == 0, guest.run("journalctl -u convert -o cat --no-pager")
    assert f"converted {32 << 20}" in guest.run("journalctl -u convert -o cat --no-pager")


def test_what_dies_is_started_again(guest: Guest) -> None:
    before, (child,) = shown(guest, "MainPID"), dnsmasq(guest)
    guest.run(f"kill -9 {child.split()[0]}")
    guest.reach("ps -C dnsmasq -o ppid= | tr -d ' '", before)
    guest.run(f"kill -9 {before}")
    guest.reach("systemctl show -P NRestarts ingot", "1")
    ready(guest)
    after = shown(guest, "MainPID")
    assert after not in {before, "0"}
    # One, and none is left of the process that died. The API answers before network boot is there.
    guest.reach("ps -C dnsmasq -o ppid=,user= | xargs", f"{after} ingot")
    assert [one["name"] for one in client(guest).get("/v1/nodes")["nodes"]] == ["n1"]
    assert "status=9/KILL" in guest.run("journalctl -u ingot -o cat --no-pager")


def test_the_doctor_finds_nothing_bad(guest: Guest) -> None:
    found = json.loads(guest.run("ingot doctor --json"))
    levels = {one["check"]: one["level"] for one in found}
    assert [one for one in found if one["level"] == "bad"] == []
    assert {levels["database"], levels["ramdisk"], levels["other DHCP servers"]} == {"fine"}
    guest.run("ingot user list && ingot db check")
    strange = guest.run("find /var/lib/ingot ! -user ingot").split()
    assert strange == [], "what root looks at stays the service's own"


def test_it_stops_in_good_order_and_starts_again(guest: Guest) -> None:
    began = time.monotonic()
    guest.run("systemctl stop ingot")
    print(f"stopped in {time.monotonic() - began:.1f} s")
    assert (shown(guest, "Result"), shown(guest, "ExecMainStatus")) == ("success", "0")
    assert guest.done("ps -u ingot -o pid=").stdout == "", "nothing of it is left"
    assert guest.done("systemctl is-active ingot").stdout.strip() == "inactive"
    guest.run("systemctl start ingot")
    ready(guest)


def test_an_upgrade_restarts_it_and_a_purge_takes_it_away(guest: Guest) -> None:
    before = shown(guest, "MainPID")
    guest.run(f"apt-get install -qy --reinstall {guest.package}", limit=600)
    ready(guest)
    assert shown(guest, "MainPID") not in {before, "0"}
    told = guest.run("apt-get purge -qy ingot", limit=600)
    assert "/var/lib/ingot is kept" in told
    assert guest.done("ps -u ingot -o pid=").stdout == ""
    assert guest.done("systemctl is-active ingot").stdout.strip() == "inactive"
    assert (
        guest.run("systemctl list-unit-files --no-legend 'ingot*'; ls /etc/ingot 2>&1 || true")
        .strip()
        .endswith("No such file or directory")
    )
    assert guest.run("ls /var/lib/ingot").split().count("secret.key") == 1
    assert guest.run("systemctl --failed --no-legend").strip() == ""


def ingot(*words: str) -> str:
    """A line that calls the API from within the guest, as its operator does."""
    access = "INGOT_URL=https://127.0.0.1:6385 INGOT_USER=admin INGOT_CACERT=/var/lib/ingot/tls/ca.pem"
    return f"{access} INGOT_PASSWORD=$(cat ~/password) ingot {guests.shell(list(words))}"
