"""Files for machines that boot from the network without iPXE: a folder per MAC address in the TFTP root.

dnsmasq (``tftp-unique-root=mac``) serves a machine from the folder of its address where there is one, so the names
that DHCP gives stay the same while PXELINUX or the signed shim and GRUB take iPXE's place. May not: know a node.
Invariant: a folder appears whole; writing it again replaces it, removing it twice is harmless.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec

from ingot.netboot import filenames, ipxe, loaders, menus, processors
from ingot.netboot.loaders import Program
from ingot.netboot.ramdisk import FILES, Ramdisk, normal_mac

_BIOS = {filenames.BIOS: Program.PXELINUX, "ldlinux.c32": Program.LDLINUX}
_X64 = {filenames.X64: Program.SHIM_X64, "grubx64.efi": Program.GRUB_NET_X64}
_ARM64 = {filenames.ARM64: Program.SHIM_ARM64, "grubaa64.efi": Program.GRUB_NET_ARM64}


def check(ramdisk: Path, *, arm64: bool) -> None:
    """Raise NotSupported when a program that machines need is not installed; ARM64's may lie with its ramdisk."""
    for program in (*_BIOS.values(), *_X64.values()):
        loaders.get(program)
    for program in _ARM64.values() if arm64 else ():
        loaders.get(program, loaders.HOST, processors.folder(ramdisk, arm64=True))


def write(root: Path, mac: str, ramdisk: Ramdisk, files: Path) -> None:
    """Let ``mac`` boot the kernel and initrd in the folder ``files``, or those for its processor. Blocking, short.

    Raises NotSupported when a program is missing, Invalid for an unsafe parameter.
    """
    own = msgspec.structs.replace(ramdisk, mac=mac)
    folder = _folder(root, mac)
    part = folder.with_name(f".{folder.name}")
    shutil.rmtree(part, ignore_errors=True)
    (part / "pxelinux.cfg").mkdir(parents=True)
    (part / "grub").mkdir()
    (part / processors.ARM64).mkdir()
    arm64 = processors.folder(files, arm64=True)
    for name, program in {**_BIOS, **_X64}.items():
        (part / name).symlink_to(loaders.get(program))
    for name, program in _ARM64.items():
        found = loaders.find(program, loaders.HOST, arm64)
        if found is not None:
            (part / name).symlink_to(found.absolute())
    for name in FILES:
        (part / name).symlink_to((files / name).absolute())
        (part / processors.ARM64 / name).symlink_to((arm64 / name).absolute())
    (part / filenames.IPXE_SCRIPT).write_text(ipxe.render_other_loader())
    (part / "pxelinux.cfg" / f"01-{folder.name}").write_text(menus.render_syslinux(own))
    (part / "grub" / "grub.cfg").write_text(menus.render_grub(own))
    remove(root, mac)
    part.rename(folder)


def has(root: Path, mac: str) -> bool:
    """Whether ``mac`` has its folder."""
    return _folder(root, mac).is_dir()


def remove(root: Path, mac: str) -> None:
    """Let ``mac`` boot as every other machine."""
    shutil.rmtree(_folder(root, mac), ignore_errors=True)


def _folder(root: Path, mac: str) -> Path:
    return root / normal_mac(mac).replace(":", "-")
