"""A rack's description: a small TOML or JSON file, checked, with everything derivable left out.

Why: a rack is told in ten lines; names give the rest (MAC, UUID, addresses), the same each time.
May not: start anything. Invariant: a Spec that was read is usable; errors name the place in the file.

    name = "demo"
    address = "192.0.2.1/24"        # provisioning address on the bridge
    [[machines]]
    name = "node-0"
    firmware = "bios"               # bios | uefi
    bmc = "ipmi"                    # ipmi | redfish
    user = "admin"
    password = "..."                # left out: one is made at each start and told in the state file
"""

from __future__ import annotations

import dataclasses
import hashlib
import ipaddress
import json
import secrets
import tomllib
import uuid
from pathlib import Path
from typing import cast, get_type_hints

from ingot_rack import errors, qemu
from ingot_rack.hardware import BootMode, Processor

BMC_KINDS = ("ipmi", "redfish")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class MachineSpec:
    """One machine; memory in MiB, disk in GiB. kind "simulated" has no QEMU behind it; processor aarch64 needs UEFI.

    nic_rom False: the card has no iPXE of its own, so the firmware boots as a real server's does. scsi_disk: the
    iSCSI URL of one more disk (see ingot_rack.disks), "" for none. ipmi_versions: "2.0", "1.5", or both with a blank.
    """

    name: str
    kind: str = "qemu"
    firmware: BootMode = BootMode.BIOS
    processor: Processor = Processor.X86_64
    memory_mb: int = 1024
    vcpus: int = 1
    disk_gib: float = 8.0
    disks: int = 1
    disk_bus: qemu.DiskBus = qemu.DiskBus.VIRTIO
    disk_format: str = "raw"
    disk_write_rate: int = 0
    scsi_disk: str = ""
    mac: str = ""
    nic: qemu.NicModel = qemu.NicModel.VIRTIO
    nic_rom: bool = True
    secure_boot: bool = False
    pxe: bool = True
    cd: qemu.CdSlot = qemu.CdSlot.SCSI
    bmc: str = "ipmi"
    bmc_address: str = ""
    bmc_port: int = 0
    bmc_tls: bool = False
    ipmi_versions: str = "2.0"
    user: str = "admin"
    password: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """A whole rack. namespace "" means the host's network; network False means no bridge, no taps, no root."""

    name: str
    machines: tuple[MachineSpec, ...]
    network: bool = True
    namespace: str | None = None
    address: str = "192.0.2.1/24"
    bmc_network: str = "198.51.100.0/24"


def read(path: Path) -> Spec:
    """Read a spec file; raises Invalid with the reason."""
    try:
        text = path.read_text()
        parsed: object = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (OSError, ValueError) as error:
        raise errors.Invalid(
            f"Cannot read the rack's description {path}: {error}", hint="See ingot_rack.specs."
        ) from error
    return parse(parsed)


def parse(parsed: object) -> Spec:
    """Check a parsed description and fill in what can be derived."""
    fields = _checked(Spec, parsed, "the rack")
    raw = fields.pop("machines", None)
    if not isinstance(raw, list) or not raw:
        raise errors.Invalid("The rack has no machines", hint="Add a [[machines]] table.")
    entries = cast("list[object]", raw)
    machines = [MachineSpec(**_checked(MachineSpec, one, f"machine {index}")) for index, one in enumerate(entries)]  # pyright: ignore[reportArgumentType] - checked just before
    names = [one.name for one in machines]
    if len(set(names)) != len(names):
        raise errors.Invalid("Two machines have the same name", hint="Names must differ.")
    spec = Spec(**fields, machines=tuple(machines))  # pyright: ignore[reportArgumentType] - checked just before
    _check_networks(spec)
    filled = tuple(_fill(spec, index, one) for index, one in enumerate(machines))
    namespace = spec.namespace
    if namespace is None and spec.network:
        namespace = f"ingot-{spec.name}"
    return dataclasses.replace(spec, machines=filled, namespace=namespace)


def _check_networks(spec: Spec) -> None:
    try:
        ipaddress.ip_interface(spec.address)
        hosts = ipaddress.ip_network(spec.bmc_network).num_addresses - 2
    except ValueError as error:
        raise errors.Invalid(f"address or bmc_network of the rack: {error}", hint="See ingot_rack.specs.") from error
    if spec.network and hosts < len(spec.machines):
        raise errors.Invalid(f"{spec.bmc_network} is too small for the BMCs", hint="Give a larger bmc_network.")


def _checked(kind: type[Spec] | type[MachineSpec], parsed: object, where: str) -> dict[str, object]:
    """The fields of a table with their types checked and enums made."""
    if not isinstance(parsed, dict):
        raise errors.Invalid(f"{where} is not a table", hint="See the example in ingot_rack.specs.")
    hints = cast("dict[str, object]", get_type_hints(kind))
    checked: dict[str, object] = {}
    for key, value in cast("dict[str, object]", parsed).items():
        if key not in hints:
            raise errors.Invalid(f"{where} has no setting {key!r}", hint=f"Known: {', '.join(sorted(hints))}.")
        checked[key] = value if key == "machines" else _typed(hints[key], value, f"{key} of {where}")
    if not checked.get("name"):
        raise errors.Invalid(f"{where} has no name", hint="Add name = ...")
    return checked


def _typed(hint: object, value: object, where: str) -> object:
    if hint is float and isinstance(value, int):
        return float(value)
    if isinstance(hint, type) and issubclass(hint, str) and isinstance(value, str):
        try:
            return hint(value)
        except ValueError as error:
            raise errors.Invalid(f"{where}: {error}", hint="See ingot_rack.specs.") from error
    if hint == str | None and isinstance(value, str):
        return value
    if type(value) is not hint:
        raise errors.Invalid(f"{where} has the wrong type: {value!r}", hint=f"Expected {hint}.")
    return value


def _fill(spec: Spec, index: int, one: MachineSpec) -> MachineSpec:
    if one.bmc not in BMC_KINDS or one.kind not in {"qemu", "simulated"}:
        raise errors.Invalid(f"{one.name}: bmc {one.bmc!r} or kind {one.kind!r} is unknown", hint="ipmi or redfish.")
    if one.firmware is BootMode.BIOS and (one.secure_boot or not one.pxe):
        raise errors.Invalid(f"{one.name}: BIOS has no Secure Boot and no HTTP boot", hint='Set firmware = "uefi".')
    if one.processor is not Processor.X86_64:
        _check_foreign(one)
    if one.bmc == "ipmi" and len(one.password.encode()) > 20:
        raise errors.Invalid(f"{one.name}: an IPMI password has at most 20 bytes", hint="Choose a shorter one.")
    if not set(one.ipmi_versions.split()) <= {"1.5", "2.0"}:
        raise errors.Invalid(
            f"{one.name}: ipmi_versions {one.ipmi_versions!r} is unknown", hint='"2.0", "1.5" or both.'
        )
    digest = hashlib.sha256(f"{spec.name}/{one.name}".encode()).hexdigest()
    if spec.network:
        hosts = ipaddress.ip_network(spec.bmc_network)
        address, port = str(hosts[index + 1]), {"ipmi": 623, "redfish": 443 if one.bmc_tls else 80}[one.bmc]
    else:
        address, port = f"127.{64 + int(digest[0:2], 16) % 64}.{int(digest[2:4], 16)}.{index + 1}", 0
    return dataclasses.replace(
        one,
        mac=one.mac.lower() or f"52:54:00:{digest[0:2]}:{digest[2:4]}:{digest[4:6]}",
        bmc_address=one.bmc_address or address,
        bmc_port=one.bmc_port or port,
        password=one.password or secrets.token_urlsafe(12),
    )


def _check_foreign(one: MachineSpec) -> None:
    """QEMU's ARM server has neither a BIOS nor an AHCI controller, and its package no firmware with keys in it."""
    if one.firmware is BootMode.BIOS or one.secure_boot or one.disk_bus is qemu.DiskBus.AHCI:
        raise errors.Invalid(
            f"{one.name}: an {one.processor} machine here has no BIOS, no Secure Boot and no AHCI disk",
            hint='Set firmware = "uefi" and another disk_bus.',
        )


def machine_uuid(spec: Spec, one: MachineSpec) -> str:
    """The machine's UUID: always the same for the same rack and name."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"ingot-rack:{spec.name}/{one.name}"))


def hull(spec: Spec, one: MachineSpec, tap: str) -> qemu.Hull:
    """The QEMU description of a machine."""
    size = int(one.disk_gib * (1 << 30))
    digest = hashlib.sha256(f"{spec.name}/{one.name}".encode()).hexdigest()
    kind = (one.disk_format, one.disk_write_rate)
    disks = tuple(
        qemu.Disk(size, f"IR{digest[:10]}{index}".upper(), one.disk_bus, f"0x5{digest[:14]}{index}", *kind)
        for index in range(one.disks)
    )
    rom = one.nic_rom and one.processor is Processor.X86_64  # what is in them are programs for x86
    nics = (qemu.Nic(one.mac, tap, one.nic, rom),)
    made = qemu.Hull(one.name, machine_uuid(spec, one), one.firmware, one.memory_mb, one.vcpus, disks, nics, one.cd)
    made = dataclasses.replace(made, secure_boot=one.secure_boot, pxe=one.pxe, scsi_disk=one.scsi_disk)
    return dataclasses.replace(made, processor=one.processor)
