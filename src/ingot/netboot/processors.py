"""Which ramdisk suits a machine's processor: the one in the ramdisk's folder, or one for ARM64 in ``arm64`` below it.

Why: a machine that boots says itself what it is (iPXE's ``${buildarch}``, GRUB's ``$grub_cpu``), so that its node need
not know; a boot image, which is made before, goes by the node's ``cpu_arch``. May not: know a node.
Invariant: a folder without the two files is never chosen over one that has them.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from ingot.domain import errors, typed
from ingot.netboot.ramdisk import FILES

ARM64 = "arm64"
"""As iPXE and GRUB call it, and Debian."""
_CPU_ARCH = ("aarch64", "arm64")
_X86 = ("x86_64", "amd64", "x86", "i686")


class Manifest(msgspec.Struct):
    """What is read of the file that ``ingot ramdisk build`` puts beside kernel and initrd."""

    variant: str = ""
    architecture: str = ""


def is_arm64(cpu_arch: object) -> bool:
    """Whether a node's property ``cpu_arch`` names such a machine."""
    return cpu_arch in _CPU_ARCH


def folder(ramdisk: Path, *, arm64: bool) -> Path:
    """Where the ramdisk for such a machine is: one for ARM64 has a folder of its own, or is the only one."""
    own = ramdisk / ARM64
    return own if arm64 and all((own / name).exists() for name in FILES) else ramdisk


def read(ramdisk: Path) -> Manifest:
    """What the builder tells of the ramdisk in this folder; nothing when nobody says so."""
    try:
        return typed.decode((ramdisk / "manifest.json").read_bytes(), Manifest)
    except (OSError, msgspec.DecodeError):
        return Manifest()


def check(ramdisk: Path, cpu_arch: object) -> None:
    """Raise NotFound when there is no ramdisk for a node with this property ``cpu_arch``; without one any may do."""
    arm64 = is_arm64(cpu_arch)
    found = folder(ramdisk, arm64=arm64)
    if not all((found / name).exists() for name in FILES):
        raise errors.NotFound(f"There is no deploy ramdisk in {found}", hint="Make one with ingot ramdisk build.")
    architecture = read(found).architecture
    if cpu_arch in _X86 and architecture == ARM64:
        text = f"The deploy ramdisk in {found} is for ARM64, and this machine is {cpu_arch}"
        raise errors.NotFound(
            text, hint="Make one with ingot ramdisk build; that for ARM64 goes into the folder arm64."
        )
    if arm64 and architecture == "amd64":
        text = f"There is no deploy ramdisk for ARM64 in {ramdisk / ARM64}"
        raise errors.NotFound(text, hint="Make one with ingot ramdisk build --arch arm64.")
