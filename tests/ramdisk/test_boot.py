"""The ramdisk in a virtual machine (user networking): boots, calls, writes an image."""

from __future__ import annotations

import base64
import contextlib
import gzip
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agent import peers
from agent.recipe import load

pytestmark = [
    pytest.mark.qemu,
    pytest.mark.timeout(300),
    pytest.mark.skipif(shutil.which("qemu-system-x86_64") is None, reason="no QEMU on this host"),
]

MIB = 1 << 20
MAC = "52:54:00:0a:0b:0c"
_OVMF = Path("/usr/share/OVMF")


@dataclass(frozen=True)
class Machine:
    disk: Path
    serial: Path
    client: peers.AgentClient
    process: subprocess.Popen[bytes]

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def firmware(folder: Path) -> list[str]:
    own = folder / "vars.fd"
    shutil.copy(_OVMF / "OVMF_VARS_4M.fd", own)
    code = f"if=pflash,format=raw,readonly=on,file={_OVMF / 'OVMF_CODE_4M.fd'}"
    return ["-drive", code, "-drive", f"if=pflash,format=raw,file={own}"]


@contextlib.contextmanager
def booted(folder: Path, api: peers.Ironic, *, variant: str, memory: int, uefi: bool = False) -> Iterator[Machine]:
    """A machine started with kernel and initrd directly; killed at the end."""
    output = folder / "ramdisk"
    load("build").build(variant, output, lambda _phase, _part: None)
    disk, serial, port = folder / "disk", folder / "serial", free_port()
    with disk.open("wb") as file:
        file.truncate(4 << 30)
    append = (
        f"console=tty0 console=ttyS0 panic=5 BOOTIF=01-{MAC.replace(':', '-')} ipa-api-url=http://10.0.2.2:{api.port}"
    )
    command = [
        "qemu-system-x86_64",
        "-accel",
        "tcg",
        "-machine",
        "q35",
        "-m",
        str(memory),
        "-display",
        "none",
        "-nodefaults",
    ]
    command += ["-vga", "std", "-serial", f"file:{serial}", "-no-reboot"]
    command += ["-kernel", str(output / "vmlinuz"), "-initrd", str(output / "initrd"), "-append", append]
    command += ["-netdev", f"user,id=n0,hostfwd=tcp:127.0.0.1:{port}-:9999"]
    command += ["-device", f"virtio-net-pci,netdev=n0,romfile=,mac={MAC}"]
    command += [
        "-drive",
        f"file={disk},format=raw,if=none,id=d0,discard=unmap",
        "-device",
        "virtio-blk-pci,drive=d0,serial=D0",
    ]
    command += firmware(folder) if uefi else []
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process:
        try:
            yield Machine(disk, serial, peers.AgentClient(f"http://127.0.0.1:{port}"), process)
        except BaseException:
            print(serial.read_text(errors="replace")[-4000:] if serial.exists() else "no serial output")
            raise
        finally:
            process.kill()


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


def order(images: peers.Images, body: bytes, chunks: bytes) -> dict[str, Any]:
    base = f"http://10.0.2.2:{images.port}"
    info = {"id": "i", "urls": [f"{base}/i.raw"], "disk_format": "raw"}
    info["ingot_chunks"] = {"url": f"{base}/i.map", "digest": peers.digest(chunks)}  # type: ignore[assignment]
    drive = base64.b64encode(gzip.compress(b"config drive" * 1000)).decode()
    step = {"step": "write_image", "interface": "deploy", "args": {"image_info": info, "configdrive": drive}}
    return {"step": step, "node": {"properties": {"root_device": {"serial": "D0"}}}, "ports": []}


@pytest.mark.parametrize(("variant", "memory"), [("cloud", 512), ("full", 384)])
def test_boots_calls_and_writes_an_image(tmp_path: Path, variant: str, memory: int) -> None:
    body = partitioned(tmp_path)
    chunks = peers.chunk_map(body)
    with (
        peers.Ironic() as api,
        peers.Images({"/i.raw": body, "/i.map": chunks}) as images,
        booted(tmp_path, api, variant=variant, memory=memory) as machine,
    ):
        peers.wait_until(lambda: api.seen.lookups, 120, "the lookup")
        print(f"{variant}: lookup after {machine.cpu_seconds():.1f} s of processor time")
        peers.wait_until(lambda: api.seen.heartbeats, 30, "the heartbeat")
        assert api.seen.lookups[0] == f"/v1/lookup?addresses={MAC}"
        assert api.seen.heartbeats[0]["callback_url"] == "http://10.0.2.15:9999"
        inventory = machine.client.post("poll.get_hardware_info")[1]["command_result"]
        assert inventory["interfaces"][0]["driver"] == "virtio_net"
        assert [(one["serial"], one["size"]) for one in inventory["disks"]] == [("D0", 4 << 30)]
        assert inventory["memory"]["physical_mb"] == memory
        started = time.monotonic()
        result = machine.client.post("deploy.execute_deploy_step", order(images, body, chunks))[1]
        assert result["command_status"] == "SUCCEEDED", result
        print(f"{variant}: image written in {time.monotonic() - started:.1f} s")
        logs = machine.client.post("log.collect_system_logs")[1]
        assert logs["command_status"] == "SUCCEEDED"
        machine.client.post("standby.power_off", wait=False)
        assert machine.process.wait(60) == 0
    check = subprocess.run(["sgdisk", "-v", str(machine.disk)], capture_output=True, text=True, check=True)
    assert "No problems found" in check.stdout
    assert (
        "config-2"
        in subprocess.run(["sgdisk", "-p", str(machine.disk)], capture_output=True, text=True, check=True).stdout
    )
    with machine.disk.open("rb") as file:
        written = file.read(len(body))
    assert written[MIB : 95 * MIB] == body[MIB : 95 * MIB]


@pytest.mark.skipif(not (_OVMF / "OVMF_CODE_4M.fd").exists(), reason="no OVMF on this host")
def test_makes_the_boot_entry_under_uefi(tmp_path: Path) -> None:
    body = partitioned(tmp_path)
    chunks = peers.chunk_map(body)
    with (
        peers.Ironic() as api,
        peers.Images({"/i.raw": body, "/i.map": chunks}) as images,
        booted(tmp_path, api, variant="cloud", memory=512, uefi=True) as machine,
    ):
        peers.wait_until(lambda: api.seen.heartbeats, 180, "the heartbeat")
        for _ in range(2):
            result = machine.client.post("deploy.execute_deploy_step", order(images, body, chunks))[1]
            assert result["command_status"] == "SUCCEEDED", result
        result = machine.client.post("image.install_bootloader", {"target_boot_mode": "uefi"})[1]
        assert "starts \\EFI\\debian\\shimx64.efi" in result["command_result"]["result"]
        cleaned = machine.client.post("clean.execute_clean_step", {"step": {"step": "clean_uefi_nvram"}, "node": {}})[1]
        assert cleaned["command_status"] == "SUCCEEDED", cleaned
        machine.client.post("standby.run_image", wait=False)
        assert machine.process.wait(60) == 0  # -no-reboot: a reboot ends the process
