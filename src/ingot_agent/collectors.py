"""The collectors of an inspection, by the names that ``ipa-inspection-collectors`` gives them.

May not: change anything. Invariant: a collector that fails leaves a line in the log and its key out. The keys are
those of Ironic's agent; ``tpm`` is ours.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ingot_agent import (
    collect,
    drivers,
    errors,
    guard,
    hints,
    inventory,
    lldp,
    log,
    machine,
    nics,
    settings,
    smbios,
    sysfile,
)
from ingot_agent import disks as disk_list

Report = dict[str, Any]
DEFAULT = "default,pci-devices,usb-devices,dmi-decode,numa-topology,tpm"


def _default(config: settings.Settings, roots: settings.Roots, report: Report) -> None:
    try:
        report["root_disk"] = hints.choose(disk_list.find_all(roots), {}).as_dict()
    except errors.DeviceNotFound:
        report["root_disk"] = None
    report["boot_interface"] = config.boot_mac or None
    report["configuration"] = {"collectors": config.inspection_collectors.split(","), "managers": ["ingot_generic"]}


def pci(roots: settings.Roots) -> list[dict[str, str]]:
    """All PCI devices, numbers as hexadecimal text without a prefix."""
    folder = f"{roots.sys}/bus/pci/devices"
    found: list[dict[str, str]] = []
    for name in sysfile.names(folder):
        words = {
            key: sysfile.read(f"{folder}/{name}/{file}").removeprefix("0x")
            for key, file in (("vendor_id", "vendor"), ("product_id", "device"), ("class", "class"))
        }
        revision = sysfile.read(f"{folder}/{name}/revision").removeprefix("0x")
        found.append({**words, "revision": revision, "bus": name})
    return found


def usb(roots: settings.Roots) -> list[dict[str, str]]:
    """All USB devices that tell a product."""
    folder = f"{roots.sys}/bus/usb/devices"
    rows = [(name, sysfile.read(f"{folder}/{name}/product")) for name in sysfile.names(folder)]
    return [
        {"product": product, "vendor": sysfile.read(f"{folder}/{name}/manufacturer"), "handle": f"USB:{name}"}
        for name, product in rows
        if product
    ]


def numa(roots: settings.Roots) -> dict[str, Any]:
    """Memory, processors and network cards by NUMA node."""
    folder = f"{roots.sys}/devices/system/node"
    nodes = [one for one in sysfile.names(folder) if one.startswith("node") and one[4:].isdigit()]
    ram: list[dict[str, int]] = []
    cores: dict[tuple[int, int], list[int]] = {}
    for one in nodes:
        number = int(one[4:])
        words = sysfile.read(f"{folder}/{one}/meminfo").split()
        kilobytes = int(words[words.index("MemTotal:") + 1]) if "MemTotal:" in words else 0
        ram.append({"numa_node": number, "size_kb": kilobytes})
        for name in sysfile.names(f"{folder}/{one}"):
            if name.startswith("cpu") and name[3:].isdigit():
                core = sysfile.number(f"{folder}/{one}/{name}/topology/core_id")
                cores.setdefault((number, core), []).append(int(name[3:]))
    cards = [
        {"name": name, "numa_node": number}
        for name in sysfile.names(f"{roots.sys}/class/net")
        if (number := sysfile.number(f"{roots.sys}/class/net/{name}/device/numa_node", -1)) >= 0
    ]
    processors = [{"cpu": core, "numa_node": node, "thread_siblings": own} for (node, core), own in cores.items()]
    return {"ram": ram, "cpus": processors, "nics": cards}


def _lldp(config: settings.Settings, roots: settings.Roots, report: Report) -> None:
    report["lldp_raw"] = lldp.collect(nics.names(roots), config.lldp_timeout, roots)


_TABLE: dict[str, Callable[[settings.Settings, settings.Roots, Report], None]] = {
    "default": _default,
    "logs": lambda _, __, report: report.update(logs=collect.bundle()),
    "pci-devices": lambda _, roots, report: report.update(pci_devices=pci(roots)),
    "usb-devices": lambda _, roots, report: report.update(usb_devices=usb(roots)),
    "dmi-decode": lambda _, roots, report: report.update(dmi=smbios.describe(roots)),
    "numa-topology": lambda _, roots, report: report.update(numa_topology=numa(roots)),
    "tpm": lambda _, roots, report: report.update(tpm=machine.tpm(roots)),
    "lldp": _lldp,
}


def report(config: settings.Settings, roots: settings.Roots, names: str = "") -> Report:
    """Give an inspection's whole result: the inventory, and what the collectors (names with commas) add to it."""
    found: Report = {"inventory": inventory.gather(config, roots), "error": drivers.trouble()}
    for name in (names or config.inspection_collectors or DEFAULT).replace(" ", "").split(","):
        work = _TABLE.get(name)
        if work is None:
            log.line(f"there is no collector {name!r}; there are {', '.join(_TABLE)}")
            continue
        _, error = guard.outcome(lambda work=work: work(config, roots, found))
        if error is not None:
            log.line(f"the collector {name} failed: {error}")
    return found
