"""LLDP heard live: a real lldpd at the other end of a cable in a network namespace of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import programs

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(os.geteuid() != 0, reason="a network namespace needs root"),
]
SWITCH = "52:54:00:0b:0b:0b"
# mute has a link and hears nothing; down has none.
SCRIPT = """set -e
mount -t sysfs sys /sys
mount -t tmpfs run /run && mkdir -p /run/lldpd
ip link add eth0 type veth peer name port1
ip link set port1 address {switch}
ip link add mute type veth peer name port2
ip link add down type veth peer name port3
for one in eth0 port1 mute port2; do ip link set $one up; done
"$2" -c 'import json
from ingot_agent import lldp, settings
roots = settings.Roots()
print(json.dumps({**lldp.collect(["eth0", "down"], 40.0, roots), **lldp.collect(["mute", "down"], 1.0, roots)}))' &
listener=$!
sleep 2  # it speaks at its start and then every half minute
"$1" -d -I port1 -C port1 -S "a switch of the test" >/dev/null 2>&1 &
wait $listener
kill $!
"""


def test_what_a_switch_tells(tmp_path: Path) -> None:
    script = SCRIPT.replace("{switch}", SWITCH)
    words = ["unshare", "--net", "--mount", "sh", "-c", script, "sh", programs.system("lldpd"), sys.executable]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    heard = json.loads(done.stdout)
    assert set(heard) == {"eth0"}
    told = {kind: bytes.fromhex(value) for kind, value in heard["eth0"]}
    assert told[1] == b"\4" + bytes.fromhex(SWITCH.replace(":", "")), "the chassis, by its MAC address"
    assert told[2][1:] in (b"port1", bytes.fromhex(SWITCH.replace(":", ""))), "the port"
    assert int.from_bytes(told[3], "big") > 0, "how long that holds"
    assert told[6] == b"a switch of the test"
    assert heard["eth0"][-1] == [0, ""]
