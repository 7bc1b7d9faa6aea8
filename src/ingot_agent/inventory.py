"""Everything the machine tells about itself, as Ironic's inventory.

May not: change anything. Invariant: the keys are those of the agent protocol.
"""

from __future__ import annotations

import os
from typing import Any

from ingot_agent import disks, errors, hints, machine, nics, settings


def gather(config: settings.Settings, roots: settings.Roots) -> dict[str, Any]:
    """Give the inventory object."""
    return {
        "interfaces": nics.interfaces(roots),
        "cpu": machine.cpu(roots),
        "disks": [disk.as_dict() for disk in disks.find_all(roots)],
        "memory": machine.memory(roots),
        "bmc_address": machine.bmc_address(roots),
        "bmc_v6address": "::/0",
        "system_vendor": machine.system_vendor(roots),
        "boot": machine.boot(config, roots),
        "hostname": os.uname().nodename,
    }


def report(config: settings.Settings, roots: settings.Roots) -> dict[str, Any]:
    """Give the inspection callback's body.

    Inventory, the disk an image would go to, the interface we booted from.
    """
    inventory = gather(config, roots)
    try:
        root_disk = hints.choose(disks.find_all(roots), {}).as_dict()
    except errors.DeviceNotFound:
        root_disk = None
    return {
        "inventory": inventory,
        "error": None,
        "root_disk": root_disk,
        "boot_interface": config.boot_mac or None,
    }
