"""What a machine is made of, as its BMC tells it without a ramdisk.

Why: the inventory has the shape of the agent's, so that all that reads one reads the other.
Invariant: what the service does not tell is left out. Sources: DSP0268 ComputerSystem, Processor, EthernetInterface,
Storage, SimpleStorage.
"""

from __future__ import annotations

import contextlib
from typing import Any

from ingot.clients.redfish import storage, systems
from ingot.clients.redfish.client import RedfishPool
from ingot.clients.redfish.resources import Resource, items, link, number, part, text
from ingot.clients.redfish.target import Target
from ingot.domain import errors

_ARCHITECTURES = {"x86-64": "x86_64", "ARM-A64": "aarch64", "PowerISA": "ppc64le", "RV64": "riscv64"}
_MODES = {"UEFI": "uefi", "Legacy": "bios"}


async def read(pool: RedfishPool, target: Target) -> dict[str, Any]:
    """{"cpu", "memory", "disks", "interfaces", "system_vendor", "boot"} as the agent has them; sizes in bytes."""
    system = await systems.get(pool, target)
    gib = number(part(system, "MemorySummary"), "TotalSystemMemoryGiB")
    mode = _MODES.get(text(part(system, "Boot"), "BootSourceOverrideMode") or "")
    found: dict[str, Any] = {
        "system_vendor": {
            "product_name": text(system, "Model"),
            "serial_number": text(system, "SerialNumber"),
            "manufacturer": text(system, "Manufacturer"),
            "firmware": {"version": text(system, "BiosVersion")},
        },
        "cpu": await _cpu(pool, target, system),
        "disks": await _disks(pool, target, system),
        "interfaces": await _cards(pool, target, system),
        "boot": {"current_boot_mode": mode, "pxe_interface": None},
    }
    if gib is not None:
        found["memory"] = {"physical_mb": int(gib * 1024)}
    return found


async def _cpu(pool: RedfishPool, target: Target, system: Resource) -> dict[str, Any]:
    summary = part(system, "ProcessorSummary")
    found = [one for _, one in await pool.survey(target, link(system, "Processors"))]
    cpus = [one for one in found if text(one, "ProcessorType") in ("CPU", None)]
    threads = sum(int(number(one, "TotalThreads") or 0) for one in cpus)
    first = cpus[0] if cpus else {}
    sets = (text(first, "InstructionSet"), text(first, "ProcessorArchitecture"))
    return {
        "count": threads or int(number(summary, "LogicalProcessorCount") or number(summary, "Count") or 0) or None,
        "model_name": text(first, "Model") or text(summary, "Model"),
        "frequency": number(first, "MaxSpeedMHz"),
        "architecture": next((_ARCHITECTURES[one] for one in sets if one in _ARCHITECTURES), None),
    }


async def _disks(pool: RedfishPool, target: Target, system: Resource) -> list[dict[str, Any]]:
    """What the machine's system will see: volumes, drives in no volume, else the simple storage's devices."""
    disks: list[dict[str, Any]] = []
    controllers: list[storage.Controller] = []
    with contextlib.suppress(errors.Misbehaved, errors.NotFound, errors.NotSupported):  # as RedfishPool.survey says
        controllers = await storage.list_controllers(pool, target)
    for controller in controllers:
        taken = {path for volume in controller.volumes for path in volume.drives}
        disks += [{"name": one.name, "size": one.size, "wwn": one.wwn} for one in controller.volumes]
        disks += [
            {
                "name": one.id,
                "size": one.size,
                "model": one.model,
                "serial": one.serial,
                "rotational": one.media == "HDD",
            }
            for one in controller.drives
            if one.path not in taken
        ]
    if disks:
        return disks
    for _, simple in await pool.survey(target, link(system, "SimpleStorage")):
        for device in items(simple, "Devices"):
            size = int(number(device, "CapacityBytes") or 0)
            disks.append({"name": text(device, "Name"), "size": size, "model": text(device, "Model")})
    return disks


async def _cards(pool: RedfishPool, target: Target, system: Resource) -> list[dict[str, Any]]:
    cards: list[dict[str, Any]] = []
    for _, card in await pool.survey(target, link(system, "EthernetInterfaces")):
        mac = text(card, "PermanentMACAddress") or text(card, "MACAddress")
        enabled = part(card, "Status").get("State") in ("Enabled", None)
        if mac and enabled and card.get("InterfaceEnabled") is not False:
            carrier = text(card, "LinkStatus")
            cards.append(
                {
                    "name": text(card, "Id"),
                    "mac_address": mac.lower(),
                    "has_carrier": None if carrier is None else carrier == "LinkUp",
                    "speed_mbps": number(card, "SpeedMbps"),
                }
            )
    return cards
