"""Everything the machine tells about itself, as Ironic's inventory.

May not: change anything but to switch interfaces on. Invariant: the keys are those of the agent protocol.
"""

from __future__ import annotations

import os
from typing import Any

from ingot_agent import bmc, disks, drivers, machine, nics, settings


def gather(config: settings.Settings, roots: settings.Roots) -> dict[str, Any]:
    """Give the inventory object, when all drivers are loaded."""
    nics.all_up(roots)
    drivers.wait()
    cards = nics.interfaces(roots)
    if config.collect_lldp:
        from ingot_agent import lldp

        heard = lldp.collect([one["name"] for one in cards], config.lldp_timeout, roots)
        for one in cards:
            one["lldp"] = heard.get(one["name"])
    controller = bmc.find(roots)
    return {
        "interfaces": cards,
        "cpu": machine.cpu(roots),
        "disks": [disk.as_dict() for disk in disks.find_all(roots)],
        "memory": machine.memory(roots),
        "bmc_address": controller.address,
        "bmc_v6address": controller.v6address,
        **({"bmc_mac": controller.mac} if controller.mac else {}),
        "system_vendor": machine.system_vendor(roots),
        "boot": machine.boot(config, roots),
        "hostname": os.uname().nodename,
    }
