"""What an inventory (the agent's JSON) says about a node, as pure functions.

May not: do I/O. Invariant: a missing or odd part of an inventory leaves a value out; it never raises.
"""

from __future__ import annotations

from typing import Any

from ingot.domain import errors, ids, node


def properties(inventory: dict[str, Any]) -> dict[str, Any]:
    """cpu_arch, cpus, memory_mb, local_gb, vendor as far as known (strings and numbers as Ironic writes them)."""
    cpu = inventory.get("cpu") or {}
    memory = inventory.get("memory") or {}
    disks = [disk.get("size") or 0 for disk in inventory.get("disks") or []]
    vendor = (inventory.get("system_vendor") or {}).get("manufacturer")
    learned = {
        "cpu_arch": cpu.get("architecture"),
        "cpus": cpu.get("count"),
        "memory_mb": memory.get("physical_mb"),
        "local_gb": max(disks) // 1024**3 if disks else None,
        "vendor": vendor or None,
    }
    return {key: value for key, value in learned.items() if value is not None}


def boot_mode(inventory: dict[str, Any]) -> str | None:
    """ "uefi" or "bios" as the ramdisk was booted, None if not told."""
    mode = (inventory.get("boot") or {}).get("current_boot_mode")
    return mode if mode in {"uefi", "bios"} else None


def ports(node_uuid: str, inventory: dict[str, Any]) -> list[node.Port]:
    """A port for each card with a MAC address; only the one the ramdisk booted from is for network boot."""
    booted = (inventory.get("boot") or {}).get("pxe_interface")
    found: list[node.Port] = []
    for card in inventory.get("interfaces") or []:
        try:
            address = ids.mac(card.get("mac_address") or "")
        except errors.Invalid:
            continue
        pxe = booted is None or _same(booted, address)
        found.append(node.Port(uuid=ids.new(), node_uuid=node_uuid, address=address, pxe_enabled=pxe))
    return found


def _same(booted: str, address: str) -> bool:
    """BOOTIF comes as ``01-52-54-..`` or as a plain MAC address."""
    return booted.lower().replace("-", ":").removeprefix("01:") == address
