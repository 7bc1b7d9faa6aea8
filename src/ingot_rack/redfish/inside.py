"""What is inside the machine: processors, memory, network cards, simple disks. May not: change anything."""

from __future__ import annotations

from ingot_rack.hardware import PowerState, Processor
from ingot_rack.redfish.tree import OK, SYSTEM, Front, collection, resource
from ingot_rack.redfish.views import Views, listed, shown
from ingot_rack.redfish.wire import Json

_SETS = {Processor.X86_64: ("x86", "x86-64"), Processor.AARCH64: ("ARM", "ARM-A64")}


def processor(front: Front) -> Json:
    """All processors as one socket."""
    facts = front.bmc.hardware.facts
    count = facts.vcpus
    architecture, instructions = _SETS[facts.processor]
    return resource(
        f"{SYSTEM}/Processors/1",
        "Processor.v1_8_0.Processor",
        "Processor",
        ProcessorType="CPU",
        ProcessorArchitecture=architecture,
        InstructionSet=instructions,
        Manufacturer="QEMU",
        Model=facts.processor,
        TotalCores=count,
        TotalThreads=count,
        Status=OK,
    )


def memory(front: Front) -> Json:
    """All memory as one module."""
    size = front.bmc.hardware.facts.memory_mb
    return resource(
        f"{SYSTEM}/Memory/1", "Memory.v1_9_0.Memory", "DIMM 1", CapacityMiB=size, MemoryType="DRAM", Status=OK
    )


def interface(front: Front, index: int) -> Json:
    """One network card."""
    mac = front.bmc.hardware.facts.macs[index]
    up = front.bmc.hardware.power is PowerState.ON
    return resource(
        f"{SYSTEM}/EthernetInterfaces/{index + 1}",
        "EthernetInterface.v1_6_0.EthernetInterface",
        f"NIC {index + 1}",
        MACAddress=mac,
        PermanentMACAddress=mac,
        InterfaceEnabled=True,
        LinkStatus="LinkUp" if up else "NoLink",
        SpeedMbps=1000,
        Status=OK,
    )


def storage(front: Front) -> Json:
    """All disks under one simple controller."""
    disks = front.bmc.hardware.facts.disks
    devices = [
        {"Name": disk.serial, "Model": f"QEMU {disk.bus}", "CapacityBytes": disk.size, "Status": OK} for disk in disks
    ]
    return resource(
        f"{SYSTEM}/SimpleStorage/1", "SimpleStorage.v1_3_0.SimpleStorage", "Disks", Devices=devices, Status=OK
    )


def _interfaces(front: Front) -> Json:
    path = f"{SYSTEM}/EthernetInterfaces"
    count = len(front.bmc.hardware.facts.macs)
    return collection(path, "EthernetInterface", [f"{path}/{number + 1}" for number in range(count)])


def routes() -> dict[str, Views]:
    """Path -> views."""
    table = {
        f"{SYSTEM}/Processors/1": shown(processor),
        f"{SYSTEM}/Memory/1": shown(memory),
        f"{SYSTEM}/SimpleStorage/1": shown(storage),
        f"{SYSTEM}/EthernetInterfaces": shown(_interfaces),
    }
    for name, kind in (("Processors", "Processor"), ("Memory", "Memory"), ("SimpleStorage", "SimpleStorage")):
        table[f"{SYSTEM}/{name}"] = listed(f"{SYSTEM}/{name}", kind, "1")
    return table


def numbered(path: str, front: Front) -> Views | None:
    """The views of one network card, None for any other path."""
    number = path.removeprefix(f"{SYSTEM}/EthernetInterfaces/")
    if number.isdecimal() and 0 < int(number) <= len(front.bmc.hardware.facts.macs):
        return shown(lambda one: interface(one, int(number) - 1))
    return None
