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
from ingot.netboot import bootfiles, loaders, menus, processors
from ingot.netboot.loaders import Program
from ingot.netboot.ramdisk import FILES, Ramdisk

_TOOLS = {"xorriso": "xorriso", "mformat": "mtools", "mmd": "mtools", "mcopy": "mtools"}
_EFI_SECTORS = 8 * 2048
"""512-byte sectors of the EFI part: shim and GRUB need 4.5 MiB."""
_LIMIT = 120.0
_LABEL = "INGOT-BOOT"
_X64 = {"BOOTX64.EFI": Program.SHIM_X64, "grubx64.efi": Program.GRUB_CD_X64}
_ARM64 = {"BOOTAA64.EFI": Program.SHIM_ARM64, "grubaa64.efi": Program.GRUB_CD_ARM64}


def check(ramdisk: Path, *, arm64: bool) -> None:
    """Raise NotSupported when a program that images are made with, or of, is not installed."""
    _programs(processors.folder(ramdisk, arm64=arm64), arm64=arm64)
    for program in () if arm64 else (Program.ISOLINUX, Program.LDLINUX):
        loaders.get(program)
    for tool in _TOOLS:
        _tool(tool)


def build(folder: Path, ramdisk: Ramdisk, files: Path, *, arm64: bool = False) -> Path:
    """Make the image that boots the kernel and initrd of ``files`` that suit the processor; ``folder``/<SHA-256>.iso.

    Blocking, seconds. Raises NotSupported when a program is missing, Invalid for an unsafe parameter, Misbehaved when
    a tool fails.
    """
    check(files, arm64=arm64)
    files = processors.folder(files, arm64=arm64)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".making-") as made:
        work = Path(made)
        (work / "grub.cfg").write_text(menus.render_grub(ramdisk))
        (work / "info").write_text(f"{_LABEL}\n")
        _make_efi(work / "efi.img", _programs(files, arm64=arm64))
        where = f"{processors.ARM64}/" if arm64 else ""
        content = {f"{where}{name}": files / name for name in FILES} | _content(work)
        order = _ORDER
        if not arm64:
            (work / "isolinux.cfg").write_text(menus.render_syslinux(ramdisk))
            content |= _isolinux(work)
            order = (*_ORDER, *_BIOS_ORDER)
        places = [f"{place}={source}" for place, source in content.items()]
        _run("xorriso", *order, *_EFI_ORDER, "-o", str(work / "boot.iso"), "-graft-points", *places)
        with (work / "boot.iso").open("rb") as image:
            name = hashlib.file_digest(image, "sha256").hexdigest()
        return (work / "boot.iso").rename(folder / f"{name}.iso")


_ORDER = ("-as", "mkisofs", "-quiet", "-R", "-V", _LABEL, "-c", "boot.cat")
_BIOS_ORDER = (
    *("-b", "isolinux/isolinux.bin", "-no-emul-boot", "-boot-load-size", "4"),
    *("-boot-info-table", "-eltorito-alt-boot"),
)
_EFI_ORDER = ("-e", "efi.img", "-no-emul-boot")


def _content(work: Path) -> dict[str, Path]:
    """Places in the image, and what lies there for UEFI. GRUB finds its configuration beside /.disk/info."""
    return {"boot/grub/grub.cfg": work / "grub.cfg", ".disk/info": work / "info", "efi.img": work / "efi.img"}


def _isolinux(work: Path) -> dict[str, Path]:
    """The same for BIOS."""
    return {
        "isolinux/isolinux.bin": loaders.get(Program.ISOLINUX),
        "isolinux/ldlinux.c32": loaders.get(Program.LDLINUX),
        "isolinux/isolinux.cfg": work / "isolinux.cfg",
    }


def _programs(files: Path, *, arm64: bool) -> dict[str, Path]:
    """What UEFI starts, by name; ARM64's may lie with its ramdisk."""
    roots = (loaders.HOST, files) if arm64 else ()
    return {name: loaders.get(program, *roots) for name, program in (_ARM64 if arm64 else _X64).items()}


def _make_efi(image: Path, programs: dict[str, Path]) -> None:
    """The FAT file system from which UEFI starts shim, and shim GRUB."""
    _run("mformat", "-i", str(image), "-C", "-T", str(_EFI_SECTORS), "-h", "64", "-s", "32", "::")
    _run("mmd", "-i", str(image), "::/EFI", "::/EFI/BOOT")
    for name, program in programs.items():
        _run("mcopy", "-i", str(image), str(program), f"::/EFI/BOOT/{name}")


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
