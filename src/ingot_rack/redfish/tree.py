"""The resources of one BMC as JSON, made from the machine's facts.

Why: what a client may read, in one pure file, shaped by the published schemas (DSP2046).
May not: change anything. Invariant: every link in here is served by `server`.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from ingot_rack import bmc as bmcs
from ingot_rack.hardware import BootDevice, BootMode, PowerState
from ingot_rack.redfish.wire import Json

ROOT = "/redfish/v1"
SYSTEM = f"{ROOT}/Systems/1"
MANAGER = f"{ROOT}/Managers/1"
CHASSIS = f"{ROOT}/Chassis/1"

RESET_TYPES = (
    "On",
    "ForceOff",
    "GracefulShutdown",
    "GracefulRestart",
    "ForceRestart",
    "Nmi",
    "ForceOn",
    "PushPowerButton",
    "PowerCycle",
)
TARGETS = {
    BootDevice.NONE: "None",
    BootDevice.NETWORK: "Pxe",
    BootDevice.DISK: "Hdd",
    BootDevice.CD: "Cd",
    BootDevice.SETUP: "BiosSetup",
}
MODES = {BootMode.BIOS: "Legacy", BootMode.UEFI: "UEFI"}
OK: Json = {"State": "Enabled", "Health": "OK"}


@dataclasses.dataclass(slots=True)
class Front:
    """One Redfish BMC: the BMC and what only Redfish knows. media_folder None: images are not fetched."""

    bmc: bmcs.Bmc
    media_folder: Path | None = None
    image_url: str = ""
    write_protected: bool = True


def _resource(path: str, kind: str, name: str, **members: object) -> Json:
    identity = path.rsplit("/", 1)[-1]
    return {"@odata.id": path, "@odata.type": f"#{kind}", "Id": identity, "Name": name, **members}


def _link(path: str) -> Json:
    return {"@odata.id": path}


def collection(path: str, kind: str, members: list[str]) -> Json:
    """A collection of links."""
    return {
        "@odata.id": path,
        "@odata.type": f"#{kind}Collection.{kind}Collection",
        "Name": f"{kind} Collection",
        "Members@odata.count": len(members),
        "Members": [_link(member) for member in members],
    }


def root(front: Front) -> Json:
    """The service root, readable without a password."""
    links = ("Systems", "Managers", "Chassis", "SessionService")
    return {
        "@odata.id": f"{ROOT}/",
        "@odata.type": "#ServiceRoot.v1_9_0.ServiceRoot",
        "Id": "RootService",
        "Name": "Root Service",
        "RedfishVersion": "1.11.0",
        "UUID": front.bmc.hardware.facts.uuid,
        "Vendor": front.bmc.hardware.facts.manufacturer,
        "Product": "Ingot Rack BMC",
        **{name: _link(f"{ROOT}/{name}") for name in links},
        "Links": {"Sessions": _link(f"{ROOT}/SessionService/Sessions")},
    }


def system(front: Front) -> Json:
    """The computer system."""
    facts = front.bmc.hardware.facts
    return _resource(
        SYSTEM,
        "ComputerSystem.v1_13_0.ComputerSystem",
        facts.name,
        UUID=facts.uuid,
        SystemType="Physical",
        Manufacturer=facts.manufacturer,
        Model=facts.product,
        SerialNumber=facts.serial_number,
        BiosVersion="1.0",
        HostName="",
        PowerState=_power(front),
        Status=OK,
        Boot=boot(front),
        ProcessorSummary={
            "Count": facts.vcpus,
            "LogicalProcessorCount": facts.vcpus,
            "Model": "x86_64",
            "Status": OK,
        },
        MemorySummary={"TotalSystemMemoryGiB": facts.memory_mb / 1024, "Status": OK},
        **{name: _link(f"{SYSTEM}/{name}") for name in SYSTEM_PARTS},
        Links={"Chassis": [_link(CHASSIS)], "ManagedBy": [_link(MANAGER)]},
        Actions={
            "#ComputerSystem.Reset": {
                "target": f"{SYSTEM}/Actions/ComputerSystem.Reset",
                "ResetType@Redfish.AllowableValues": list(RESET_TYPES),
            }
        },
    )


SYSTEM_PARTS = ("Processors", "Memory", "EthernetInterfaces", "SimpleStorage", "VirtualMedia")


def _power(front: Front) -> str:
    on = front.bmc.says_power() is PowerState.ON
    if front.bmc.in_transition:
        return "PoweringOff" if on else "PoweringOn"
    return "On" if on else "Off"


def boot(front: Front) -> Json:
    """The Boot object of the system."""
    override = front.bmc.hardware.boot
    enabled = "Disabled"
    if override.device is not BootDevice.NONE:
        enabled = "Continuous" if override.persistent else "Once"
    mode = MODES[front.bmc.hardware.facts.firmware]
    return {
        "BootSourceOverrideEnabled": enabled,
        "BootSourceOverrideEnabled@Redfish.AllowableValues": ["Disabled", "Once", "Continuous"],
        "BootSourceOverrideTarget": TARGETS[override.device],
        "BootSourceOverrideTarget@Redfish.AllowableValues": list(TARGETS.values()),
        "BootSourceOverrideMode": mode,
        "BootSourceOverrideMode@Redfish.AllowableValues": [mode],
    }


def processor(front: Front) -> Json:
    """All processors as one socket."""
    count = front.bmc.hardware.facts.vcpus
    return _resource(
        f"{SYSTEM}/Processors/1",
        "Processor.v1_8_0.Processor",
        "Processor",
        ProcessorType="CPU",
        ProcessorArchitecture="x86",
        InstructionSet="x86-64",
        Manufacturer="QEMU",
        Model="x86_64",
        TotalCores=count,
        TotalThreads=count,
        Status=OK,
    )


def memory(front: Front) -> Json:
    """All memory as one module."""
    size = front.bmc.hardware.facts.memory_mb
    return _resource(
        f"{SYSTEM}/Memory/1", "Memory.v1_9_0.Memory", "DIMM 1", CapacityMiB=size, MemoryType="DRAM", Status=OK
    )


def interface(front: Front, index: int) -> Json:
    """One network card."""
    mac = front.bmc.hardware.facts.macs[index]
    up = front.bmc.hardware.power is PowerState.ON
    return _resource(
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
    return _resource(
        f"{SYSTEM}/SimpleStorage/1", "SimpleStorage.v1_3_0.SimpleStorage", "Disks", Devices=devices, Status=OK
    )


def media(front: Front, parent: str) -> Json:
    """The virtual CD drive, seen below the manager or the system."""
    path = f"{parent}/VirtualMedia/Cd"
    inserted = front.bmc.hardware.media is not None
    return _resource(
        path,
        "VirtualMedia.v1_4_0.VirtualMedia",
        "Virtual CD",
        MediaTypes=["CD", "DVD"],
        Image=front.image_url if inserted else None,
        ImageName=front.image_url.rsplit("/", 1)[-1] if inserted else None,
        Inserted=inserted,
        WriteProtected=front.write_protected,
        ConnectedVia="URI" if inserted else "NotConnected",
        Actions={
            f"#VirtualMedia.{verb}": {"target": f"{path}/Actions/VirtualMedia.{verb}"}
            for verb in ("InsertMedia", "EjectMedia")
        },
    )


def manager(front: Front) -> Json:
    """The BMC itself."""
    facts = front.bmc.hardware.facts
    return _resource(
        MANAGER,
        "Manager.v1_11_0.Manager",
        f"BMC of {facts.name}",
        ManagerType="BMC",
        UUID=facts.uuid,
        FirmwareVersion="1.0",
        PowerState="On",
        Status=OK,
        VirtualMedia=_link(f"{MANAGER}/VirtualMedia"),
        Links={"ManagerForServers": [_link(SYSTEM)], "ManagerForChassis": [_link(CHASSIS)]},
    )


def chassis(front: Front) -> Json:
    """The case."""
    facts = front.bmc.hardware.facts
    return _resource(
        CHASSIS,
        "Chassis.v1_14_0.Chassis",
        f"Chassis of {facts.name}",
        ChassisType="RackMount",
        Manufacturer=facts.manufacturer,
        Model=facts.product,
        SerialNumber=facts.serial_number,
        PowerState="On" if front.bmc.says_power() is PowerState.ON else "Off",
        Status=OK,
        Links={"ComputerSystems": [_link(SYSTEM)], "ManagedBy": [_link(MANAGER)]},
    )


def session_service() -> Json:
    """How to log in."""
    path = f"{ROOT}/SessionService"
    return _resource(
        path,
        "SessionService.v1_1_6.SessionService",
        "Session Service",
        ServiceEnabled=True,
        SessionTimeout=1800,
        Status=OK,
        Sessions=_link(f"{path}/Sessions"),
    )


def session(number: str, user: str) -> Json:
    """One open session."""
    path = f"{ROOT}/SessionService/Sessions/{number}"
    return _resource(path, "Session.v1_3_0.Session", "User Session", UserName=user)
