"""The hardware a BMC fronts: what every machine, booted or simulated, can do.

Why: one IPMI and one Redfish server must drive a QEMU machine and an in-memory one alike.
May not: know a protocol or a process. Invariant: a boot override that is not persistent is gone once used.
"""

from __future__ import annotations

import asyncio
import dataclasses
import enum
from pathlib import Path
from typing import Protocol


class PowerState(enum.StrEnum):
    """Whether the main power is on."""

    ON = "on"
    OFF = "off"


class PowerAction(enum.StrEnum):
    """What a power button, a BMC or an operator can ask for."""

    ON = "on"
    OFF = "off"
    SOFT_OFF = "soft off"
    RESET = "reset"
    CYCLE = "cycle"
    NMI = "nmi"


class BootDevice(enum.StrEnum):
    """Where the firmware looks first. NONE means the machine's own order."""

    NONE = "none"
    NETWORK = "network"
    DISK = "disk"
    CD = "cd"
    SETUP = "setup"
    HTTP = "http"


class BootMode(enum.StrEnum):
    """The firmware's kind."""

    BIOS = "bios"
    UEFI = "uefi"


class Processor(enum.StrEnum):
    """The architecture, as Linux and QEMU name it."""

    X86_64 = "x86_64"
    AARCH64 = "aarch64"


@dataclasses.dataclass(frozen=True, slots=True)
class BootOverride:
    """A boot device chosen from outside; mode None means that the machine's firmware decides.

    ``http_uri``: what UEFI shall fetch when the device is HTTP; empty means the URL that DHCP gives.
    """

    device: BootDevice = BootDevice.NONE
    persistent: bool = False
    mode: BootMode | None = None
    http_uri: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class DiskFacts:
    """One disk as the inventory shows it; size in bytes."""

    serial: str
    size: int
    bus: str


@dataclasses.dataclass(frozen=True, slots=True)
class Facts:
    """What does not change while the machine exists; memory in MiB."""

    name: str
    uuid: str
    serial_number: str
    firmware: BootMode
    vcpus: int
    memory_mb: int
    macs: tuple[str, ...]
    disks: tuple[DiskFacts, ...]
    manufacturer: str = "Ingot"
    product: str = "Rack Server"
    processor: Processor = Processor.X86_64


Console = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Hardware(Protocol):
    """One server. Methods raise errors.NotNow when the power state forbids them."""

    @property
    def facts(self) -> Facts:
        """The unchanging description."""
        ...

    @property
    def power(self) -> PowerState:
        """The truth about the power, whatever a BMC says."""
        ...

    @property
    def boot(self) -> BootOverride:
        """The override the next boot will use."""
        ...

    @property
    def media(self) -> Path | None:
        """The image in the virtual CD drive; None means empty."""
        ...

    async def set_power(self, action: PowerAction) -> None:
        """Act on the power; returns when the action is begun (soft off) or done (all others)."""
        ...

    async def set_boot(self, override: BootOverride) -> None:
        """Choose the device of the next boot (or of all, when persistent)."""
        ...

    async def insert_media(self, image: Path) -> None:
        """Put an image into the virtual CD drive, with or without power."""
        ...

    async def eject_media(self) -> None:
        """Empty the virtual CD drive."""
        ...

    async def open_console(self) -> Console:
        """Connect to the serial line; raises NotSupported where there is none."""
        ...
