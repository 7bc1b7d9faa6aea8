"""The QEMU command line of a machine, from its description.

Why: every option and its reason in one pure function, readable next to a real server's data sheet.
May not: start anything. Invariant: the boot order given is the order of `bootindex`; never -no-reboot, because a
deployed system must be able to reboot.
"""

from __future__ import annotations

import dataclasses
import enum
from pathlib import Path

from ingot_rack import errors
from ingot_rack.hardware import BootDevice, BootMode, Processor

TCG_CPU = "qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt,+cx16,+lahf_lm,+rdrand,+aes,+pclmulqdq"
CODE_AND_VARS = (
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
    ("/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),
    ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
)
SECURE_CODE_AND_VARS = (
    ("/usr/share/OVMF/OVMF_CODE_4M.ms.fd", "/usr/share/OVMF/OVMF_VARS_4M.ms.fd"),
    ("/usr/share/OVMF/OVMF_CODE.ms.fd", "/usr/share/OVMF/OVMF_VARS.ms.fd"),
)
ARM_CODE_AND_VARS = (
    ("/usr/share/AAVMF/AAVMF_CODE.no-secboot.fd", "/usr/share/AAVMF/AAVMF_VARS.fd"),
    ("/usr/share/AAVMF/AAVMF_CODE.fd", "/usr/share/AAVMF/AAVMF_VARS.fd"),
)
PACKAGES = {Processor.X86_64: "qemu-system-x86", Processor.AARCH64: "qemu-system-arm"}


class DiskBus(enum.StrEnum):
    """How a disk is attached."""

    VIRTIO = "virtio"
    NVME = "nvme"
    AHCI = "ahci"
    SCSI = "scsi"


class NicModel(enum.StrEnum):
    """A network card."""

    VIRTIO = "virtio"
    E1000 = "e1000"


class CdSlot(enum.StrEnum):
    """How the virtual CD is attached; Debian's cloud kernel sees only the SCSI one."""

    SCSI = "scsi"
    USB = "usb"
    NONE = "none"


@dataclasses.dataclass(frozen=True, slots=True)
class Disk:
    """A disk: size in bytes, serial of at most 20 characters, wwn as 0x... (SCSI and AHCI only), raw or qcow2.

    ``write_rate``: bytes a second it takes at most, 0 for no limit.
    """

    size: int
    serial: str
    bus: DiskBus = DiskBus.VIRTIO
    wwn: str = ""
    format: str = "raw"
    write_rate: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Nic:
    """A network card on a tap; an empty tap means QEMU's own user network, cut off from everything."""

    mac: str
    tap: str = ""
    model: NicModel = NicModel.VIRTIO
    rom: bool = True


@dataclasses.dataclass(frozen=True, slots=True)
class Hull:
    """The description of one machine; memory in MiB.

    ``secure_boot`` and ``pxe`` (False: UEFI boots from the network over HTTP only) are UEFI's. ``scsi_disk``: an iSCSI
    URL, "" for none: one more disk, to which the machine's SCSI commands go as they are.
    """

    name: str
    uuid: str
    firmware: BootMode = BootMode.BIOS
    memory_mb: int = 1024
    vcpus: int = 1
    disks: tuple[Disk, ...] = ()
    nics: tuple[Nic, ...] = ()
    cd: CdSlot = CdSlot.SCSI
    secure_boot: bool = False
    pxe: bool = True
    scsi_disk: str = ""
    processor: Processor = Processor.X86_64


def firmware_files(hull: Hull) -> tuple[Path, Path]:
    """The UEFI code and the template of its variables; with Secure Boot those with Microsoft's keys, enforcing them."""
    arm = hull.processor is Processor.AARCH64
    known = ARM_CODE_AND_VARS if arm else SECURE_CODE_AND_VARS if hull.secure_boot else CODE_AND_VARS
    for code, variables in known:
        if Path(code).exists() and Path(variables).exists():
            return Path(code), Path(variables)
    package = "qemu-efi-aarch64" if arm else "ovmf"
    raise errors.RackError("No UEFI firmware for QEMU was found", hint=f"Install the package {package}.")


@dataclasses.dataclass(frozen=True, slots=True)
class Files:
    """Where one machine's files and sockets are."""

    folder: Path
    sockets: Path

    def disk(self, index: int, disk: Disk) -> Path:
        """The image of a disk."""
        return self.folder / f"disk{index}.{disk.format}"

    @property
    def serial_log(self) -> Path:
        """Everything the serial line ever said."""
        return self.folder / "serial.log"

    @property
    def serial(self) -> Path:
        """The serial line's socket (one client at a time)."""
        return self.sockets / "serial.sock"

    @property
    def qmp(self) -> Path:
        """The control socket of the rack."""
        return self.sockets / "qmp.sock"

    @property
    def vnc(self) -> Path:
        """The display's socket (VNC)."""
        return self.sockets / "vnc.sock"

    @property
    def variables(self) -> Path:
        """The UEFI variables of this machine."""
        return self.folder / "vars.fd"

    @property
    def errors_log(self) -> Path:
        """What QEMU itself complained about."""
        return self.folder / "qemu.log"

    @property
    def pid(self) -> Path:
        """The process number."""
        return self.folder / "qemu.pid"

    @property
    def serial_port(self) -> Path:
        """The I/O port number (two bytes) that SeaBIOS reads as its serial console."""
        return self.folder / "sercon"

    @property
    def settings(self) -> Path:
        """What survives a power cycle: the persistent boot device."""
        return self.folder / "settings.json"


def command(hull: Hull, files: Files, order: tuple[BootDevice, ...], accelerator: str, media: Path | None) -> list[str]:
    """The whole argument list."""
    hull = _for_http(hull) if order[0] is BootDevice.HTTP else hull
    argv = [*_board(hull, accelerator), "-name", f"{hull.name},process=ingot-qemu", "-nodefaults", "-no-user-config"]
    argv += ["-m", str(hull.memory_mb), "-smp", str(hull.vcpus), "-rtc", "base=utc", "-uuid", hull.uuid]
    argv += ["-smbios", f"type=1,manufacturer=Ingot,product=Rack Server,serial={hull.name},uuid={hull.uuid}"]
    argv += ["-display", "none", "-vnc", f"unix:{_quoted(files.vnc)}"]
    argv += [
        "-chardev",
        f"socket,id=qmp,path={_quoted(files.qmp)},server=on,wait=off",
        "-mon",
        "qmp,mode=control",
    ]
    log = f"logfile={_quoted(files.serial_log)},logappend=on"
    argv += ["-chardev", f"socket,id=serial,path={_quoted(files.serial)},server=on,wait=off,{log}"]
    argv += ["-serial", "chardev:serial", "-pidfile", str(files.pid), "-device", "virtio-rng-pci"]
    argv += _firmware(hull, files)
    ranks = {device: 10 * rank + 1 for rank, device in enumerate(order)}
    for index, disk in enumerate(hull.disks):
        argv += _disk(index, disk, files, ranks.get(BootDevice.DISK))
    for index, nic in enumerate(hull.nics):
        argv += _nic(index, nic, ranks.get(BootDevice.HTTP, ranks.get(BootDevice.NETWORK)))
    argv += _cd(hull.cd, media, ranks.get(BootDevice.CD)) + _scsi_disk(hull.scsi_disk)
    if BootDevice.SETUP in order:
        argv += ["-boot", "menu=on,splash-time=600000"]
    return argv


def _board(hull: Hull, accelerator: str) -> list[str]:
    """The program, and what differs between the processors; QEMU's ARM server has a serial line and no screen."""
    if hull.processor is Processor.AARCH64:
        return ["qemu-system-aarch64", "-machine", "virt", "-accel", accelerator, "-cpu", "cortex-a72"]
    kind = f"q35,smm={'on' if hull.secure_boot else 'off'}"
    cpu = TCG_CPU if accelerator.startswith("tcg") else "host"
    return ["qemu-system-x86_64", "-machine", kind, "-accel", accelerator, "-cpu", cpu, "-vga", "std"]


def _for_http(hull: Hull) -> Hull:
    """UEFI's own stack boots over HTTP, not the cards' ROMs, which know PXE only."""
    return dataclasses.replace(hull, pxe=False, nics=tuple(dataclasses.replace(nic, rom=False) for nic in hull.nics))


def _quoted(path: Path) -> str:
    return str(path).replace(",", ",,")


def _firmware(hull: Hull, files: Files) -> list[str]:
    if hull.firmware is BootMode.BIOS:
        # SeaBIOS then shows on the serial line what it and iPXE show on the screen
        return ["-fw_cfg", f"name=etc/sercon-port,file={_quoted(files.serial_port)}"]
    code, _ = firmware_files(hull)
    argv = ["-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={code}"]
    argv += ["-drive", f"if=pflash,format=raw,unit=1,file={_quoted(files.variables)}"]
    if hull.secure_boot:  # the variables may be written in system management mode alone, which cannot sleep
        argv += ["-global", "driver=cfi.pflash01,property=secure,value=on", "-global", "ICH9-LPC.disable_s3=1"]
    if not hull.pxe:
        for version in (4, 6):
            argv += ["-fw_cfg", f"name=opt/org.tianocore/IPv{version}PXESupport,string=no"]
    return argv


def _disk(index: int, disk: Disk, files: Files, rank: int | None) -> list[str]:
    """A disk; flushes are ignored because a rack's disks need not outlive a crash of the host."""
    name = f"disk{index}"
    path = _quoted(files.disk(index, disk))
    options = f"file={path},format={disk.format},if=none,id={name},cache=unsafe,discard=unmap,detect-zeroes=unmap"
    if disk.write_rate:
        options += f",throttling.bps-write={disk.write_rate}"
    device = {
        DiskBus.VIRTIO: "virtio-blk-pci",
        DiskBus.NVME: "nvme",
        DiskBus.AHCI: "ide-hd",
        DiskBus.SCSI: "scsi-hd",
    }[disk.bus]
    text = f"{device},drive={name},serial={disk.serial}"
    extra: list[str] = []
    if disk.bus is DiskBus.AHCI:
        text += f",bus=ide.{index}"
    if disk.bus is DiskBus.SCSI:
        extra = ["-device", f"virtio-scsi-pci,id=scsi{index}"]
        text += f",bus=scsi{index}.0"
    if disk.wwn and disk.bus in {DiskBus.AHCI, DiskBus.SCSI}:
        text += f",wwn={disk.wwn}"
    if rank is not None:
        text += f",bootindex={rank + index}"
    return ["-drive", options, *extra, "-device", text]


def _scsi_disk(url: str) -> list[str]:
    """A disk that no firmware boots from: QEMU adds nothing to what the machine says to it."""
    if not url:
        return []
    device = ["-device", "virtio-scsi-pci,id=peers", "-device", "scsi-generic,drive=peer,bus=peers.0"]
    return ["-drive", f"file={url},format=raw,if=none,id=peer", *device]


def _nic(index: int, nic: Nic, rank: int | None) -> list[str]:
    model = {NicModel.VIRTIO: "virtio-net-pci", NicModel.E1000: "e1000"}[nic.model]
    text = f"{model},netdev=net{index},mac={nic.mac}"
    if rank is not None:
        text += f",bootindex={rank + index}"
    if not nic.rom:
        text += ",romfile="
    user = f"user,id=net{index},restrict=on"
    tap = f"tap,id=net{index},ifname={nic.tap},script=no,downscript=no"
    return ["-netdev", tap if nic.tap else user, "-device", text]


def _cd(slot: CdSlot, media: Path | None, rank: int | None) -> list[str]:
    if slot is CdSlot.NONE:
        return []
    drive = "if=none,id=cd,media=cdrom,readonly=on"
    if media:
        drive += f",format=raw,file={_quoted(media)}"
    index = "" if rank is None else f",bootindex={rank}"
    if slot is CdSlot.USB:
        bus = ["-device", "qemu-xhci,id=usb"]
        return [
            *bus,
            "-drive",
            drive,
            "-device",
            "usb-bot,id=bot,bus=usb.0",
            "-device",
            f"scsi-cd,id=cddev,bus=bot.0,lun=0,drive=cd{index}",
        ]
    return [
        "-device",
        "virtio-scsi-pci,id=cdbus",
        "-drive",
        drive,
        "-device",
        f"scsi-cd,id=cddev,bus=cdbus.0,drive=cd{index}",
    ]
