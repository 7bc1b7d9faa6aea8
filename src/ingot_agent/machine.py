"""Processor, memory, maker, firmware and BMC of the machine, in the words of Ironic's inventory.

May not: change anything. Invariant: what cannot be read is empty, never an error.
"""

from __future__ import annotations

import os
import re
import struct
from typing import Any

from ingot_agent import programs, settings, sysfile


def uptime(roots: settings.Roots) -> float:
    """Seconds since the kernel started."""
    return float((sysfile.read(f"{roots.proc}/uptime") or "0").split()[0])


def cpu(roots: settings.Roots) -> dict[str, Any]:
    """Model, MHz, count, architecture, flags and sockets."""
    values: dict[str, list[str]] = {}
    for line in sysfile.read(f"{roots.proc}/cpuinfo").splitlines():
        name, _, value = line.partition(":")
        values.setdefault(name.strip(), []).append(value.strip())
    top = sysfile.number(f"{roots.sys}/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq")
    megahertz = f"{top / 1000:.4f}" if top else values.get("cpu MHz", [""])[0]
    return {
        "model_name": values.get("model name", [""])[0],
        "frequency": megahertz,
        "count": len(values.get("processor", [])),
        "architecture": os.uname().machine,
        "flags": values.get("flags", [""])[0].split(),
        "socket_count": len(set(values.get("physical id", ["0"]))),
    }


def _dmi_memory(table: bytes) -> int:
    """MiB of all memory devices (type 17) of a DMI table; 0 when it tells none. Source: SMBIOS 3.6, 7.18."""
    at, total = 0, 0
    while at + 4 <= len(table):
        kind, length = table[at], table[at + 1]
        if length < 4:
            break
        if kind == 17 and length >= 0x0E:
            size = struct.unpack_from("<H", table, at + 0x0C)[0]
            if size == 0x7FFF and length >= 0x20:
                total += struct.unpack_from("<I", table, at + 0x1C)[0] & 0x7FFFFFFF
            elif size not in (0, 0xFFFF):
                total += (size & 0x7FFF) >> 10 if size & 0x8000 else size
        end = table.find(b"\0\0", at + length)
        at = end + 2 if end >= 0 else len(table)
    return total


def memory(roots: settings.Roots) -> dict[str, int]:
    """Bytes the kernel can use, MiB that are plugged in."""
    found = re.search(r"MemTotal:\s+(\d+) kB", sysfile.read(f"{roots.proc}/meminfo"))
    total = int(found.group(1)) * 1024 if found else 0
    try:
        with open(f"{roots.sys}/firmware/dmi/tables/DMI", "rb") as file:
            physical = _dmi_memory(file.read())
    except OSError:
        physical = 0
    return {"total": total, "physical_mb": physical or total >> 20}


def system_vendor(roots: settings.Roots) -> dict[str, Any]:
    """Maker, product, serial number and firmware."""
    identity = f"{roots.sys}/class/dmi/id"
    return {
        "product_name": sysfile.read(f"{identity}/product_name"),
        "serial_number": sysfile.read(f"{identity}/product_serial"),
        "manufacturer": sysfile.read(f"{identity}/sys_vendor"),
        "firmware": {
            "vendor": sysfile.read(f"{identity}/bios_vendor"),
            "version": sysfile.read(f"{identity}/bios_version"),
            "build_date": sysfile.read(f"{identity}/bios_date"),
        },
    }


def is_uefi(roots: settings.Roots) -> bool:
    """Tell whether UEFI firmware started us."""
    return os.path.isdir(f"{roots.sys}/firmware/efi")


def boot(config: settings.Settings, roots: settings.Roots) -> dict[str, str]:
    """Firmware mode and the hardware address we booted from."""
    return {"current_boot_mode": "uefi" if is_uefi(roots) else "bios", "pxe_interface": config.boot_mac}


def bmc_address(roots: settings.Roots) -> str:
    """The BMC's IPv4 address by way of ipmitool.

    "0.0.0.0" when there is no BMC, no tool, no answer in 10 s.
    """
    if not os.path.exists(f"{roots.dev}/ipmi0"):
        return "0.0.0.0"
    for channel in ("1", "8", "2"):
        done = programs.run(["ipmitool", "lan", "print", channel], 10)
        found = re.search(rb"^IP Address\s*: (\d+\.\d+\.\d+\.\d+)$", done.output, re.MULTILINE)
        if found and found.group(1) != b"0.0.0.0":
            return found.group(1).decode()
    return "0.0.0.0"
