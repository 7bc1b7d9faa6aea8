"""What `ingot doctor` finds on an unwell host, each finding with its cure; the host is a namespace of its own."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from cli import program
from cli.program import Run, environment, ingot_argv

FAKETIME = next(iter(Path("/usr/lib").glob("*/faketime/libfaketime.so.1")), None)
UNWELL = """set -e
mount -t sysfs sys /sys
ip link add srv type veth peer name other
ip addr add 192.0.2.1/24 dev srv
mount -t tmpfs -o size=64m small "$1"
mount --bind /dev/null "$(command -v qemu-img)"
mount --bind /dev/null "$(PATH=$PATH:/usr/sbin command -v dnsmasq)"
shift
python=$1
"$python" -c 'import socket, time
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
one.bind(("0.0.0.0", 67))
time.sleep(60)' >/dev/null &
holder=$!
trap 'kill $holder' EXIT
while ! grep -q :0043 /proc/net/udp; do sleep 0.05; done
"$@"
"""

Findings = dict[str, dict[str, str]]


def findings(told: str) -> Findings:
    return {one["check"]: one for one in json.loads(told)}


@pytest.mark.skipif(os.geteuid() != 0, reason="a namespace of its own needs root")
def test_an_unwell_host(tmp_path: Path) -> None:
    """A small disk, programs that are missing, a card without a cable, and somebody else's DHCP server."""
    words = ingot_argv("doctor", "--json", "--data-dir", str(tmp_path), "--set", "provision_interface=srv")
    command = ["unshare", "--net", "--mount", "sh", "-c", UNWELL, "sh", str(tmp_path), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment())
    assert done.returncode == 1, done.stderr
    found = findings(done.stdout)
    expected = {
        "disk": ("bad", "0.1 GiB free", "Free some space"),
        "qemu-img": ("bad", "not installed", "apt-get install --no-install-recommends qemu-utils"),
        "dnsmasq": ("bad", "not installed", "apt-get install --no-install-recommends dnsmasq-base"),
        "interface": ("bad", "srv is down or has no cable", "ip link set srv up"),
        "port 67": ("odd", "is held by another program", "ss -lunp sport = :67"),
        "other DHCP servers": ("odd", "not looked for on srv: ", "Cure what is said of the interface"),
        "ramdisk": ("bad", "has no vmlinuz and no initrd", "ingot ramdisk build"),
    }
    for check, (level, text, cure) in expected.items():
        one = found[check]
        assert (one["level"], text in one["text"], cure in one["cure"]) == (level, True, True), one


def test_an_old_ramdisk_files_that_others_read_and_a_cache_larger_than_the_disk(run: Run, tmp_path: Path) -> None:
    place = ["--config", str(tmp_path / "ingot.toml"), "--data-dir", str(tmp_path / "data")]
    assert run("init", *place).exit_code == 0
    ramdisk, key = tmp_path / "data/ramdisk", tmp_path / "data/secret.key"
    ramdisk.mkdir()
    for name in ("vmlinuz", "initrd"):
        (ramdisk / name).write_bytes(b"x")
    words = ("doctor", "--json", *place, "--set", f"port={program.free_port()}")
    found = findings(run(*words).stdout)
    assert [found[name]["level"] for name in ("ramdisk", "data directory")] == ["fine", "fine"]
    long_ago = time.time() - 200 * 86400
    os.utime(ramdisk / "initrd", (long_ago, long_ago))
    (tmp_path / "data").chmod(0o755)
    key.chmod(0o644)
    found = findings(run(*words, "--set", f"image_cache_size={1 << 60}").stdout)
    assert (found["ramdisk"]["level"], "200 days old" in found["ramdisk"]["text"]) == ("odd", True)
    assert found["ramdisk"]["cure"].endswith("ingot ramdisk build")
    assert (found["data directory"]["level"], str(key) in found["data directory"]["text"]) == ("bad", True)
    assert f"chmod 600 {key}" in found["data directory"]["cure"]
    assert (found["disk"]["level"], "less than image_cache_size" in found["disk"]["text"]) == ("odd", True)


@pytest.mark.peer
def test_a_clock_that_is_years_off(tmp_path: Path) -> None:
    assert FAKETIME is not None, "libfaketime is missing; './ingot check' installs it"
    words = ingot_argv("doctor", "--json", "--data-dir", str(tmp_path), "--set", f"port={program.free_port()}")
    moved = {**environment(), "LD_PRELOAD": str(FAKETIME), "FAKETIME": "@2021-01-01 00:00:00"}
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False, env=moved)
    one = findings(done.stdout)["clock"]
    assert (done.returncode, one["level"]) == (1, "bad"), done.stderr
    assert "it says 20" in one["text"]
    assert "which cannot be" in one["text"]
    assert "chrony" in one["cure"]
