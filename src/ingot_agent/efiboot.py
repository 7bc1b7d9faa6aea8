"""Make the firmware start the operating system on a disk (or on one of several): UEFI boot entries, first in the order.

Why: written straight into efivarfs, it needs no tool. May not: touch entries it did not make, except stale
ones on request. Invariant: after ``install`` each disk has exactly one entry of ours, and these come first.
Source: UEFI specification 2.10, 3.1.3 (load options), 10.3 (device paths);
Documentation/filesystems/efivarfs.rst.
"""

from __future__ import annotations

import fcntl
import os
import re
import struct

from ingot_agent import blockdev, disks, errors, gpt, log, programs, settings

LABEL = "ingot"
_OWN = re.compile(rf"{LABEL}(-\d+)?")
_GLOBAL = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
_ATTRIBUTES = struct.pack("<I", 7)  # kept, seen by boot services and the operating system
_GETFLAGS, _SETFLAGS, _IMMUTABLE = 0x80086601, 0x40086602, 0x10
_WORD = {"aarch64": "aa64"}.get(os.uname().machine, "x64")  # UEFI 2.10 section 3.5.1.1
_FALLBACK = f"\\EFI\\BOOT\\BOOT{_WORD.upper()}.EFI"
_LOADERS = (
    *(f"EFI/{one}/shim{_WORD}.efi" for one in ("debian", "ubuntu", "redhat", "fedora", "centos", "rocky", "almalinux")),
    "EFI/opensuse/shim.efi", f"EFI/BOOT/BOOT{_WORD.upper()}.EFI", f"EFI/debian/grub{_WORD}.efi",
    f"EFI/ubuntu/grub{_WORD}.efi", f"EFI/systemd/systemd-boot{_WORD}.efi",
)  # fmt: skip


def load_option(label: str, partition: gpt.Partition, loader: str) -> bytes:
    """The content of a Boot#### variable: a file on a GPT partition."""
    sectors = partition.last + 1 - partition.first
    drive = struct.pack("<BBHIQQ16sBB", 4, 1, 42, partition.number, partition.first, sectors, partition.unique, 2, 2)
    name = (loader + "\0").encode("utf-16-le")
    file = struct.pack("<BBH", 4, 4, 4 + len(name)) + name
    path = drive + file + b"\x7f\xff\x04\x00"
    return struct.pack("<IH", 1, len(path)) + (label + "\0").encode("utf-16-le") + path


class Variables:
    """The firmware's boot variables as files of efivarfs."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def _path(self, name: str) -> str:
        return f"{self._folder}/{name}-{_GLOBAL}"

    def read(self, name: str) -> bytes:
        """A variable's content; empty when it is not set."""
        try:
            with open(self._path(name), "rb") as file:
                return file.read()[4:]
        except OSError:
            return b""

    def _unlock(self, name: str) -> None:
        """efivarfs marks variables immutable, so that nobody deletes them by accident."""
        try:
            descriptor = os.open(self._path(name), os.O_RDONLY)
        except OSError:
            return
        try:
            flags = struct.unpack_from("=I", fcntl.ioctl(descriptor, _GETFLAGS, bytes(8)))[0]
            fcntl.ioctl(descriptor, _SETFLAGS, struct.pack("=Q", flags & ~_IMMUTABLE))
        except OSError:
            return
        finally:
            os.close(descriptor)

    def write(self, name: str, content: bytes) -> None:
        """Set a variable. Raises BlockDeviceError."""
        self._unlock(name)
        try:
            descriptor = os.open(self._path(name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            try:
                os.write(descriptor, _ATTRIBUTES + content)
            finally:
                os.close(descriptor)
        except OSError as error:
            text = (
                f"The firmware did not take the variable {name}: {error.strerror}. Free its variable store "
                "(clean_uefi_nvram)."
            )
            raise errors.BlockDeviceError(text) from error

    def remove(self, name: str) -> None:
        """Delete a variable; an absent one is fine."""
        self._unlock(name)
        try:
            os.unlink(self._path(name))
        except OSError:
            return

    def entries(self) -> dict[int, str]:
        """Labels of all boot entries by number."""
        found: dict[int, str] = {}
        for file in sorted(os.listdir(self._folder)):
            match = re.match(rf"^Boot([0-9A-Fa-f]{{4}})-{_GLOBAL}$", file)
            if match:
                content = self.read(f"Boot{match.group(1)}")[6:]
                found[int(match.group(1), 16)] = content.decode("utf-16-le", "replace").split("\0")[0]
        return found

    def order(self) -> list[int]:
        """Numbers in boot order."""
        raw = self.read("BootOrder")
        return [number for (number,) in struct.iter_unpack("<H", raw[: len(raw) // 2 * 2])]

    def set_order(self, numbers: list[int]) -> None:
        """Write the boot order."""
        self.write("BootOrder", b"".join(struct.pack("<H", number) for number in numbers))


def find_loader(folder: str) -> str | None:
    """The best known loader below a mounted EFI system partition, None when there is none."""
    return next((one for one in _LOADERS if os.path.exists(f"{folder}/{one}")), None)


def _loader(disk: str, number: int, roots: settings.Roots) -> str:
    """Path of the loader on the ESP, by looking.

    The fallback path of the specification when it cannot be looked at.
    """
    node = disks.partition_path(disk, number)
    folder = f"{roots.run}/ingot-esp"
    os.makedirs(folder, exist_ok=True)
    if not programs.run(["mount", "-t", "vfat", "-o", "ro", node, folder]).succeeded:
        log.line(f"the ESP {node} cannot be mounted, using {_FALLBACK}")
        return _FALLBACK
    try:
        found = find_loader(folder)
    finally:
        programs.run(["umount", folder])
    if found is None:
        raise errors.ImageWriteError(
            f"The image's EFI system partition {node} has no known loader. Use an image that starts under UEFI."
        )
    return "\\" + found.replace("/", "\\")


def install(devices: list[blockdev.Device], roots: settings.Roots) -> str:
    """Make an entry for the EFI system partition of each of these disks, in their order; says what was done.

    Raises ImageWriteError when the image cannot start under UEFI, BlockDeviceError when the firmware refuses.
    """
    folder = f"{roots.sys}/firmware/efi/efivars"
    if not os.path.isdir(folder) or not os.listdir(folder):
        return "the firmware shows no variables; it will use the default loader"
    options: list[bytes] = []
    loaders: list[str] = []
    for index, device in enumerate(devices, 1):
        esp = find_esp(device)
        loaders.append(_loader(device.path, esp.number, roots))
        options.append(load_option(LABEL if index == 1 else f"{LABEL}-{index}", esp, loaders[-1]))
    numbers = replace_entries(Variables(folder), options)
    made = zip(numbers, loaders, devices, strict=True)
    return "; ".join(f"boot entry Boot{number:04X} starts {loader} of {disk.path}" for number, loader, disk in made)


def find_esp(device: blockdev.Device) -> gpt.Partition:
    """The disk's EFI system partition. Raises ImageWriteError."""
    table = gpt.find(device)
    esp = next((one for one in table.partitions if one.kind == gpt.ESP), None) if table else None
    if esp is None:
        raise errors.ImageWriteError(
            "The machine started by UEFI and the image has no EFI system partition. "
            "Use an image that starts under UEFI, or set the node's boot mode to bios."
        )
    return esp


def replace_entries(variables: Variables, options: list[bytes]) -> list[int]:
    """Put our entries first, in place of earlier ones of ours; gives their numbers."""
    entries = variables.entries()
    own = [number for number, label in entries.items() if _OWN.fullmatch(label)]
    fresh = [one for one in range(len(entries) + len(options)) if one not in entries]
    numbers = [*own, *fresh][: len(options)]
    for number, option in zip(numbers, options, strict=True):
        if variables.read(f"Boot{number:04X}") != option:
            variables.write(f"Boot{number:04X}", option)
    for stale in own[len(options) :]:
        variables.remove(f"Boot{stale:04X}")
    others = [one for one in variables.order() if one not in numbers and one not in own]
    if variables.order() != [*numbers, *others]:
        variables.set_order([*numbers, *others])
    return numbers


def clean(roots: settings.Roots, patterns: list[str] | None = None) -> str:
    """Remove every boot entry that starts a file of a disk partition; says what was removed.

    With ``patterns`` instead those whose label fits one of these regular expressions. Raises InvalidCommandParams.
    """
    try:
        wanted = [re.compile(one, re.IGNORECASE) for one in patterns or []]
    except re.error as error:
        raise errors.InvalidCommandParams(f"match_patterns has no regular expression: {error}. Correct it.") from None
    folder = f"{roots.sys}/firmware/efi/efivars"
    if not os.path.isdir(folder) or not os.listdir(folder):
        return "no firmware variables, nothing to clean"
    variables = Variables(folder)
    removed: list[int] = []
    for number, label in variables.entries().items():
        on_disk = b"\x04\x01\x2a\x00" in variables.read(f"Boot{number:04X}")
        if any(one.search(label) for one in wanted) if wanted else on_disk:
            variables.remove(f"Boot{number:04X}")
            removed.append(number)
    order = variables.order()
    if removed and set(order) & set(removed):
        variables.set_order([one for one in order if one not in removed])
    return f"removed {len(removed)} boot entries"
