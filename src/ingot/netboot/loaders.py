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


class _Source(msgspec.Struct, frozen=True):
    package: str
    paths: tuple[str, ...]


_IPXE = ("usr/lib/ipxe", "usr/share/ipxe", "usr/lib/ipxe/qemu")
_SIGNED = "usr/lib/grub/x86_64-efi-signed"
_SIGNED_ARM64 = "usr/lib/grub/arm64-efi-signed"


def _ipxe(*names: str) -> _Source:
    return _Source("ipxe", tuple(f"{place}/{name}" for name in names for place in _IPXE))


def _shim(name: str, package: str) -> _Source:
    """Ubuntu keeps the newest one beside the name that its package diverts."""
    return _Source(package, (f"usr/lib/shim/{name}.efi.signed", f"usr/lib/shim/{name}.efi.signed.latest"))


_SOURCES = {
    Program.IPXE_BIOS: _ipxe("undionly.kpxe", "undionly.kkpxe"),
    Program.IPXE_X64: _ipxe("snponly.efi", "ipxe.efi"),
    Program.IPXE_ARM64: _ipxe("snponly-arm64.efi", "ipxe-arm64.efi"),
    Program.PXELINUX: _Source("pxelinux", ("usr/lib/PXELINUX/pxelinux.0",)),
    Program.LDLINUX: _Source("syslinux-common", ("usr/lib/syslinux/modules/bios/ldlinux.c32",)),
    Program.ISOLINUX: _Source("isolinux", ("usr/lib/ISOLINUX/isolinux.bin",)),
    Program.SHIM_X64: _shim("shimx64", "shim-signed"),
    Program.GRUB_NET_X64: _Source("grub-efi-amd64-signed", (f"{_SIGNED}/grubnetx64.efi.signed",)),
    Program.GRUB_CD_X64: _Source("grub-efi-amd64-signed", (f"{_SIGNED}/gcdx64.efi.signed",)),
    Program.SHIM_ARM64: _shim("shimaa64", "shim-signed:arm64"),
    Program.GRUB_NET_ARM64: _Source("grub-efi-arm64-signed:arm64", (f"{_SIGNED_ARM64}/grubnetaa64.efi.signed",)),
}


def find(program: Program, root: Path = Path("/")) -> Path | None:
    """The program's file on this host, None when it is not installed; ``root`` is where the host's files begin."""
    return next((path for name in _SOURCES[program].paths if (path := root / name).is_file()), None)


def get(program: Program, root: Path = Path("/")) -> Path:
    """The program's file. Raises NotSupported naming the package when it is not installed."""
    found = find(program, root)
    if found is None:
        source = _SOURCES[program]
        raise errors.NotSupported(
            f"The boot program {program.value!r} is not installed (looked for /{source.paths[0]}).",
            hint=f"Run: apt-get install --no-install-recommends {source.package}",
        )
    return found
