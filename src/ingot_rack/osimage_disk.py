"""Puts together a bootable whole-disk image from a tree of files, without mounts or loop devices.

Why: the demo and the tests need disks that boot by BIOS and by UEFI, made by anyone who may run mmdebstrap.
May not: need a kernel feature, a device node, or know which operating system is inside.
Invariant: the disk is a valid GPT with a protective MBR, partition 1 holds GRUB's BIOS core, partition 2 is
the EFI system partition.

Sources: UEFI 2.10 section 5 (GPT); GRUB 2.06 ``boot.S`` and ``diskboot.S`` for the three patched places.
"""

from __future__ import annotations

import os
import struct
import subprocess
import uuid
import zlib
from dataclasses import dataclass
from pathlib import Path

SECTOR = 512
MIB = 1024 * 1024
_TYPE_BIOS_BOOT = uuid.UUID("21686148-6449-6e6f-744e-656564454649")
_TYPE_ESP = uuid.UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
_TYPE_ROOT_X86_64 = uuid.UUID("4f68bce3-e8cd-4db1-96e7-fbcaf984b709")
_BIOS_CORE_START = 2048
_BIOS_CORE_SECTORS = 2048
_GPT_ENTRIES = 128
_GPT_ENTRY_SIZE = 128
_GRUB_LIB = Path("/usr/lib/grub")
_MODULES = ("part_gpt", "fat", "ext2", "normal", "configfile", "linux", "search_fs_uuid", "echo", "serial")
_EFI_MODULES = ("efi_gop", *_MODULES)  # the kernel draws on the screen that GRUB hands on
_BIOS_MODULES = ("biosdisk", *_MODULES)


class DiskError(Exception):
    """A disk image could not be put together."""


@dataclass(frozen=True)
class Partition:
    """One GPT partition: ``start`` and ``sectors`` in units of 512 bytes."""

    kind: uuid.UUID
    name: str
    start: int
    sectors: int
    unique: uuid.UUID


@dataclass(frozen=True)
class DiskPlan:
    """What goes on the disk: an ESP image, an optional root file system, and where GRUB finds its menu.

    ``menu_fs_uuid`` is the file system UUID (as GRUB prints it) that holds ``menu_path``.
    """

    esp: Path
    root: Path | None
    menu_fs_uuid: str
    menu_path: str
    disk_uuid: uuid.UUID


def run(arguments: list[str], *, text: str = "") -> None:
    """Run a program to its end; a failure becomes one sentence with the last lines it printed."""
    done = subprocess.run(
        arguments, input=text, capture_output=True, text=True, check=False, env=os.environ | {"LC_ALL": "C"}
    )
    if done.returncode:
        tail = " | ".join((done.stderr or done.stdout).strip().splitlines()[-4:])
        raise DiskError(f"{arguments[0]} failed with exit code {done.returncode}: {tail}")


def make_fat(path: Path, size: int, serial: str, files: dict[str, Path]) -> None:
    """Create a FAT file system of ``size`` bytes at ``path`` holding ``files`` (name in the image -> source).

    ``serial`` is the volume id as eight hex digits; GRUB shows it as XXXX-XXXX.
    """
    with path.open("wb") as disk:
        disk.truncate(size)
    run(["mkfs.vfat", "-i", serial, "-n", "ESP", str(path)])
    folders: set[str] = set()
    for name, source in files.items():
        for depth in range(1, name.count("/") + 1):
            folder = "/".join(name.split("/")[:depth])
            if folder not in folders:
                folders.add(folder)
                run(["mmd", "-i", str(path), f"::{folder}"])
        run(["mcopy", "-i", str(path), str(source), f"::{name}"])


def make_ext4(path: Path, size: int, fs_uuid: uuid.UUID, tree: Path) -> None:
    """Create an ext4 file system of ``size`` bytes at ``path`` from ``tree`` (owners and modes kept)."""
    with path.open("wb") as disk:
        disk.truncate(size)
    # GRUB 2.06 reads neither of the two features that newer mke2fs turns on by itself.
    features = "^metadata_csum_seed,^orphan_file"
    tuning = ["-m", "1", "-O", features, "-J", "size=16", "-L", "root", "-U", str(fs_uuid)]
    run(["mkfs.ext4", "-q", "-F", *tuning, "-d", str(tree), str(path)])


def make_efi_loader(path: Path, fs_uuid: str, menu_path: str) -> None:
    """Write the stand-alone GRUB for UEFI that opens ``menu_path`` on the file system ``fs_uuid``."""
    early = path.with_suffix(".cfg")
    early.write_text(_early_config(fs_uuid, menu_path))
    run(["grub-mkimage", "-O", "x86_64-efi", "-o", str(path), "-c", str(early), "-p", "/grub", *_EFI_MODULES])


def assemble(output: Path, plan: DiskPlan, work: Path) -> list[Partition]:
    """Write the whole raw disk (sparse) to ``output``; return its partitions."""
    partitions = _layout(plan)
    last = partitions[-1]
    total = last.start + last.sectors + 2048
    with output.open("wb") as disk:
        disk.truncate(total * SECTOR)
        _write_gpt(disk.fileno(), total, partitions, plan.disk_uuid)
        _copy_sparse(plan.esp, disk.fileno(), partitions[1].start * SECTOR)
        if plan.root is not None:
            _copy_sparse(plan.root, disk.fileno(), partitions[2].start * SECTOR)
        _write_bios_loader(disk.fileno(), plan, work)
    return partitions


def _early_config(fs_uuid: str, menu_path: str) -> str:
    return f"search.fs_uuid {fs_uuid} root\nset prefix=($root)/grub\nconfigfile ($root){menu_path}\n"


def _layout(plan: DiskPlan) -> list[Partition]:
    def made(kind: uuid.UUID, name: str, start: int, size: int) -> Partition:
        return Partition(kind, name, start, -(-size // SECTOR), uuid.uuid5(plan.disk_uuid, name))

    core = made(_TYPE_BIOS_BOOT, "bios", _BIOS_CORE_START, _BIOS_CORE_SECTORS * SECTOR)
    esp = made(_TYPE_ESP, "esp", core.start + core.sectors, plan.esp.stat().st_size)
    if plan.root is None:
        return [core, esp]
    start = -(-(esp.start + esp.sectors) // 2048) * 2048
    return [core, esp, made(_TYPE_ROOT_X86_64, "root", start, plan.root.stat().st_size)]


def _write_gpt(fd: int, total: int, partitions: list[Partition], disk_uuid: uuid.UUID) -> None:
    table = b"".join(_gpt_entry(part) for part in partitions).ljust(_GPT_ENTRIES * _GPT_ENTRY_SIZE, b"\0")
    mbr_entry = struct.pack("<B3sB3sII", 0, b"\0\2\0", 0xEE, b"\xff\xff\xff", 1, min(total - 1, 0xFFFFFFFF))
    os.pwrite(fd, mbr_entry.ljust(64, b"\0") + b"\x55\xaa", 446)
    os.pwrite(fd, _gpt_header(1, total - 1, 2, disk_uuid, table), SECTOR)
    os.pwrite(fd, table, 2 * SECTOR)
    os.pwrite(fd, table, (total - 33) * SECTOR)
    os.pwrite(fd, _gpt_header(total - 1, 1, total - 33, disk_uuid, table), (total - 1) * SECTOR)


def _gpt_entry(part: Partition) -> bytes:
    ends = (part.start, part.start + part.sectors - 1, 0)
    name = part.name.encode("utf-16-le")
    return part.kind.bytes_le + part.unique.bytes_le + struct.pack("<QQQ72s", *ends, name)


def _gpt_header(own: int, other: int, table_at: int, disk_uuid: uuid.UUID, table: bytes) -> bytes:
    total = max(own, other) + 1

    def packed(checksum: int) -> bytes:
        head = struct.pack("<8sIIIIQQQQ", b"EFI PART", 0x10000, 92, checksum, 0, own, other, 34, total - 34)
        tail = struct.pack("<QIII", table_at, _GPT_ENTRIES, _GPT_ENTRY_SIZE, zlib.crc32(table))
        return head + disk_uuid.bytes_le + tail

    return packed(zlib.crc32(packed(0)))


def _write_bios_loader(fd: int, plan: DiskPlan, work: Path) -> None:
    early = work / "bios.cfg"
    early.write_text(_early_config(plan.menu_fs_uuid, plan.menu_path))
    core_path = work / "core.img"
    where = ["-o", str(core_path), "-c", str(early), "-p", "/grub"]
    run(["grub-mkimage", "-O", "i386-pc", *where, *_BIOS_MODULES])
    core = bytearray(core_path.read_bytes())
    sectors = -(-len(core) // SECTOR)
    if sectors > _BIOS_CORE_SECTORS:
        raise DiskError(f"GRUB's BIOS core has {sectors} sectors, more than the {_BIOS_CORE_SECTORS} reserved.")
    # The block list sits at the end of the core's first sector: where the rest is, how long, and to which segment.
    struct.pack_into("<QHH", core, 0x1F4, _BIOS_CORE_START + 1, sectors - 1, 0x820)
    boot = bytearray((_GRUB_LIB / "i386-pc" / "boot.img").read_bytes()[:446])
    struct.pack_into("<Q", boot, 0x5C, _BIOS_CORE_START)
    boot[0x66:0x68] = b"\x90\x90"  # do not force the floppy drive check
    os.pwrite(fd, bytes(boot[:440]), 0)
    os.pwrite(fd, bytes(core), _BIOS_CORE_START * SECTOR)


def _copy_sparse(source: Path, fd: int, offset: int) -> None:
    with source.open("rb") as data:
        position, size = 0, source.stat().st_size
        while position < size:
            try:
                position = os.lseek(data.fileno(), position, os.SEEK_DATA)
            except OSError:  # ENXIO: only a hole is left
                return
            end = os.lseek(data.fileno(), position, os.SEEK_HOLE)
            while position < end:
                block = os.pread(data.fileno(), min(MIB, end - position), position)
                os.pwrite(fd, block, offset + position)
                position += len(block)
