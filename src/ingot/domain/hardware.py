"""What an inventory (the agent's JSON) says about a node, as pure functions.

May not: do I/O. Invariant: a missing or odd part of an inventory leaves a value out; it never raises.
"""

from __future__ import annotations

from typing import Any, cast

from ingot.domain import errors, ids, node


def properties(inventory: dict[str, Any]) -> dict[str, Any]:
    """cpu_arch, cpus, memory_mb, local_gb, vendor as far as known (strings and numbers as Ironic writes them)."""
    cpu, memory, maker = _part(inventory, "cpu"), _part(inventory, "memory"), _part(inventory, "system_vendor")
    disks = [size for disk in _parts(inventory, "disks") if isinstance(size := disk.get("size"), int)]
    vendor = maker.get("manufacturer")
    learned: dict[str, Any] = {
        "cpu_arch": cpu.get("architecture"),
        "cpus": cpu.get("count"),
        "memory_mb": memory.get("physical_mb"),
        "local_gb": max(disks) // 1024**3 if disks else None,
        "vendor": vendor or None,
    }
    return {key: value for key, value in learned.items() if value is not None}


def boot_mode(inventory: dict[str, Any]) -> str | None:
    """ "uefi" or "bios" as the ramdisk was booted, None if not told."""
    mode = _part(inventory, "boot").get("current_boot_mode")
    return mode if mode in ("uefi", "bios") else None  # may be of any type, a list too


def ports(node_uuid: str, inventory: dict[str, Any]) -> list[node.Port]:
    """A port for each card with a MAC address; only the one the ramdisk booted from is for network boot."""
    booted = _part(inventory, "boot").get("pxe_interface")
    found: list[node.Port] = []
    for card in _parts(inventory, "interfaces"):
        try:
            address = ids.mac(str(card.get("mac_address")))
        except errors.Invalid:
            continue
        pxe = not isinstance(booted, str) or _same(booted, address)
        found.append(node.Port(uuid=ids.new(), node_uuid=node_uuid, address=address, pxe_enabled=pxe))
    return found


def _part(inventory: dict[str, Any], name: str) -> dict[str, Any]:
    found = inventory.get(name)
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def _parts(inventory: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = inventory.get(name)
    items = cast("list[Any]", found) if isinstance(found, list) else []
    return [item for item in items if isinstance(item, dict)]


def _same(booted: str, address: str) -> bool:
    """BOOTIF comes as ``01-52-54-..`` or as a plain MAC address."""
    return booted.lower().replace("-", ":").removeprefix("01:") == address
