"""A virtual machine that boots the deploy ramdisk directly, and orders for its agent; for tests and benches."""

from __future__ import annotations

import base64
import contextlib
import gzip
import os
import shutil
import socket
import subprocess
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import programs
from agent import peers
from agent.recipe import load

MIB = 1 << 20
MAC = "52:54:00:0a:0b:0c"
OVMF = Path("/usr/share/OVMF")
_DISKS = {"virtio": "virtio-blk-pci", "nvme": "nvme", "ahci": "ide-hd,bus=ide.0"}


@dataclass(frozen=True)
class Machine:
    disk: Path
    serial: Path
    port: int
    api: peers.Ironic
    process: subprocess.Popen[bytes]

    @property
    def client(self) -> peers.AgentClient:
        """The agent behind QEMU's port forwarding, by the certificate of its first heartbeat."""
        ca = self.api.seen.heartbeats[0]["agent_verify_ca"]
        return peers.AgentClient(f"https://127.0.0.1:{self.port}", ca=ca, named=False)

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def firmware(folder: Path) -> list[str]:
    """UEFI with the variables of this folder: new ones at first, later what the machine made of them."""
    own = folder / "vars.fd"
    if not own.exists():
        shutil.copy(OVMF / "OVMF_VARS_4M.fd", own)
    code = f"if=pflash,format=raw,readonly=on,file={OVMF / 'OVMF_CODE_4M.fd'}"
    return ["-drive", code, "-drive", f"if=pflash,format=raw,file={own}"]


@dataclass(frozen=True)
class Frame:
    """What a machine is made of: ``memory`` in MB, ``disk_pace`` in bytes a second, 0 for as fast as it goes.

    ``disk``: virtio, nvme or ahci; ``card``: QEMU's name of the network card; ``words``: more for the kernel's command
    line; ``extra``: more for QEMU's.
    """

    memory: int
    processors: int = 1
    disk_pace: int = 0
    disk: str = "virtio"
    card: str = "virtio-net-pci"
    words: str = ""
    extra: tuple[str, ...] = ()


@dataclass(frozen=True)
class Hull:
    """What a machine is started with; ``output``: the ramdisk's folder. The disk is made, 4 GiB and blank."""

    output: Path
    initrd: Path
    disk: Path
    serial: Path
    frame: Frame

    def command(self, append: str, forward: str = "") -> list[str]:
        """QEMU's argument list for a direct boot of the ramdisk's kernel; ``forward``: more of the user network."""
        with self.disk.open("wb") as file:
            file.truncate(4 << 30)
        words = ["qemu-system-x86_64", "-accel", "tcg", "-machine", "q35", "-nodefaults", "-no-reboot"]
        words += ["-display", "none", "-vga", "std"]
        words += ["-m", str(self.frame.memory), "-smp", str(self.frame.processors), "-serial", f"file:{self.serial}"]
        words += ["-kernel", str(self.output / "vmlinuz"), "-initrd", str(self.initrd), "-append", append]
        words += ["-netdev", f"user,id=n0{forward}", "-device", f"{self.frame.card},netdev=n0,romfile=,mac={MAC}"]
        pace = f",throttling.bps-total={self.frame.disk_pace}" if self.frame.disk_pace else ""
        words += ["-drive", f"file={self.disk},format=raw,if=none,id=d0,discard=unmap{pace}"]
        return [*words, "-device", f"{_DISKS[self.frame.disk]},drive=d0,serial=D0", *self.frame.extra]


@contextlib.contextmanager
def booted(
    folder: Path, api: peers.Ironic, *, variant: str, frame: Frame, uefi: bool = False, extras: Sequence[Path] = ()
) -> Iterator[Machine]:
    """A machine started with kernel and initrd directly; killed at the end."""
    output = folder / "ramdisk"
    load("build").build(variant, output, lambda _phase, _part: None, extras)
    port = free_port()
    append = f"console=tty0 console=ttyS0 panic=5 BOOTIF=01-{MAC.replace(':', '-')}"
    append += f" ipa-api-url=http://10.0.2.2:{api.port} ipa-inspection-collectors=default,tpm {frame.words}"
    hull = Hull(output, output / "initrd", folder / "disk", folder / "serial", frame)
    command = hull.command(append, forward=f",hostfwd=tcp:127.0.0.1:{port}-:9999")
    disk, serial = hull.disk, hull.serial
    command += firmware(folder) if uefi else []
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process:
        try:
            yield Machine(disk, serial, port, api, process)
        except BaseException:
            print(serial.read_text(errors="replace")[-4000:] if serial.exists() else "no serial output")
            raise
        finally:
            process.kill()


@contextlib.contextmanager
def tpm(folder: Path, chip: str) -> Generator[tuple[str, ...]]:
    """A TPM 2.0 by other authors while the block lasts; QEMU's words for it behind ``chip`` (tpm-tis or tpm-crb)."""
    state = folder / "tpm"
    state.mkdir()
    words = ["socket", "--tpm2", "--tpmstate", f"dir={state}", "--ctrl", f"type=unixio,path={state}/socket"]
    with subprocess.Popen([programs.system("swtpm"), *words], stdin=subprocess.DEVNULL) as child:
        try:
            peers.wait_until((state / "socket").exists, 20, "the TPM")
            line = ("-chardev", f"socket,id=tpm,path={state}/socket", "-tpmdev", "emulator,id=tpm0,chardev=tpm")
            yield (*line, "-device", f"{chip},tpmdev=tpm0")
        finally:
            child.terminate()


def partitioned(folder: Path) -> bytes:
    """A small whole-disk image: an ESP with a loader's name on it, a root partition with some data."""
    image, esp = folder / "image", folder / "esp"
    with image.open("wb") as file:
        file.truncate(96 * MIB)
    subprocess.run(
        ["sgdisk", "-n", "1:2048:+40M", "-t", "1:ef00", "-n", "2:0:0", "-t", "2:8300", str(image)],
        check=True,
        capture_output=True,
    )
    with esp.open("wb") as file:
        file.truncate(40 * MIB)
    subprocess.run(["mkfs.vfat", "-F", "32", str(esp)], check=True, capture_output=True)
    loader = folder / "loader"
    loader.write_bytes(b"MZ")
    subprocess.run(["mmd", "-i", str(esp), "::EFI", "::EFI/debian"], check=True)
    subprocess.run(["mcopy", "-i", str(esp), str(loader), "::EFI/debian/shimx64.efi"], check=True)
    body = bytearray(image.read_bytes())
    body[MIB : 41 * MIB] = esp.read_bytes()
    body[50 * MIB : 58 * MIB] = os.urandom(8 * MIB)
    return bytes(body)


def file_system(folder: Path) -> bytes:
    """A small partition image: a FAT file system with 8 MiB of data that does not shrink."""
    image, data = folder / "partition", folder / "data"
    with image.open("wb") as file:
        file.truncate(40 * MIB)
    subprocess.run(["mkfs.vfat", "-F", "32", str(image)], check=True, capture_output=True)
    data.write_bytes(os.urandom(8 * MIB))
    subprocess.run(["mcopy", "-i", str(image), str(data), "::data"], check=True)
    return image.read_bytes()


def order(images: peers.Images, body: bytes, chunks: bytes) -> dict[str, Any]:
    base = f"http://10.0.2.2:{images.port}"
    info: dict[str, Any] = {"id": "i", "urls": [f"{base}/i.raw"], "disk_format": "raw"}
    info["ingot_chunks"] = {"url": f"{base}/i.map", "digest": peers.digest(chunks)}
    drive = base64.b64encode(gzip.compress(b"config drive" * 1000)).decode()
    step = {"step": "write_image", "interface": "deploy", "args": {"image_info": info, "configdrive": drive}}
    return {"step": step, "node": {"properties": {"root_device": {"serial": "D0"}}}, "ports": []}
