"""Make-believe machines for the agent: folders shaped like /sys, /proc and /dev, with sparse files as disks."""

from __future__ import annotations

from pathlib import Path

from ingot_agent import settings

GIB = 1 << 30


def make(folder: Path, *, uefi: bool = False) -> settings.Roots:
    """An empty machine with one interface that answers to 52:54:00:aa:bb:cc."""
    for name in ("sys/block", "sys/class/net/eth0", "sys/devices/pci0000:00/0000:00:03.0", "proc", "dev", "run"):
        (folder / name).mkdir(parents=True)
    card = folder / "sys/devices/pci0000:00/0000:00:03.0"
    (card / "vendor").write_text("0x8086\n")
    (card / "device").write_text("0x100e\n")
    (folder / "sys/class/net/eth0/device").symlink_to(card)
    (folder / "sys/class/net/eth0/address").write_text("52:54:00:AA:BB:CC\n")
    (folder / "sys/class/net/eth0/carrier").write_text("1\n")
    (folder / "proc/cpuinfo").write_text(
        "processor\t: 0\nmodel name\t: Test CPU\ncpu MHz\t\t: 2000.0\nphysical id\t: 0\nflags\t: fpu vme\n\n"
        "processor\t: 1\nmodel name\t: Test CPU\ncpu MHz\t\t: 2000.0\nphysical id\t: 1\nflags\t: fpu vme\n"
    )
    (folder / "proc/meminfo").write_text("MemTotal:        1024000 kB\n")
    (folder / "proc/uptime").write_text("450.5 1.0\n")
    if uefi:
        (folder / "sys/firmware/efi/efivars").mkdir(parents=True)
    return settings.Roots(*(str(folder / name) for name in ("sys", "proc", "dev", "run")))


def add_disk(roots: settings.Roots, name: str, size: int, **values: str) -> Path:
    """A disk of ``size`` bytes; values are files below its sysfs folder, ``__`` standing for ``/``."""
    folder = Path(roots.sys) / "block" / name
    (folder / "queue").mkdir(parents=True)
    (folder / "size").write_text(f"{size // 512}\n")
    (folder / "queue/rotational").write_text("0\n")
    (folder / "queue/logical_block_size").write_text("512\n")
    (folder / "queue/physical_block_size").write_text("4096\n")
    for key, value in values.items():
        file = folder / key.replace("__", "/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(value + "\n")
    disk = Path(roots.dev) / name
    with disk.open("wb") as file:
        file.truncate(size)
    return disk
