"""The machine's disks, from sysfs alone.

May not: open a disk. Invariant: only whole, fixed disks with a size are listed, software RAID's among them; what
cannot take an operating system says why.
"""

from __future__ import annotations

import os
import re
from dataclasses import asdict, dataclass
from typing import Any

from ingot_agent import settings, sysfile

_IGNORED = ("loop", "ram", "zram", "sr", "fd", "dm-", "nbd", "mtd")
_HCTL = re.compile(r"^\d+:\d+:\d+:\d+$")
_PATH = re.compile(r"^nvme\d+c\d+n\d+$")  # one of several paths to a disk that is listed once already
_PCI = re.compile(r"^[0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$")


@dataclass(frozen=True)
class Disk:
    """One disk in the words of Ironic's inventory; sizes in bytes, ``name`` is the device's path."""

    name: str
    model: str | None
    size: int
    rotational: bool
    wwn: str | None
    serial: str | None
    vendor: str | None
    wwn_with_extension: str | None
    wwn_vendor_extension: str | None
    hctl: str | None
    by_path: str | None
    logical_sectors: int
    physical_sectors: int
    tran: str | None
    barred: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Give the inventory object."""
        found = asdict(self)
        del found["barred"]  # ours: why nothing may be written ("read-only", "part of /dev/md0")
        return found


def _serial(folder: str) -> str | None:
    plain = sysfile.read(f"{folder}/serial") or sysfile.read(f"{folder}/device/serial")
    if plain:
        return plain
    try:
        with open(f"{folder}/device/vpd_pg80", "rb") as file:
            page = file.read(256)
    except OSError:
        return None
    return page[4 : 4 + page[3]].decode("ascii", "replace").strip(" \0") or None if len(page) > 4 else None


def _wwn(folder: str) -> str | None:
    text = sysfile.read(f"{folder}/wwid") or sysfile.read(f"{folder}/device/wwid")
    kind, _, value = text.partition(".")
    if kind == "naa" and value:
        return f"0x{value[:16]}"
    return text if kind in ("eui", "uuid") and value else None


def _wwn_full(folder: str) -> str | None:
    text = sysfile.read(f"{folder}/wwid") or sysfile.read(f"{folder}/device/wwid")
    return f"0x{text.removeprefix('naa.')}" if text.startswith("naa.") else _wwn(folder)


def _hctl(device: str) -> str | None:
    name = os.path.basename(device)
    return name if _HCTL.match(name) else None


def _transport(device: str, name: str) -> str | None:
    if name.startswith("nvme"):
        return "nvme"
    for part, kind in (
        ("/usb", "usb"),
        ("/ata", "sata"),
        ("/virtio", "virtio"),
        ("/end_device-", "sas"),
        ("/session", "iscsi"),
    ):
        if part in device:
            return kind
    return None


def _by_path(device: str, name: str) -> str | None:
    """The name udev would give below /dev/disk/by-path, for the buses where it is certain."""
    pci = [part for part in device.split("/") if _PCI.match(part)]
    if not pci:
        return None
    base, hctl = f"/dev/disk/by-path/pci-{pci[-1]}", _hctl(device)
    if name.startswith("nvme"):
        return f"{base}-nvme-{name.rpartition('n')[2]}"
    ata = re.search(r"/ata(\d+)/", device)
    if ata:
        return f"{base}-ata-{ata.group(1)}"
    return f"{base}-scsi-{hctl}" if hctl else base


def _disk(name: str, roots: settings.Roots) -> Disk:
    folder = f"{roots.sys}/block/{name}"
    device = sysfile.link(f"{folder}/device")
    full, short = _wwn_full(folder), _wwn(folder)
    return Disk(
        name=f"{roots.dev}/{name.replace('!', '/')}",
        model=sysfile.read(f"{folder}/device/model") or None,
        size=sysfile.number(f"{folder}/size") * 512,
        rotational=sysfile.read(f"{folder}/queue/rotational") == "1",
        wwn=short,
        serial=_serial(folder),
        vendor=sysfile.read(f"{folder}/device/vendor") or None,
        wwn_with_extension=full,
        wwn_vendor_extension=f"0x{full[18:]}" if full and len(full) > 18 else None,
        hctl=_hctl(device),
        by_path=_by_path(device, name),
        logical_sectors=sysfile.number(f"{folder}/queue/logical_block_size", 512),
        physical_sectors=sysfile.number(f"{folder}/queue/physical_block_size", 512),
        tran=_transport(device, name),
        barred=_why_barred(folder, name, roots),
    )


def _why_barred(folder: str, name: str, roots: settings.Roots) -> str:
    if sysfile.read(f"{folder}/ro") == "1":
        return "read-only"
    own = [part for part in sysfile.names(folder) if part.startswith(name)]
    arrays = {held for part in ("", *own) for held in sysfile.names(f"{folder}/{part}/holders") if held[:2] == "md"}
    return f"part of {', '.join(f'{roots.dev}/{one}' for one in sorted(arrays))}" if arrays else ""


def find_all(roots: settings.Roots) -> list[Disk]:
    """All disks, by name; ``barred`` ones included."""
    folder = f"{roots.sys}/block"
    chosen = [name for name in sysfile.names(folder) if not name.startswith(_IGNORED) and not _PATH.match(name)]
    fixed = [one for one in chosen if sysfile.read(f"{folder}/{one}/removable") != "1"]
    return [_disk(name, roots) for name in fixed if sysfile.number(f"{folder}/{name}/size")]


def usable(found: list[Disk]) -> list[Disk]:
    """Those that may be written."""
    return [disk for disk in found if not disk.barred]


def partition_path(disk: str, number: int) -> str:
    """The path of a disk's partition."""
    return f"{disk}p{number}" if disk[-1].isdigit() else f"{disk}{number}"
