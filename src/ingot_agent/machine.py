"""Processor, memory, maker and firmware of the machine, in the words of Ironic's inventory.

May not: change anything. Invariant: what cannot be read is empty, never an error.
"""

from __future__ import annotations

import os
import re
from typing import Any

from ingot_agent import programs, settings, smbios, sysfile


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


def memory(roots: settings.Roots) -> dict[str, int]:
    """Bytes the kernel can use, MiB that are plugged in."""
    found = re.search(r"MemTotal:\s+(\d+) kB", sysfile.read(f"{roots.proc}/meminfo"))
    total = int(found.group(1)) * 1024 if found else 0
    table = smbios.structures(smbios.table(roots))
    physical = sum(smbios.memory_size(body) for kind, body, _ in table if kind == 17)
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


def erase_pstore(roots: settings.Roots) -> str:
    """Remove what the kernel kept of earlier crashes; says how much. A file that stays is named in the answer."""
    folder = f"{roots.sys}/fs/pstore"
    if sysfile.names(folder) == [] and os.path.isdir(folder):
        programs.run(["mount", "-t", "pstore", "pstore", folder])
    names = sysfile.names(folder)
    for name in names:
        try:
            os.unlink(f"{folder}/{name}")
        except OSError as error:
            return f"{name} was not removed: {error.strerror}"
    return f"removed {len(names)} records"


def killed_by_memory(roots: settings.Roots) -> str:
    """What the kernel ended in this boot for want of memory, by its log: an earlier agent before all others."""
    try:
        descriptor = os.open(f"{roots.dev}/kmsg", os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return ""
    own, found = sysfile.read(f"{roots.proc}/self/comm"), ""
    with os.fdopen(descriptor, "rb", buffering=0) as log:
        while True:
            try:
                record = log.read(8192)
            except BrokenPipeError:  # a record that was overwritten meanwhile: the next one follows
                continue
            except OSError:  # no more of them: it would block
                break
            if not record:
                break
            match = re.search(rb"Out of memory: Killed process \d+ \(([^)]*)\)", record)
            if match and found != own:
                found = match.group(1).decode("ascii", "replace")
    return found


def tpm(roots: settings.Roots) -> dict[str, Any]:
    """Whether there is a TPM, and of which version."""
    folder = f"{roots.sys}/class/tpm"
    names = sysfile.names(folder)
    versions = [sysfile.number(f"{folder}/{name}/tpm_version_major") for name in names]
    return {"present": bool(names), "version": versions[0] if versions and versions[0] else None}
