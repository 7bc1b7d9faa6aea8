"""What the agent knows of disks, RAID, firmware and switches, by recorded or self-made bytes, and burn-in for real."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from agent import machines, peers
from agent.test_hints import SMALL
from ingot_agent import (
    blockdev,
    burnin,
    burnin_network,
    commands,
    disks,
    errors,
    gpt,
    lldp,
    machine,
    nics,
    partitioning,
    passwords,
    raid,
    raidplan,
    settings,
    smbios,
)

MIB, GIB = 1 << 20, 1 << 30
GO = commands.Progress()


def test_disks_that_may_not_be_written_say_why(tmp_path: Path) -> None:
    roots = machines.make(tmp_path / "m")
    machines.add_disk(roots, "sda", 5 * GIB, ro="1")
    machines.add_disk(roots, "sdb", 6 * GIB, sdb1__holders__md0="")
    machines.add_disk(roots, "nvme0c0n1", 6 * GIB)
    found = disks.find_all(roots)
    assert [disk.barred for disk in found] == ["read-only", f"part of {roots.dev}/md0"]
    assert disks.usable(found) == []
    assert "barred" not in found[0].as_dict()


_TWO = [dataclasses.replace(SMALL, name=f"/dev/sd{letter}", size=20 * GIB) for letter in "ab"]


def _config(*logical: dict[str, Any]) -> dict[str, Any]:
    return {
        "logical_disks": [{"controller": "software", "raid_level": "1", "size_gb": "MAX", **one} for one in logical]
    }


@pytest.mark.parametrize(
    ("config", "word"),
    [
        ({}, "no logical_disks"),
        (_config({"controller": "hw"}), '"controller": "software"'),
        (_config({"raid_level": "0"}), "must be RAID 1"),
        (_config({}, {}), "only one logical disk may have the size MAX"),
        (_config({"size_gb": 5}, {"raid_level": "7"}), "no level 7"),
        (_config({"size_gb": 5}, {"raid_level": "5"}), "RAID 5 needs 3 disks and there are 2"),
        (_config({"size_gb": 50}), "has 20469 MiB left for a logical disk of 50 GiB|MiB left"),
        (_config({"size_gb": 1}, {"size_gb": 1}, {}), "one or two"),
        (_config({"physical_disks": [{"name": "/dev/sda"}]}), "at least two"),
        (_config({"physical_disks": [{"name": "/dev/sda"}, {"size": 9}]}), "No disk is left that fits"),
    ],
)
def test_bad_raid_configurations(config: dict[str, Any], word: str) -> None:
    with pytest.raises(errors.SoftwareRAIDError, match=word):
        raidplan.make(config, _TWO, uefi=False)


def test_raid_partitions_lie_one_after_the_other() -> None:
    both = _config({"size_gb": "MAX", "volume_name": "data", "raid_level": "1"}, {"size_gb": 5, "volume_name": "root"})
    root, data = raidplan.make(both, _TWO, uefi=True)
    assert (root.name, data.name) == ("root", "data")  # the one with a size comes first
    assert [(start, length) for _, start, length in root.parts] == [(551 * MIB, 5 * GIB)] * 2
    assert data.parts[0][1] == 551 * MIB + 5 * GIB
    hinted = _config({"size_gb": 3, "physical_disks": [{"name": "/dev/sdb"}, {"name": "/dev/sda"}]})
    assert [disk.name for disk, _, _ in raidplan.make(hinted, _TWO, uefi=False)[0].parts] == ["/dev/sdb", "/dev/sda"]


def test_new_partition_table_pleases_sgdisk(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    with path.open("wb") as file:
        file.truncate(GIB)
    with blockdev.opened(str(path)) as device:
        table = partitioning.add(partitioning.empty(GIB, 512), MIB, 100 * MIB, gpt.ESP, "esp")
        table = partitioning.add(table, 101 * MIB, 500 * MIB, gpt.LINUX, "root")
        partitioning.create(device, table)
        assert gpt.find(device) == table
    done = subprocess.run(["sgdisk", "-v", str(path)], capture_output=True, text=True, check=True)
    assert "No problems found" in done.stdout


@pytest.mark.parametrize("label", ["gpt", "dos"])
def test_a_disk_with_partitions_of_either_kind_is_not_taken_for_an_array(tmp_path: Path, label: str) -> None:
    roots = machines.make(tmp_path / "m")
    machines.add_disk(roots, "sda", 20 * GIB)
    held = machines.add_disk(roots, "sdb", 20 * GIB)
    subprocess.run(["sfdisk", "-q", str(held)], input=f"label: {label}\n,1G\n", text=True, check=True)
    before = _head(held)
    with pytest.raises(errors.SoftwareRAIDError, match=f"There are partitions on {held}"):
        raid.create({}, _config({}), roots, GO)
    assert _head(held) == before


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MIB)


def test_burnin_of_processor_and_memory(tmp_path: Path) -> None:
    kept = tmp_path / "result"
    node = {"driver_info": {"agent_burnin_cpu_timeout": 0.3, "agent_burnin_cpu_cpu": 2}}
    node["driver_info"]["agent_burnin_cpu_outputfile"] = str(kept)
    result = burnin.cpu(node, GO)
    assert result["workers"] == 2
    assert result["rounds"] >= 2
    assert '"rounds"' in kept.read_text()
    node = {"driver_info": {"agent_burnin_vm_timeout": 0.2, "agent_burnin_vm_vm": 2, "agent_burnin_vm_vm-bytes": "8M"}}
    assert burnin.memory(node, settings.Roots(), GO)["bytes"] == 8 * MIB
    with pytest.raises(errors.CleaningError, match="wants a number"):
        burnin.cpu({"driver_info": {"agent_burnin_cpu_timeout": "long"}}, GO)


def test_burnin_finds_wrong_answers_and_dead_workers() -> None:
    with pytest.raises(errors.CleaningError, match="found 3 wrong answers"):
        burnin._judged([{"rounds": 1, "errors": 3}], "memory")  # pyright: ignore[reportPrivateUsage] - no broken memory here

    def dies(_: int) -> dict[str, Any]:
        os.kill(os.getpid(), 9)
        return {}

    with pytest.raises(errors.CleaningError, match="ended before its time: signal 9"):
        burnin._in_processes(1, dies)  # pyright: ignore[reportPrivateUsage] - as above


def test_burnin_workers_do_not_hold_what_the_agent_has_open() -> None:
    """An agent that ends meanwhile is started again, and listens on the same port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        os.set_inheritable(listener.fileno(), True)

        def work(_: int) -> dict[str, Any]:
            held = [one for one in Path("/proc/self/fd").iterdir() if int(one.name) > 2 and one.is_symlink()]
            return {"open": [str(one.readlink()) for one in held]}

        held = burnin._in_processes(2, work)  # pyright: ignore[reportPrivateUsage] - its workers, with other work
    assert [len(one["open"]) for one in held] == [1, 1], held
    assert all(one["open"][0].startswith("pipe:") for one in held), held


def test_burnin_does_not_leave_workers_behind_a_dead_one(tmp_path: Path) -> None:
    def work(number: int) -> dict[str, Any]:
        if number:
            (tmp_path / str(number)).write_text(str(os.getpid()))
            signal.pause()
        peers.wait_until(lambda: all((tmp_path / name).exists() for name in "12"), 20, "the others")
        raise RuntimeError("the first one")

    with pytest.raises(errors.CleaningError, match="the first one"):
        burnin._in_processes(3, work)  # pyright: ignore[reportPrivateUsage] - as above
    for name in "12":
        with pytest.raises(ProcessLookupError):
            os.kill(int((tmp_path / name).read_text()), 0)


def test_burnin_of_a_disk(tmp_path: Path) -> None:
    path = tmp_path / "sda"
    path.write_bytes(os.urandom(8 * MIB))
    one = dataclasses.replace(SMALL, name=str(path), size=8 * MIB)
    result = burnin.disk({"driver_info": {"agent_burnin_fio_disk_loops": 2}}, [one], GO)
    assert result["disks"][one.name]["bytes"] == 16 * MIB


def _network(role: str, port: int) -> dict[str, Any]:
    config = {"role": role, "partner": "127.0.0.1", "port": port}
    return {"driver_info": {"agent_burnin_fio_network_runtime": 0.3, "agent_burnin_fio_network_config": config}}


def test_burnin_of_the_network_goes_both_ways() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    results: dict[str, Any] = {}

    def run(role: str) -> None:
        results[role] = burnin_network.run(_network(role, port), commands.Progress())

    threads = [threading.Thread(target=run, args=(role,)) for role in ("writer", "reader")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert results["writer"]["writer"]["bytes"] == results["reader"]["reader"]["bytes"] > MIB
    assert results["writer"]["reader"]["bytes"] == results["reader"]["writer"]["bytes"] > MIB
    with pytest.raises(errors.CleaningError, match="agent_burnin_fio_network_config"):
        burnin_network.run({}, GO)


def test_an_ipv6_address_counts_once_it_is_usable(tmp_path: Path) -> None:
    roots = machines.make(tmp_path)
    table = tmp_path / "proc/net/if_inet6"
    table.parent.mkdir()
    local = "fe80000000000000505400fffeaabbcc 02 40 20 80     eth0\n"
    for flags, address in (("40", "fe80::5054:ff:feaa:bbcc"), ("80", "fd00:22:8::2a")):  # 40: looked for twice, still
        table.write_text(f"{local}fd00002200080000000000000000002a 02 80 00 {flags}     eth0\n")
        assert nics.ipv6("eth0", roots) == address


@pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")
def test_an_interface_that_is_switched_on_stays_otherwise_as_it_is() -> None:
    program = "from ingot_agent import nics, settings; nics.switch_on('cable', settings.Roots())"
    script = 'mount -t sysfs none /sys && ip link add cable type veth && "$0" -c "$1" && ip -j link show cable'
    command = ["unshare", "--net", "--mount", "sh", "-ec", script, sys.executable, program]
    shown = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=60).stdout
    assert {"UP", "MULTICAST", "BROADCAST"} <= set(json.loads(shown)[0]["flags"])


def test_a_partner_that_hangs_up_is_a_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]

    def call() -> None:
        with _connected(port) as partner:
            while partner.recv(MIB):
                pass

    thread = threading.Thread(target=call)
    thread.start()
    with pytest.raises(errors.CleaningError, match="broke off: the partner hung up"):
        burnin_network.run(_network("writer", port), commands.Progress())
    thread.join(20)


def _connected(port: int) -> socket.socket:
    found: list[socket.socket] = []

    def tried() -> bool:
        with contextlib.suppress(ConnectionRefusedError):
            found.append(socket.create_connection(("127.0.0.1", port), 20))
        return bool(found)

    peers.wait_until(tried, 20, "a listener")
    return found[0]


def test_lldp_frame() -> None:
    tlvs = b"\x02\x07\x04\x52\x54\x00\x00\x00\x01" + b"\x04\x03\x05e1" + b"\x06\x02\x00\x78" + b"\x00\x00"
    frame = bytes(12) + b"\x88\xcc" + tlvs + b"padding"
    assert lldp.parse(frame) == [[1, "04525400000001"], [2, "056531"], [3, "0078"], [0, ""]]
    assert lldp.parse(frame[:20]) == []


def _structure(kind: int, body: bytes, *texts: str) -> bytes:
    return bytes([kind, len(body) + 4, 0, 0]) + body + b"\0".join(text.encode() for text in texts) + b"\0\0"


def test_firmware_tables(tmp_path: Path) -> None:
    roots = machines.make(tmp_path / "m")
    folder = Path(roots.sys) / "firmware/dmi/tables"
    folder.mkdir(parents=True, exist_ok=True)
    bios = _structure(0, bytes([1, 2, 0, 0, 3]), "ACME", "1.2", "01/02/2024")
    empty = _structure(17, bytes(0x1C - 4))
    stick = bytearray(0x28 - 4)
    struct.pack_into("<H", stick, 0x0C - 4, 0x7FFF)
    struct.pack_into("<I", stick, 0x1C - 4, 65536)
    stick[0x10 - 4] = 1
    (folder / "DMI").write_bytes(bios + empty + _structure(17, bytes(stick), "DIMM_A1") + _structure(127, b""))
    told = smbios.describe(roots)
    assert told["bios"] == {"Vendor": "ACME", "Version": "1.2", "Release Date": "01/02/2024"}
    assert [one["Size"] for one in told["memory"]["devices"]] == ["No Module Installed", "65536 MB"]
    assert told["memory"]["devices"][1]["Locator"] == "DIMM_A1"


def test_a_tpm_and_its_version(tmp_path: Path) -> None:
    roots = machines.make(tmp_path / "m")
    assert machine.tpm(roots) == {"present": False, "version": None}
    chip = Path(roots.sys) / "class/tpm/tpm0"
    chip.mkdir(parents=True)
    assert machine.tpm(roots) == {"present": True, "version": None}, "an old kernel tells no version"
    (chip / "tpm_version_major").write_text("2\n")
    assert machine.tpm(roots) == {"present": True, "version": 2}


@pytest.mark.parametrize("password", ["a", "secret word", "ä" * 40])
def test_rescue_password_is_what_others_compute(password: str) -> None:
    own = passwords.hash_password(password.encode(), b"abcdefgh12345678")
    command = ["openssl", "passwd", "-6", "-salt", "abcdefgh12345678", "-stdin"]
    done = subprocess.run(command, input=password + "\n", capture_output=True, text=True, check=True)
    assert own == done.stdout.strip()
