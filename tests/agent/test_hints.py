from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ingot_agent import disks, errors, hints

GIB = 1 << 30
SMALL = disks.Disk(
    name="/dev/sda", model="QEMU HARDDISK", size=10 * GIB, rotational=True, wwn="0x5000c50015ea71aa", serial="SN1",
    vendor="ATA", wwn_with_extension="0x5000c50015ea71aa1234", wwn_vendor_extension="0x1234", hctl="0:0:0:0",
    by_path="/dev/disk/by-path/pci-0000:00:1f.2-ata-1", logical_sectors=512, physical_sectors=512, tran="sata",
)  # fmt: skip
LARGE = replace(SMALL, name="/dev/nvme0n1", model="Big NVMe", size=100 * GIB, rotational=False, serial="SN2", hctl=None)
TINY = replace(SMALL, name="/dev/sdb", size=GIB, serial="SN3")
ALL = [LARGE, SMALL, TINY]


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ({}, "/dev/sda"),
        ({"size": 100}, "/dev/nvme0n1"),
        ({"size": "== 10"}, "/dev/sda"),
        ({"size": ">= 11"}, "/dev/nvme0n1"),
        ({"size": "= 11"}, "/dev/nvme0n1"),
        ({"size": "> 10"}, "/dev/nvme0n1"),
        ({"size": "<= 10"}, "/dev/sdb"),
        ({"size": "< 10"}, "/dev/sdb"),
        ({"size": "!= 1"}, "/dev/sda"),
        ({"size": "<or> 100 <or> 200"}, "/dev/nvme0n1"),
        ({"model": "big nvme"}, "/dev/nvme0n1"),
        ({"model": "<in> nvme"}, "/dev/nvme0n1"),
        ({"model": "<all-in> big nvme"}, "/dev/nvme0n1"),
        ({"model": "<or> other <or> big nvme"}, "/dev/nvme0n1"),
        ({"model": "s!= 'qemu harddisk'"}, "/dev/nvme0n1"),
        ({"serial": "SN3"}, "/dev/sdb"),
        ({"serial": "s== sn2"}, "/dev/nvme0n1"),
        ({"serial": "s>= sn2", "size": "> 4"}, "/dev/nvme0n1"),
        ({"rotational": False}, "/dev/nvme0n1"),
        ({"rotational": "true", "size": "> 4"}, "/dev/sda"),
        ({"name": "/dev/nvme0n1"}, "/dev/nvme0n1"),
        ({"name": "s== /dev/sda"}, "/dev/sda"),
        ({"hctl": "0:0:0:0", "size": 10}, "/dev/sda"),
        ({"by_path": "/dev/disk/by-path/pci-0000:00:1f.2-ata-1", "size": 10}, "/dev/sda"),
        ({"wwn": "0x5000c50015ea71aa", "size": 10}, "/dev/sda"),
        ({"wwn_with_extension": "0x5000c50015ea71aa1234", "size": 10}, "/dev/sda"),
        ({"wwn_vendor_extension": "0x1234", "size": 100}, "/dev/nvme0n1"),
        ({"vendor": "ata", "rotational": 0}, "/dev/nvme0n1"),
    ],
)
def test_chooses(asked: dict[str, Any], name: str) -> None:
    assert hints.choose(ALL, asked).name == name


def test_no_match_names_every_disk() -> None:
    with pytest.raises(errors.DeviceNotFound, match=r"size=55.*nvme0n1 100.0 GiB.*sda 10.0 GiB.*Change the hints"):
        hints.choose(ALL, {"size": 55})


def test_without_hints_small_disks_do_not_count() -> None:
    with pytest.raises(errors.DeviceNotFound, match="at least 4 GiB"):
        hints.choose([TINY], {})
    with pytest.raises(errors.DeviceNotFound, match="none at all"):
        hints.choose([], {})


def test_skip_list() -> None:
    skipped = [disk.name for disk in hints.skipped(ALL, [{"name": "/dev/sda"}])]
    assert hints.choose(ALL, {}, skipped).name == "/dev/nvme0n1"
    with pytest.raises(errors.DeviceNotFound):
        hints.choose(ALL, {"name": "/dev/sda"}, [SMALL.name])


@pytest.mark.parametrize("asked", [{"colour": "red"}, {"size": "big"}, {"size": "> big"}])
def test_nonsense_is_refused(asked: dict[str, Any]) -> None:
    with pytest.raises(errors.InvalidCommandParams):
        hints.choose(ALL, asked)


def test_the_instance_hint_wins() -> None:
    node = {"properties": {"root_device": {"size": 1}, "skip_block_devices": [{"name": "/dev/sdb"}, "junk"]},
            "instance_info": {"root_device": {"size": 2}}}  # fmt: skip
    assert hints.of_node(node) == ({"size": 2}, [{"name": "/dev/sdb"}])
    assert hints.of_node({"properties": None}) == ({}, [])
