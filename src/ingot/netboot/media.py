"""Boot images: an ISO with the ramdisk and its kernel parameters, bootable by BIOS (ISOLINUX) and UEFI (shim, GRUB).

For virtual CD drives and for firmware that boots an ISO over HTTP; what starts it is signed, so Secure Boot stays on.
May not: know a node. Invariant: an image's name is its SHA-256, and it appears whole.

Sources: El Torito 1.0; ISOLINUX's documentation (boot info table); UEFI 2.10 section 13.3.2 (EFI image on a CD).
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

from ingot.domain import errors
from ingot.netboot import bootfiles, loaders, menus
from ingot.netboot.loaders import Program
from ingot.netboot.ramdisk import FILES, Ramdisk

_TOOLS = {"xorriso": "xorriso", "mformat": "mtools", "mmd": "mtools", "mcopy": "mtools"}
_EFI_SECTORS = 8 * 2048
"""512-byte sectors of the EFI part: shim and GRUB need 4.5 MiB."""
_LIMIT = 120.0
_LABEL = "INGOT-BOOT"


def check() -> None:
    """Raise NotSupported when a program that images are made with, or of, is not installed."""
    for program in (Program.ISOLINUX, Program.LDLINUX, Program.SHIM_X64, Program.GRUB_CD_X64):
        loaders.get(program)
    for tool in _TOOLS:
        _tool(tool)


def build(folder: Path, ramdisk: Ramdisk, files: Path) -> Path:
    """Make the image that boots kernel and initrd of ``files``; its path, ``folder``/<SHA-256>.iso. Blocking, seconds.

    Raises NotSupported when a program is missing, Invalid for an unsafe parameter, Misbehaved when a tool fails.
    """
    check()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".making-") as made:
        work = Path(made)
        (work / "isolinux.cfg").write_text(menus.render_syslinux(ramdisk))
        (work / "grub.cfg").write_text(menus.render_grub(ramdisk))
        (work / "info").write_text(f"{_LABEL}\n")
        _make_efi(work / "efi.img")
        _run("xorriso", *_ORDER, "-o", str(work / "boot.iso"), "-graft-points", *_content(work, files))
        with (work / "boot.iso").open("rb") as image:
            name = hashlib.file_digest(image, "sha256").hexdigest()
        return (work / "boot.iso").rename(folder / f"{name}.iso")


_ORDER = (
    *("-as", "mkisofs", "-quiet", "-R", "-V", _LABEL),
    *("-b", "isolinux/isolinux.bin", "-c", "isolinux/boot.cat", "-no-emul-boot", "-boot-load-size", "4"),
    *("-boot-info-table", "-eltorito-alt-boot", "-e", "efi.img", "-no-emul-boot"),
)


def _content(work: Path, files: Path) -> list[str]:
    """Places in the image, and what lies there. GRUB finds its configuration beside /.disk/info."""
    places = {
        "isolinux/isolinux.bin": loaders.get(Program.ISOLINUX),
        "isolinux/ldlinux.c32": loaders.get(Program.LDLINUX),
        "isolinux/isolinux.cfg": work / "isolinux.cfg",
        "boot/grub/grub.cfg": work / "grub.cfg",
        ".disk/info": work / "info",
        "efi.img": work / "efi.img",
        **{name: files / name for name in FILES},
    }
    return [f"{place}={source}" for place, source in places.items()]


def _make_efi(image: Path) -> None:
    """The FAT file system from which UEFI starts shim, and shim GRUB."""
    _run("mformat", "-i", str(image), "-C", "-T", str(_EFI_SECTORS), "-h", "64", "-s", "32", "::")
    _run("mmd", "-i", str(image), "::/EFI", "::/EFI/BOOT")
    for program, name in ((Program.SHIM_X64, "BOOTX64.EFI"), (Program.GRUB_CD_X64, "grubx64.efi")):
        _run("mcopy", "-i", str(image), str(loaders.get(program)), f"::/EFI/BOOT/{name}")


def _run(tool: str, *arguments: str) -> None:
    try:
        done = subprocess.run(
            [_tool(tool), *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=_LIMIT,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired as error:
        raise errors.Misbehaved(f"{tool} did not end in {_LIMIT:g} s", hint="See the host's disk and load.") from error
    if done.returncode != 0:
        reason = " ".join(done.stderr.split())[-300:]
        raise errors.Misbehaved(f"{tool} could not make the boot image: {reason}", hint="Is there room on the disk?")


def _tool(name: str) -> str:
    found = shutil.which(name, path=bootfiles.SEARCH_PATH)
    if found is None:
        raise errors.NotSupported(
            f"Boot images need the program {name}, which is not installed.",
            hint=f"Run: apt-get install --no-install-recommends {_TOOLS[name]}",
        )
    return found
