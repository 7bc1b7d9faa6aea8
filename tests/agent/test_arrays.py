"""Software RAID as its members' superblocks tell it: which disks an array lacks, and what a node keeps of all of it."""

from __future__ import annotations

import struct
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from agent import machines
from ingot_agent import arrays, commands, disks, errors, keeping, log, raid, rootdisk, settings, steps

MIB, GIB = 1 << 20, 1 << 30
PLACES = (4096, 0, 64 * MIB - 8192)
FAULTY = 0xFFFE


def superblock(
    name: str, number: int, roles: tuple[int, ...] = (0, 1), events: int = 5, place: int = PLACES[0]
) -> bytes:
    """By include/uapi/linux/raid/md_p.h, the fields that count; RAID 1. ``place``: its own, in bytes."""
    head = struct.pack(
        "<IIII16s32sQi", 0xA92B4EFC, 1, 0, 0, name.encode().ljust(16, b"u"), f"any:{name}".encode(), 0, 1
    )
    block = bytearray(head.ljust(256, b"\0"))
    struct.pack_into("<Q", block, 144, place // 512)
    struct.pack_into("<I", block, 160, number)
    struct.pack_into("<Q", block, 200, events)
    struct.pack_into("<I", block, 220, len(roles))
    return bytes(block) + struct.pack(f"<{len(roles)}H", *roles)


def add(roots: settings.Roots, disk: str, *blocks: bytes, place: int = 4096) -> None:
    """A disk with a partition for each superblock; its serial number is its name in capitals."""
    sizes = {f"{disk}{number}__size": str(64 * MIB // 512) for number in range(1, len(blocks) + 1)}
    for number, block in enumerate(blocks, 1):
        with (Path(roots.dev) / f"{disk}{number}").open("wb") as file:
            file.truncate(64 * MIB)
            file.seek(place)
            file.write(block)
    machines.add_disk(roots, disk, 5 * GIB, serial=disk.upper(), **sizes)


@pytest.fixture
def roots(tmp_path: Path) -> settings.Roots:
    return machines.make(tmp_path / "m")


@pytest.mark.parametrize("place", PLACES)
def test_superblocks_are_found(roots: settings.Roots, place: int) -> None:
    add(roots, "vda", superblock("md0", 1, place=place), place=place)
    part, disk = (f"{roots.dev}/{one}" for one in ("vda1", "vda"))
    assert arrays.members(roots) == [arrays.Member(part, disk, b"md0".ljust(16, b"u"), "md0", 1, 1, 5, (0, 1))]


def test_a_disk_that_is_a_member_as_a_whole_is_found_behind_its_partitions(roots: settings.Roots) -> None:
    """With the superblock at the end (1.0) a mirror's own partition table is seen on each of its disks."""
    end = 5 * GIB - 8192
    for number, disk in enumerate(("sda", "sdb")):
        add(roots, disk, bytes(4096))
        with (Path(roots.dev) / disk).open("r+b") as file:
            file.seek(end)
            file.write(superblock("md0", number, place=end))
    assert [(one.path, one.disk) for one in arrays.members(roots)] == [
        (f"{roots.dev}/{disk}",) * 2 for disk in ("sda", "sdb")
    ]
    assert arrays.lacking(arrays.members(roots)) == 0


def test_a_superblock_counts_for_the_device_it_was_made_for(roots: settings.Roots) -> None:
    """A partition that ends where its disk does has its superblock (1.0) where the disk's would be."""
    add(roots, "sda", superblock("md0", 0, place=PLACES[2]), place=PLACES[2])
    with (Path(roots.dev) / "sda").open("r+b") as file:
        file.seek(5 * GIB - 8192)
        file.write(superblock("md0", 0, place=PLACES[2]))
    assert [one.path for one in arrays.members(roots)] == [f"{roots.dev}/sda1"]


def test_what_an_array_lacks_is_told_by_its_newest_member(roots: settings.Roots) -> None:
    add(roots, "sda", superblock("md0", 0))
    assert arrays.lacking(arrays.members(roots)) == 1
    add(roots, "sdb", superblock("md0", 1))
    assert arrays.lacking(arrays.members(roots)) == 0
    add(roots, "sdc", superblock("md1", 0, (0, FAULTY), events=9))
    assert arrays.lacking(arrays.members(roots)[2:]) == 0, "it has run without the other, and knows"
    add(roots, "sdd", superblock("md1", 1, (0, 1), events=7))
    assert arrays.lacking(arrays.members(roots)[2:]) == 0


def test_an_array_waits_for_its_late_disk_while_the_machine_is_young(roots: settings.Roots) -> None:
    add(roots, "sda", superblock("md0", 0))
    Path(roots.proc, "uptime").write_text("5.0 1.0\n")
    comes = threading.Timer(1.0, add, (roots, "sdb", superblock("md0", 1)))
    comes.start()
    began = time.monotonic()
    found = rootdisk.all_disks(roots)
    comes.join()
    assert [disk.name for disk in found] == [f"{roots.dev}/sda", f"{roots.dev}/sdb"]
    assert 1 <= time.monotonic() - began < 5
    assert raid.assemble(roots, degraded=False, tried=set()) == []


def test_an_array_whose_disk_is_gone_does_not_hold_up_an_old_machine(roots: settings.Roots) -> None:
    add(roots, "sda", superblock("md0", 0))
    assert raid.assemble(roots, degraded=False, tried=set()) == ["md0"]
    began = time.monotonic()
    assert [disk.name for disk in rootdisk.all_disks(roots)] == [f"{roots.dev}/sda"]
    assert time.monotonic() - began < 2


def test_an_array_that_does_not_start_is_tried_once_and_again_with_another_member(roots: settings.Roots) -> None:
    """It cannot: its members are files."""
    tried: set[raid.Parts] = set()

    def told() -> int:
        return log.kept().count("the array stubborn does not start")

    add(roots, "sda", superblock("stubborn", 0, (0,)))
    before = told()
    for _ in range(3):
        rootdisk.all_disks(roots, tried)
    assert told() == before + 1
    add(roots, "sdb", superblock("stubborn", 1, (0, 1), events=6))
    for _ in range(3):
        rootdisk.all_disks(roots, tried)
    assert told() == before + 2


def node(*skipped: dict[str, Any]) -> dict[str, Any]:
    return {"properties": {"skip_block_devices": list(skipped)}}


@pytest.fixture
def machine(roots: settings.Roots) -> settings.Roots:
    """Arrays root and data on sda and sdb, logs on sdb and sdc, other on sdd and sde; a disk that is in none."""
    add(roots, "sda", superblock("root", 0), superblock("data", 0))
    add(roots, "sdb", superblock("root", 1), superblock("data", 1), superblock("logs", 0))
    add(roots, "sdc", superblock("logs", 1))
    add(roots, "sdd", superblock("other", 0))
    add(roots, "sde", superblock("other", 1))
    machines.add_disk(roots, "sdf", 6 * GIB)
    return roots


@pytest.mark.parametrize(
    ("entry", "kept", "whole", "emptied"),
    [
        ({"volume_name": "root"}, "sda sdb", "root", "data logs"),
        ({"volume_name": "other"}, "sdd sde", "other", ""),
        ({"volume_name": "any:other"}, "sdd sde", "other", ""),
        ({"volume_name": "unheard of"}, "", "", ""),
        ({"serial": "SDA"}, "sda sdb", "root data", "logs"),
        ({"serial": "SDE"}, "sdd sde", "other", ""),
        ({"name": "/dev/sdf"}, "sdf", "", ""),
    ],
)
def test_what_is_kept(machine: settings.Roots, entry: dict[str, Any], kept: str, whole: str, emptied: str) -> None:
    found = disks.find_all(machine)
    result = keeping.of_node(node(entry), found, machine)
    assert result.stuck == ({f"{machine.dev}/sdc": "logs"} if "logs" in emptied.split() else {})
    named = {one.array: one.name for one in arrays.members(machine)}
    assert [disk.name.rpartition("/")[2] for disk in result.disks] == kept.split()
    assert {named[one] for one in result.whole} == set(whole.split())
    assert {named[one] for one in result.emptied} == set(emptied.split())


def erase(machine: settings.Roots, wanted: dict[str, Any]) -> dict[str, str]:
    step = {"step": {"step": "erase_devices_metadata"}, "node": wanted}
    done = steps.Steps(settings.Settings(), machine).execute("clean", step, commands.Progress())
    return done["clean_result"]["disks"]


def test_an_array_beside_a_kept_one_that_does_not_run_loses_no_member(machine: settings.Roots) -> None:
    wanted, before = node({"volume_name": "root"}), arrays.members(machine)
    with pytest.raises(
        errors.BlockDeviceEraseError, match=r"/sdc \(array logs\)\. To erase them would break the array"
    ):
        erase(machine, wanted)
    assert arrays.members(machine) == before
    hinted = {"properties": {**wanted["properties"], "root_device": {"serial": "SDC"}}}
    with pytest.raises(errors.DeviceNotFound):
        rootdisk.find(hinted, machine)
    one = {"controller": "software", "raid_level": "0", "size_gb": "MAX", "physical_disks": [{"serial": "SDC"}] * 2}
    with pytest.raises(errors.SoftwareRAIDError):
        raid.create(wanted, {"logical_disks": [one]}, machine, commands.Progress())


def test_a_volume_that_is_kept_is_left_alone_by_erasing_and_is_no_root_disk(machine: settings.Roots) -> None:
    machines.add_disk(machine, "md1", 5 * GIB, slaves__sdb3="", slaves__sdc1="")
    wanted = node({"volume_name": "root"})
    done = erase(machine, wanted)
    assert {name.rpartition("/")[2]: how for name, how in done.items() if "left alone" in how} == {
        "sda": "left alone: in skip_block_devices", "sdb": "left alone: in skip_block_devices",
    }  # fmt: skip
    hinted = {"properties": {**wanted["properties"], "root_device": {"serial": "SDA"}}}
    with pytest.raises(errors.DeviceNotFound):
        rootdisk.find(hinted, machine)


@pytest.mark.parametrize("entry", [{"volume_name": "other"}, {"serial": "SDD"}])
def test_a_kept_array_is_not_deleted(machine: settings.Roots, entry: dict[str, Any]) -> None:
    told = raid.delete(node(entry, {"volume_name": "root"}), machine, commands.Progress())
    idle = "kept data, logs, not running and so not wiped: on the same disks as those"
    assert told == f"left alone other, root: in skip_block_devices; {idle}"
    assert len(arrays.members(machine)) == 8
    told = raid.delete(node(entry), machine, commands.Progress())
    assert told.startswith("removed the arrays data, logs, root from ")
    assert told.endswith("; left alone other: in skip_block_devices")
    assert {one.name for one in arrays.members(machine)} == {"other"}


def test_an_array_beside_a_kept_one_is_wiped_where_it_runs(machine: settings.Roots) -> None:
    device = machines.add_disk(machine, "md0", 5 * GIB, slaves__sda2="", slaves__sdb2="")
    with device.open("r+b") as file:
        file.write(b"secret")
    kept = node({"volume_name": "root"}, {"volume_name": "other"})
    before = arrays.members(machine)
    told = raid.delete(kept, machine, commands.Progress())
    assert "; kept data, wiped: on the same disks as those; kept logs, not running and so not wiped: on " in told
    with device.open("rb") as file:
        assert file.read(6) == bytes(6)
    assert arrays.members(machine) == before


def test_a_kept_volume_is_not_made_again(machine: settings.Roots) -> None:
    one = {"controller": "software", "raid_level": "1", "size_gb": "MAX", "volume_name": "other"}
    before = arrays.members(machine)
    raid.create(node({"volume_name": "other"}), {"logical_disks": [one]}, machine, commands.Progress())
    assert arrays.members(machine) == before
