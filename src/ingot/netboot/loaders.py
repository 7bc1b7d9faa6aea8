"""The programs that firmware loads before a kernel: which there are, where this host keeps them, their packages.

Why: a missing program must be a sentence with its package, before a machine is switched on. May not: copy anything.
Invariant: a program is found by what it does, so the same word works on every distribution.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import msgspec

from ingot.domain import errors


class Program(StrEnum):
    """What is needed."""

    IPXE_BIOS = "iPXE for BIOS"
    IPXE_X64 = "iPXE for UEFI"
    IPXE_ARM64 = "iPXE for ARM64"
    PXELINUX = "PXELINUX"
    LDLINUX = "ldlinux.c32"
    ISOLINUX = "ISOLINUX"
    SHIM_X64 = "the signed shim"
    GRUB_NET_X64 = "the signed GRUB for network boot"
    GRUB_CD_X64 = "the signed GRUB for CDs"
    SHIM_ARM64 = "the signed shim for ARM64"
    GRUB_NET_ARM64 = "the signed GRUB for network boot of ARM64"
    GRUB_CD_ARM64 = "the signed GRUB for CDs of ARM64"


class _Source(msgspec.Struct, frozen=True):
    package: str
    paths: tuple[str, ...]
    hint: str = ""


HOST = Path("/")
_IPXE = ("usr/lib/ipxe", "usr/share/ipxe", "usr/lib/ipxe/qemu")
_SIGNED = "usr/lib/grub/x86_64-efi-signed"


def _ipxe(*names: str) -> _Source:
    return _Source("ipxe", tuple(f"{place}/{name}" for name in names for place in _IPXE))


def _shim(name: str, package: str, hint: str = "") -> _Source:
    """Ubuntu keeps the newest one beside the name that its package diverts."""
    return _Source(package, (f"usr/lib/shim/{name}.efi.signed", f"usr/lib/shim/{name}.efi.signed.latest"), hint)


_WITH_RAMDISK = "Run: ingot ramdisk build --arch arm64, which brings it along."


def _signed_arm64(name: str) -> _Source:
    return _Source("grub-efi-arm64-signed", (f"usr/lib/grub/arm64-efi-signed/{name}.efi.signed",), _WITH_RAMDISK)


_SOURCES = {
    Program.IPXE_BIOS: _ipxe("undionly.kpxe", "undionly.kkpxe"),
    Program.IPXE_X64: _ipxe("snponly.efi", "ipxe.efi"),
    Program.IPXE_ARM64: msgspec.structs.replace(
        _ipxe("snponly-arm64.efi", "ipxe-arm64.efi"),
        hint="The package ipxe has it from Debian 13 on. Elsewhere choose the boot interface pxe.",
    ),
    Program.PXELINUX: _Source("pxelinux", ("usr/lib/PXELINUX/pxelinux.0",)),
    Program.LDLINUX: _Source("syslinux-common", ("usr/lib/syslinux/modules/bios/ldlinux.c32",)),
    Program.ISOLINUX: _Source("isolinux", ("usr/lib/ISOLINUX/isolinux.bin",)),
    Program.SHIM_X64: _shim("shimx64", "shim-signed"),
    Program.GRUB_NET_X64: _Source("grub-efi-amd64-signed", (f"{_SIGNED}/grubnetx64.efi.signed",)),
    Program.GRUB_CD_X64: _Source("grub-efi-amd64-signed", (f"{_SIGNED}/gcdx64.efi.signed",)),
    Program.SHIM_ARM64: _shim("shimaa64", "shim-signed", _WITH_RAMDISK),
    Program.GRUB_NET_ARM64: _signed_arm64("grubnetaa64"),
    Program.GRUB_CD_ARM64: _signed_arm64("gcdaa64"),
}


def find(program: Program, *roots: Path) -> Path | None:
    """The program's file, None when it is not there.

    ``roots``: where the files of a host begin, the first that has it; this host's own when none is given.
    """
    paths = (root / name for root in roots or (HOST,) for name in _SOURCES[program].paths)
    return next((path for path in paths if path.is_file()), None)


def get(program: Program, *roots: Path) -> Path:
    """The program's file. Raises NotSupported naming the package when it is not installed."""
    found = find(program, *roots)
    if found is None:
        source = _SOURCES[program]
        raise errors.NotSupported(
            f"The boot program {program.value!r} is not installed (looked for /{source.paths[0]}).",
            hint=source.hint or f"Run: apt-get install --no-install-recommends {source.package}",
        )
    return found
