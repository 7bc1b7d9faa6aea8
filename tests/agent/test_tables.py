"""Partition tables and config drives on files, checked by sgdisk, sfdisk and blkid."""

from __future__ import annotations

import base64
import dataclasses
import gzip
import os
import subprocess
from pathlib import Path

import pytest

from agent.test_hints import SMALL
from ingot_agent import blockdev, commands, configdrive, erase, errors, gpt, mbr

MIB = 1 << 20
GIB = 1 << 30


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def gpt_image(path: Path, size: int = 64 * MIB) -> None:
    with path.open("wb") as file:
        file.truncate(size)
    run(
        "sgdisk",
        "-n",
        "1:2048:+8M",
        "-t",
        "1:ef00",
        "-c",
        "1:esp",
        "-n",
        "2:0:0",
        "-t",
        "2:8300",
        "-c",
        "2:root",
        str(path),
    )


def grow(path: Path, size: int) -> None:
    with path.open("r+b") as file:
        file.truncate(size)


def iso(tmp_path: Path) -> bytes:
    """A small file system labelled config-2."""
    file = tmp_path / "drive.img"
    with file.open("wb") as out:
        out.truncate(2 * MIB)
    run("mkfs.vfat", "-n", "config-2", str(file))
    return file.read_bytes()


def packed(plain: bytes) -> str:
    return base64.b64encode(gzip.compress(plain)).decode()


def test_backup_moves_to_the_end_of_a_larger_disk(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    gpt_image(disk)
    grow(disk, GIB)
    with blockdev.opened(str(disk)) as device:
        table = gpt.find(device)
        assert table is not None
        gpt.write(device, gpt.fit(table, device.size))
    assert "No problems found" in run("sgdisk", "-v", str(disk))
    listing = run("sgdisk", "-p", str(disk))
    assert "last usable sector is 2097118" in listing
    assert "esp" in listing
    assert "root" in listing
    run("sfdisk", "--verify", str(disk))


def test_image_reaching_beyond_the_disk_is_refused(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    gpt_image(disk)
    with blockdev.opened(str(disk)) as device:
        table = gpt.find(device)
        assert table is not None
        with pytest.raises(errors.ImageWriteError, match="Partition 2 of the image ends beyond the disk"):
            gpt.fit(table, 32 * MIB)


def test_damaged_table_is_not_a_table(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    gpt_image(disk)
    with disk.open("r+b") as file:
        file.seek(1024 + 16)
        file.write(b"\xff")
    with blockdev.opened(str(disk)) as device:
        assert gpt.find(device) is None


@pytest.mark.parametrize("again", [False, True])
def test_config_drive_on_gpt(tmp_path: Path, again: bool) -> None:
    disk = tmp_path / "disk"
    gpt_image(disk)
    grow(disk, GIB)
    plain = iso(tmp_path)
    with blockdev.opened(str(disk)) as device:
        for _ in range(2 if again else 1):
            configdrive.write(device, configdrive.decode(packed(plain), 5, False))
        table = gpt.find(device)
        assert table is not None
        assert [one.name for one in table.partitions] == ["esp", "root", "config-2"]
        place = table.partitions[2]
        assert device.read(place.first * 512, len(plain)) == plain
    assert "No problems found" in run("sgdisk", "-v", str(disk))
    run("sfdisk", "--verify", str(disk))
    labels = run("blkid", "-p", "-O", str(place.first * 512), "-o", "export", str(disk))
    assert "LABEL=config-2" in labels or "LABEL=CONFIG-2" in labels.upper()
    assert "Linux filesystem" in run("sfdisk", "-l", str(disk))


def test_config_drive_on_mbr(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with disk.open("wb") as file:
        file.truncate(GIB)
    subprocess.run(["sfdisk", "-q", str(disk)], input="label: dos\nsize=32M,type=83,bootable\n", text=True, check=True)
    plain = iso(tmp_path)
    with blockdev.opened(str(disk)) as device:
        configdrive.write(device, plain)
        configdrive.write(device, plain)
        found = mbr.find(device)
        assert found is not None
        assert len(found) == 2
        assert device.read(found[1].first * 512, len(plain)) == plain
    run("sfdisk", "--verify", str(disk))


def test_no_room_is_a_sentence(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    gpt_image(disk)
    with blockdev.opened(str(disk)) as device, pytest.raises(errors.ImageWriteError, match="no room for the config-2"):
        configdrive.write(device, iso(tmp_path))
    empty = tmp_path / "empty"
    with empty.open("wb") as file:
        file.truncate(MIB)
    with blockdev.opened(str(empty)) as device, pytest.raises(errors.ImageWriteError, match="no partition table"):
        configdrive.write(device, b"x")


@pytest.mark.parametrize(("text", "word"), [("***", "base64|gzip"), (base64.b64encode(b"plain").decode(), "gzip")])
def test_bad_config_drives(text: str, word: str) -> None:
    with pytest.raises(errors.InvalidCommandParams, match=word):
        configdrive.decode(text, 5, False)


def test_huge_config_drive_is_refused() -> None:
    with pytest.raises(errors.InvalidCommandParams, match="larger than"):
        configdrive.decode(packed(bytes(configdrive.LIMIT + 1)), 5, False)


def test_metadata_erase_clears_tables_and_signatures(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    gpt_image(disk, 256 * MIB)
    with blockdev.opened(str(disk)) as device:
        table = gpt.find(device)
        assert table is not None
        root = table.partitions[1].first * 512
    with disk.open("r+b") as file:
        file.seek(root)
        file.write(os.urandom(4096))
        file.seek(100 * MIB)
        file.write(b"user data stays")
    erase.metadata(dataclasses.replace(SMALL, name=str(disk)))
    with disk.open("rb") as file:
        assert not any(file.read(2 * MIB))
        file.seek(root)
        assert not any(file.read(4096))
        file.seek(100 * MIB)
        assert file.read(15) == b"user data stays"
        file.seek(-2 * MIB, os.SEEK_END)
        assert not any(file.read())


def test_full_erase_leaves_nothing(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(os.urandom(9 * MIB + 512))
    group = erase.Group((dataclasses.replace(SMALL, name=str(disk)),))
    assert "zeros" in erase.everything(group, erase.Wishes(), commands.Progress())[str(disk)]
    assert not any(disk.read_bytes())
