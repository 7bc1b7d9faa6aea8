"""Partition images for tests: a root file system with a kernel, an initial ramdisk, a menu, and what makes it start.

``loader``: "bios" has GRUB's own installer inside, "uefi" the loader files, "uefi-grub" the installer for UEFI.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingot_rack import osimage_disk

UUID = "11111111-2222-3333-4444-555555555555"
_MENU = """set timeout=0
linux /boot/vmlinuz console=ttyS0 root=UUID=@UUID@ quiet
initrd /boot/initrd
boot
"""
_FEATURES = "^metadata_csum_seed,^orphan_file"
_TARGETS = {"bios": "i386-pc", "uefi-grub": "x86_64-efi"}


@dataclass(frozen=True)
class Parts:
    """What the image starts."""

    kernel: Path
    initrd: Path


def run(command: list[str], **more: Any) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, **more).stdout


def make(folder: Path, parts: Parts, loader: str) -> Path:
    """Write the image, 160 MiB of ext4, below ``folder``."""
    tree = folder / "tree"
    (tree / "boot/grub").mkdir(parents=True)
    (tree / "etc").mkdir()
    shutil.copy(parts.kernel, tree / "boot/vmlinuz")
    shutil.copy(parts.initrd, tree / "boot/initrd")
    (tree / "boot/grub/grub.cfg").write_text(_MENU.replace("@UUID@", UUID))
    if loader in _TARGETS:
        _add_grub(tree, folder, _TARGETS[loader])
    else:
        (tree / "boot/efi/EFI/BOOT").mkdir(parents=True)
        osimage_disk.make_efi_loader(tree / "boot/efi/EFI/BOOT/BOOTX64.EFI", UUID, "/boot/grub/grub.cfg")
        (tree / "boot/efi/EFI/BOOT/BOOTX64.cfg").unlink()
    path = folder / "root.img"
    run(["mke2fs", "-q", "-F", "-t", "ext4", "-O", _FEATURES, "-U", UUID, "-d", str(tree), str(path), "160m"])
    return path


def _add_grub(tree: Path, folder: Path, target: str) -> None:
    """GRUB's installer (and mdadm, which it asks about arrays) from the distribution's packages, with their libraries
    and the host's modules."""
    for package in ("grub2-common", "mdadm"):
        run(["apt-get", "download", package], cwd=folder)
        run(["dpkg", "-x", str(next(folder.glob(f"{package}_*.deb"))), str(tree)])
    shutil.copytree(f"/usr/lib/grub/{target}", tree / "usr/lib/grub" / target, dirs_exist_ok=True)
    for program in ("grub-install", "grub-mkconfig"):
        (tree / "usr/bin" / program).unlink(missing_ok=True)
    (tree / "usr/sbin/grub-mkconfig").unlink(missing_ok=True)  # the image brings its menu
    for name in ("bin", "lib64", "lib"):
        (tree / name).mkdir(exist_ok=True)
    shutil.copy(str(shutil.which("busybox")), tree / "bin/sh")
    installed = [tree / name for name in ("usr/sbin/grub-install", "usr/sbin/mdadm", "sbin/mdadm")]
    listed = "".join(run(["ldd", str(one)]) for one in installed if one.exists())
    for library in re.findall(r"(/\S+) \(0x", listed):
        place = tree / library.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, place)
