"""Go straight into the operating system on a disk, without the firmware: the kernel its boot loader would start.

May not: write the disk. Invariant: nothing is left behind when the system cannot be found or the kernel refuses it,
and the reason is a sentence. Sources: kexec_file_load(2), reboot(2); the Boot Loader Specification (uapi-group.org);
GNU GRUB manual, linux and initrd.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from ingot_agent import blockdev, disks, errors, gpt, mbr, programs, settings

_CALLS = {"x86_64": (320, 169), "aarch64": (294, 142)}  # kexec_file_load, reboot
_MAGIC, _MAGIC2, _KEXEC = 0xFEE1DEAD, 672274793, 0x45584543
_FOLDERS = ("", "boot/")
_CONFIGURATIONS = ("grub/grub.cfg", "grub2/grub.cfg")
# Read only is not enough: these replay their journal then, too. GRUB reads without it as well.
_FILE_SYSTEMS = (("ext4", "ro,noload"), ("xfs", "ro,norecovery"), ("btrfs", "ro,norecovery"), ("vfat", "ro"))
_UNRESOLVED = re.compile(r"\$\{?\w+\}?")


@dataclass(frozen=True)
class Entry:
    """What a boot loader starts: paths as it names them, and the command line."""

    kernel: str
    initrd: str
    options: str


def of_grub(text: str) -> Entry | None:
    """The first entry of a grub.cfg that has a kernel."""
    kernel = options = ""
    for line in text.splitlines():
        word, _, rest = line.strip().partition(" ")
        if word in ("linux", "linuxefi", "linux16") and not kernel:
            kernel, _, options = rest.strip().partition(" ")
        elif word in ("initrd", "initrdefi", "initrd16") and kernel:
            return Entry(_plain(kernel), _plain(rest.split()[0]) if rest.split() else "", _plain(options))
        elif line.strip() == "}" and kernel:
            break
    return Entry(_plain(kernel), "", _plain(options)) if kernel else None


def of_bls(text: str, environment: str = "") -> Entry | None:
    """An entry file of the Boot Loader Specification; ``environment``: GRUB's grubenv, for its kernelopts."""
    values: dict[str, str] = {}
    for line in text.splitlines():
        name, _, value = line.strip().partition(" ")
        values.setdefault(name, value.strip())
    if not values.get("linux"):
        return None
    kept = re.search(r"^kernelopts=(.*)$", environment, re.MULTILINE)
    options = values.get("options", "").replace("$kernelopts", kept.group(1) if kept else "")
    initrd = next((one for one in values.get("initrd", "").split() if "$" not in one), "")
    return Entry(values["linux"], initrd, _plain(options))


def _plain(text: str) -> str:
    """Without quotes, file-system prefixes and variables that only the boot loader knows."""
    text = _UNRESOLVED.sub("", text.replace('"', "").replace("'", "").replace("\\", ""))
    return re.sub(r"^\([^)]*\)", "", " ".join(text.split()))


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def find(folder: str) -> Entry | None:
    """What the boot loader below a mounted file system would start, None when there is none."""
    for base in _FOLDERS:
        entries = f"{folder}/{base}loader/entries"
        environment = "".join(_read(f"{folder}/{base}{one}/grubenv") for one in ("grub2", "grub"))
        names = os.listdir(entries) if os.path.isdir(entries) else []
        for name in sorted((one for one in names if one.endswith(".conf") and "rescue" not in one), reverse=True):
            entry = of_bls(_read(f"{entries}/{name}"), environment)
            if entry is not None:
                return entry
        for name in _CONFIGURATIONS:
            entry = of_grub(_read(f"{folder}/{base}{name}"))
            if entry is not None:
                return entry
    return None


def _below(folder: str, path: str) -> str | None:
    """A file the boot loader names, whether its own root is the system's or a /boot of its own; links are followed
    inside only."""
    for name in (path.lstrip("/"), path.lstrip("/").removeprefix("boot/"), f"boot/{path.lstrip('/')}"):
        full = os.path.realpath(f"{folder}/{name}")
        if full.startswith(f"{folder}/") and os.path.isfile(full):
            return full
    return None


@contextmanager
def _mounted(device: str, folder: str) -> Generator[bool, None, None]:
    os.makedirs(folder, exist_ok=True)
    done = any(programs.run(["mount", "-t", kind, "-o", how, device, folder]).succeeded for kind, how in _FILE_SYSTEMS)
    try:
        yield done
    finally:
        if done:
            programs.run(["umount", folder])


def _partitions(disk: str) -> list[str]:
    with blockdev.opened(disk, exclusive=False) as device:
        table = gpt.find(device)
        numbers = [one.number for one in table.partitions] if table else [one.number for one in mbr.find(device) or []]
    return [disks.partition_path(disk, number) for number in numbers]


def load(disk: str, roots: settings.Roots) -> str:
    """Load kernel and initrd of the system on ``disk``; says which. Raises AgentError with the reason it cannot."""
    folder = f"{roots.run}/ingot-kexec"
    for device in _partitions(disk):
        with _mounted(device, folder) as there:
            entry = find(folder) if there else None
            kernel = _below(folder, entry.kernel) if entry else None
            if entry is None or kernel is None:
                continue
            initrd = _below(folder, entry.initrd) if entry.initrd else None
            if entry.initrd and initrd is None:
                raise errors.AgentError(f"The boot loader on {device} names {entry.initrd}, which is not there.")
            _load(kernel, initrd, entry.options)
            return f"{entry.kernel} of {device}"
    raise errors.AgentError(f"No partition of {disk} has a boot loader's configuration with a kernel.")


def _load(kernel: str, initrd: str | None, options: str) -> None:
    opened = [os.open(path, os.O_RDONLY) for path in (kernel, initrd) if path]
    try:
        line = options.encode() + b"\0"
        flags = 0 if initrd else 4  # KEXEC_FILE_NO_INITRAMFS
        _call(0, opened[0], opened[1] if initrd else 0, len(line), line, flags)
    finally:
        for one in opened:
            os.close(one)


def _call(which: int, *values: int | bytes) -> None:
    """A system call Python has no name for. Raises AgentError with the kernel's reason."""
    import ctypes  # only here

    machine = os.uname().machine
    if machine not in _CALLS:
        raise errors.AgentError(f"This agent cannot start another kernel on {machine}.")
    libc = ctypes.CDLL(None, use_errno=True)
    arguments = [ctypes.c_char_p(one) if isinstance(one, bytes) else ctypes.c_ulong(one) for one in values]
    if libc.syscall(ctypes.c_long(_CALLS[machine][which]), *arguments) != 0:
        raise errors.AgentError(f"The kernel refused to start another: {os.strerror(ctypes.get_errno())}.")


def go(grace: float) -> None:
    """Leave for the loaded kernel after ``grace`` seconds, in a thread of its own; nothing comes back."""

    def leave() -> None:
        threading.Event().wait(grace)
        os.sync()
        _call(1, _MAGIC, _MAGIC2, _KEXEC, 0)

    threading.Thread(target=leave, daemon=True).start()
