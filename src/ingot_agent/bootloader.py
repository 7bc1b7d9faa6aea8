"""Make a machine start from a partition image: by loader files the image brings, or by the image's own GRUB tools.

Why: the image knows its kernel and its GRUB, we know its disk and its firmware. May not: bring a boot loader.
Invariants: whatever happens, nothing stays mounted; the image's programs see neither the agent's processes nor its
files, where its token is.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator
from contextlib import ExitStack, contextmanager

from ingot_agent import (
    blockdev,
    commands,
    efiboot,
    errors,
    filesystems,
    firmware,
    mounts,
    partition,
    programs,
    settings,
)

_INSTALLERS = ("grub-install", "grub2-install")
_BINDS = ("dev", "sys")
_TIMEOUT = 900.0
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def install(disk: str, root_uuid: str, roots: settings.Roots, progress: commands.Progress, *, uefi: bool) -> str:
    """Have the machine start from the partition with the file system ``root_uuid``; says what was done.

    Raises ImageWriteError, BlockDeviceError.
    """
    progress.begin("installing the boot loader")
    with blockdev.opened(disk, exclusive=False) as device:
        places = partition.places(device)
    root = next((one for one in places if one.found and one.found.uuid == root_uuid), None)
    if root is None or root.found is None:
        raise errors.ImageWriteError(f"{disk} has no file system {root_uuid}. Write the image before the boot loader.")
    esp = next((one for one in places if one.is_esp and one.found), None)
    if uefi and esp is None:
        raise errors.ImageWriteError(f"{disk} has no EFI system partition. Write the image on a machine in UEFI mode.")
    folder = f"{roots.run}/ingot-root"
    _link(roots, root_uuid, root.node)
    with mounts.mounted(root.node, folder, root.found):
        if not uefi or esp is None or esp.found is None:
            return _by_bios(disk, folder, roots)
        done = _by_uefi(esp.node, esp.found, folder, roots)
    os.sync()
    return f"{done}; {firmware.install(disk, roots)}"


def _by_bios(disk: str, folder: str, roots: settings.Roots) -> str:
    disks = firmware.bios_disks(disk, roots)
    with _prepared(folder, roots):
        installer = ""
        for one in disks:
            installer = _run_grub(folder, f"--target=i386-pc {one}")
    return f"{installer} of the image wrote its boot loader to {', '.join(disks)}"


def _by_uefi(node: str, found: filesystems.Found, folder: str, roots: settings.Roots) -> str:
    """Fill the ESP: with the loader files of the image if it has any, else by its GRUB."""
    brought = f"{folder}/boot/efi"
    os.makedirs(brought, exist_ok=True)
    with mounts.mounted(node, f"{roots.run}/ingot-esp", found) as esp:
        for name in sorted(os.listdir(brought)):
            _copy(f"{brought}/{name}", f"{esp}/{name}")
        ready = efiboot.find_loader(esp) is not None
    _list_in_fstab(folder, found.uuid)
    if ready:
        return "loader files of the image copied to the EFI system partition"
    with mounts.mounted(node, brought, found), _prepared(folder, roots):
        words = "--target=x86_64-efi --efi-directory=/boot/efi --no-nvram --removable"
        return f"{_run_grub(folder, words)} of the image filled the EFI system partition"


def _copy(source: str, target: str) -> None:
    if os.path.isdir(source):
        shutil.copytree(source, target, dirs_exist_ok=True, copy_function=shutil.copyfile)
    else:
        shutil.copyfile(source, target)


def _run_grub(folder: str, words: str) -> str:
    """Run the image's own GRUB tools; gives the installer's name."""
    installer = next((one for one in _INSTALLERS if _has(folder, one)), None)
    if installer is None:
        raise errors.ImageWriteError(
            "The image has neither loader files in /boot/efi nor grub-install, so the machine could not start from it. "
            "Install GRUB in the image, or use a whole-disk image."
        )
    _inside(folder, f"{installer} --no-floppy {words}" if "i386" in words else f"{installer} {words}")
    prefix = installer.removesuffix("-install")
    if _has(folder, f"{prefix}-mkconfig"):
        os.makedirs(f"{folder}/boot/{prefix}", exist_ok=True)
        _inside(folder, f"{prefix}-mkconfig -o /boot/{prefix}/grub.cfg")
    return installer


def _has(folder: str, program: str) -> bool:
    return any(os.path.exists(f"{folder}/{place}/{program}") for place in ("usr/sbin", "sbin", "usr/bin", "bin"))


def _inside(folder: str, command: str) -> None:
    """Run a command line in the image, among processes of its own."""
    variables = f"PATH={_PATH} LC_ALL=C GRUB_DISABLE_OS_PROBER=true"
    alone = ["unshare", "-m", "-p", "-f", f"--mount-proc={folder}/proc", "chroot", folder]
    done = programs.run([*alone, "/bin/sh", "-c", f"{variables} {command} 2>&1"], timeout=_TIMEOUT)
    if not done.succeeded:
        said = " | ".join(done.output.decode("utf-8", "replace").strip().splitlines()[-3:])
        raise errors.ImageWriteError(f"In the image, {command} failed: {said}. Mend the image's GRUB.")


def _list_in_fstab(folder: str, uuid: str) -> None:
    """Have the operating system mount the ESP, as its package updates expect."""
    path = f"{folder}/etc/fstab"
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            text = file.read()
    except OSError:
        text = ""
    if os.path.isdir(f"{folder}/etc") and "/boot/efi" not in text:
        with open(path, "a", encoding="utf-8") as file:
            file.write(f"UUID={uuid}\t/boot/efi\tvfat\tumask=0077\t0\t1\n")


def _link(roots: settings.Roots, uuid: str, node: str) -> None:
    """The link udev would make: without it grub-mkconfig writes the device's name into the kernel's command line."""
    folder = f"{roots.dev}/disk/by-uuid"
    os.makedirs(folder, exist_ok=True)
    if not os.path.lexists(f"{folder}/{uuid}"):
        os.symlink(node, f"{folder}/{uuid}")


@contextmanager
def _prepared(folder: str, roots: settings.Roots) -> Generator[None, None, None]:
    """The machine's devices and kernel, seen from inside the image; empty folders for what its programs keep."""
    sources = {"dev": roots.dev, "sys": roots.sys}
    with ExitStack() as stack:
        for name in _BINDS:
            os.makedirs(f"{folder}/{name}", exist_ok=True)
            stack.enter_context(mounts.mount(["-o", "bind", sources[name], f"{folder}/{name}"]))
        for name in ("run", "proc"):  # over proc they see their own; busybox wants something mounted there before
            os.makedirs(f"{folder}/{name}", exist_ok=True)
            stack.enter_context(mounts.mount(["-t", "tmpfs", name, f"{folder}/{name}"]))
        yield
