"""What a ramdisk finds when it looks at a simulated machine, in the shape real agents send it.

Why: inspection and hints for disks read it. May not: know agents. Invariant: it says what the machine's facts say.
"""

from __future__ import annotations

from ingot_rack import hardware

Json = dict[str, object]


def tell(facts: hardware.Facts) -> Json:
    """The inventory a ramdisk collects on this machine."""
    interfaces = [
        {
            "name": f"eth{index}",
            "mac_address": mac,
            "ipv4_address": None,
            "has_carrier": True,
            "product": "0x1000",
        }
        for index, mac in enumerate(facts.macs)
    ]
    disks = [
        {
            "name": f"/dev/vd{'abcdefgh'[i]}",
            "model": "",
            "size": disk.size,
            "rotational": False,
            "serial": disk.serial,
        }
        for i, disk in enumerate(facts.disks)
    ]
    return {
        "interfaces": interfaces,
        "cpu": {
            "model_name": "Simulated",
            "frequency": "2000",
            "count": facts.vcpus,
            "architecture": facts.processor,
        },
        "disks": disks,
        "memory": {"total": facts.memory_mb << 20, "physical_mb": facts.memory_mb},
        "bmc_address": None,
        "system_vendor": {
            "product_name": facts.product,
            "serial_number": facts.serial_number,
            "manufacturer": facts.manufacturer,
        },
        "boot": {"current_boot_mode": facts.firmware, "pxe_interface": facts.macs[0] if facts.macs else None},
        "hostname": facts.name,
    }
