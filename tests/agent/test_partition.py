"""Partition images: the table, the file systems around the image, and what other tools say of them."""

from __future__ import annotations

import base64
import gzip
import hashlib
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from agent import machines, peers
from ingot_agent import blockdev, commands, errors, image, layout, partition, settings

MIB = 1 << 20
DISK = 560 * MIB
NODE = {"properties": {"root_device": {"serial": "D"}}}
DRIVE = b"config drive " * 10_000


def root_image(folder: Path, kind: str = "ext4") -> bytes:
    """A root file system of 48 MiB with a file in it."""
    tree, path = folder / "tree", folder / "root.img"
    tree.mkdir(exist_ok=True)
    (tree / "hello").write_text("from the image\n")
    command = ["mke2fs", "-q", "-F", "-t", kind, "-U", "11111111-2222-3333-4444-555555555555", "-d", str(tree)]
    subprocess.run([*command, str(path), "48m"], check=True, capture_output=True)
    return path.read_bytes()


def info(images: peers.Images, body: bytes, **more: Any) -> dict[str, Any]:
    chunks = peers.chunk_map(body)
    images.files |= {"/i.raw": body, "/i.map": chunks}
    wanted: dict[str, Any] = {"urls": [images.url("/i.raw")], "disk_format": "raw", "image_type": "partition"}
    wanted |= {"ingot_chunks": {"url": images.url("/i.map"), "digest": peers.digest(chunks)}}
    return {**wanted, "root_mb": 100, "swap_mb": 64, "ephemeral_mb": 128, **more}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "machine"


def deploy(folder: Path, body: bytes, *, uefi: bool = False, drive: bool = True, **more: Any) -> Path:
    """Have the step written on a machine whose disk is full of old data; the disk."""
    roots = machines.make(folder, uefi=uefi) if not folder.exists() else settings.Roots(
        *(str(folder / name) for name in ("sys", "proc", "dev", "run"))
    )  # fmt: skip
    disk = Path(roots.dev) / "sda"
    if not disk.exists():
        machines.add_disk(roots, "sda", DISK, serial="D")
        with disk.open("r+b") as file:
            for at in range(0, DISK, 8 * MIB):
                os.pwrite(file.fileno(), os.urandom(MIB), at)
    text = base64.b64encode(gzip.compress(DRIVE)).decode() if drive else ""
    with peers.Images({}) as images:
        order = image.order(info(images, body, **more), text)
        image.write(order, NODE, settings.Settings(http_timeout=5), roots, commands.Progress())
    return disk


def probe(disk: Path, part: layout.Part, work: Path) -> dict[str, str]:
    """What util-linux sees in a partition."""
    cut(disk, part, work)
    said = subprocess.run(["blkid", "-p", "-o", "export", str(work)], capture_output=True, text=True, check=True).stdout
    return dict(line.split("=", 1) for line in said.splitlines())


def cut(disk: Path, part: layout.Part, work: Path) -> Path:
    with disk.open("rb") as file:
        work.write_bytes(os.pread(file.fileno(), part.size, part.start))
    return work


def parts(disk: Path) -> dict[str, layout.Part]:
    with blockdev.opened(str(disk)) as device:
        return {one.name or str(one.part.number): one.part for one in partition.places(device)}


def test_uefi_gets_a_gpt_with_everything_in_it(tmp_path: Path, folder: Path) -> None:
    body = root_image(tmp_path)
    disk = deploy(folder, body, uefi=True)
    checked = subprocess.run(["sgdisk", "-v", "-p", str(disk)], capture_output=True, text=True, check=True).stdout
    assert "No problems found" in checked
    assert re.findall(r"^ +\d+ .*?([0-9A-F]{4})  (\S+)$", checked, re.MULTILINE) == [
        ("EF00", "esp"), ("8300", "ephemeral"), ("8200", "swap"), ("8300", "config-2"), ("8300", "root")
    ]  # fmt: skip
    found, work = parts(disk), tmp_path / "work"
    assert probe(disk, found["swap"], work) | {"TYPE": "swap", "LABEL": "swap1"} == probe(disk, found["swap"], work)
    fat = probe(disk, found["esp"], work)
    assert (fat["TYPE"], fat["VERSION"], fat["LABEL_FATBOOT"]) == ("vfat", "FAT32", "EFI-PART")
    fsck = subprocess.run(["fsck.vfat", "-n", str(work)], check=True, capture_output=True, text=True)
    assert "Warning" not in fsck.stdout + fsck.stderr, "firmware is less forgiving than Linux"
    subprocess.run(["mmd", "-i", str(work), "::EFI"], check=True)
    ext = probe(disk, found["ephemeral"], work)
    assert (ext["TYPE"], ext["LABEL"]) == ("ext4", "ephemeral0")
    subprocess.run(["e2fsck", "-fn", str(work)], check=True, capture_output=True)
    assert cut(disk, found["root"], work).read_bytes()[: len(body)] == body
    assert cut(disk, found["config-2"], work).read_bytes()[: len(DRIVE)] == DRIVE
    with blockdev.opened(str(disk)) as device:
        told = partition.uuids(device)
    assert told["root uuid"] == "11111111-2222-3333-4444-555555555555"
    assert told["efi system partition uuid"] == fat["UUID"]
    assert told["partitions"] == {
        "efi system partition": f"{disk}1", "ephemeral": f"{disk}2", "root": f"{disk}5"
    }  # fmt: skip


@pytest.mark.parametrize(("label", "kinds"), [("msdos", ["83", "82", "83", "83"]), ("gpt", ["bios"])])
def test_bios_gets_an_mbr_or_a_gpt_with_room_for_grub(
    tmp_path: Path, folder: Path, label: str, kinds: list[str]
) -> None:
    disk = deploy(folder, root_image(tmp_path), disk_label=label)
    listed = subprocess.run(["sfdisk", "-d", str(disk)], capture_output=True, text=True, check=True).stdout
    if label == "msdos":
        assert "label: dos" in listed
        assert re.findall(r"type=(\w+)", listed) == kinds
        assert "bootable" in listed.splitlines()[-1]
    else:
        assert "21686148-6449-6E6F-744E-656564454649" in listed
    assert listed.splitlines()[-1].split("size=")[1].split(",")[0].strip() == str(100 * MIB // 512)


def test_old_signatures_are_gone(tmp_path: Path, folder: Path) -> None:
    body = root_image(tmp_path)
    deploy(folder, body, uefi=True)
    disk = deploy(folder, body, uefi=True, disk_label="gpt", ephemeral_mb=0, swap_mb=0, drive=False)
    assert list(parts(disk)) == ["esp", "root"]
    (folder / "sys/firmware/efi").rename(folder / "sys/firmware/gone")
    disk = deploy(folder, body)
    seen = subprocess.run(["wipefs", "-p", str(disk)], capture_output=True, text=True, check=True).stdout
    assert [line.rpartition(",")[2] for line in seen.splitlines()] == ["dos"]
    assert disk.read_bytes()[-512:-504] != b"EFI PART"
    assert len(parts(disk)) == 4


def test_an_ephemeral_partition_is_preserved_to_the_byte(tmp_path: Path, folder: Path) -> None:
    disk = deploy(folder, root_image(tmp_path), uefi=True)
    before = parts(disk)["ephemeral"]
    with disk.open("r+b") as file:
        os.pwrite(file.fileno(), b"a tenant's data", before.start + before.size - 100)
    kept = hashlib.sha256(cut(disk, before, tmp_path / "work").read_bytes()).digest()
    deploy(folder, root_image(tmp_path, "ext3"), uefi=True, preserve_ephemeral=True, swap_mb=32, drive=False)
    after = parts(disk)
    assert after["ephemeral"] == before
    assert hashlib.sha256(cut(disk, before, tmp_path / "work").read_bytes()).digest() == kept
    assert after["swap"].size == 32 * MIB
    with pytest.raises(errors.ImageWriteError, match="cannot be preserved: the disk has none of 67108864 bytes"):
        deploy(folder, root_image(tmp_path), uefi=True, preserve_ephemeral=True, ephemeral_mb=64)
    assert hashlib.sha256(cut(disk, before, tmp_path / "work").read_bytes()).digest() == kept


def test_what_does_not_fit_is_refused_before_anything_is_written(tmp_path: Path, folder: Path) -> None:
    body = root_image(tmp_path)
    disk = deploy(folder, body)
    before = hashlib.sha256(disk.read_bytes()).digest()
    with pytest.raises(
        errors.ImageWriteError, match=r"need 1195 MiB \(ephemeral 128, swap 64, configdrive 1, root 1000\).*has 560"
    ):
        deploy(folder, body, root_mb=1000)
    assert hashlib.sha256(disk.read_bytes()).digest() == before
    with pytest.raises(errors.ImageWriteError, match=r"has 50331648 bytes and the partition at .* has 41943040"):
        deploy(folder, body, root_mb=40)


def test_an_image_that_is_no_file_system(folder: Path) -> None:
    with pytest.raises(errors.ImageWriteError, match="is no partition image"):
        deploy(folder, os.urandom(MIB))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"root_mb": 0}, "Send root_mb"),
        ({"root_mb": "many"}, "root_mb 'many'"),
        ({"swap_mb": -1}, "swap_mb -1"),
        ({"ephemeral_format": "zfs"}, "ephemeral format 'zfs'.*ext4"),
        ({"disk_label": "sun"}, "disk label 'sun'"),
    ],
)
def test_bad_wishes(tmp_path: Path, folder: Path, more: dict[str, Any], said: str) -> None:
    with pytest.raises(errors.InvalidCommandParams, match=said):
        deploy(folder, root_image(tmp_path), **more)
