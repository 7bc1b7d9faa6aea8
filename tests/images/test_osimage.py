"""The demo's operating systems are built here, and each boots by BIOS and by UEFI and reads a config drive."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ingot.images import configdrive
from ingot_rack import osimage
from ingot_rack.osimage import Variant

MAC = "52:54:00:ee:01:01"
PATIENCE = 300.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Machine:
    """One emulated server with the image on its disk, a config drive on its second disk, and ssh forwarded."""

    def __init__(self, work: Path, manifest: osimage.ImageManifest, firmware: str) -> None:
        self.work, self.manifest, self.firmware = work, manifest, firmware
        self.port = free_port()
        self.key = work / "key"
        self.serial = work / "serial.log"

    def config_drive(self) -> Path:
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.key)], check=True)
        network = {
            "links": [{"id": "nic", "type": "phy", "ethernet_mac_address": MAC}],
            "networks": [
                {
                    "id": "lan",
                    "type": "ipv4",
                    "link": "nic",
                    "ip_address": "10.0.2.77",
                    "netmask": "255.255.255.0",
                    "routes": [{"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": "10.0.2.2"}],
                }
            ],
            "services": [{"type": "dns", "address": "10.0.2.3"}],
        }
        keys = {"me": self.key.with_suffix(".pub").read_text().strip()}
        meta = {"uuid": "5d2a9d1c-0000-4000-8000-000000000001", "hostname": "proof-7", "public_keys": keys}
        user_data = "#cloud-config\nwrite_files: [{path: /etc/proof, content: cloud-init}]\n"
        parts: dict[str, object] = {"meta_data": meta, "network_data": network, "user_data": user_data}
        drive = self.work / "drive.iso"
        drive.write_bytes(configdrive.build(parts, {}))
        return drive

    def command(self) -> list[str]:
        disk = self.work / "disk.qcow2"
        backing = ["-b", str(self.manifest.path), "-F", "qcow2"]
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *backing, str(disk), "3G"], check=True)
        command = ["qemu-system-x86_64", "-machine", "q35,accel=tcg", "-m", "1024", "-display", "none"]
        command += ["-drive", f"file={disk},if=none,id=disk", "-device", "virtio-blk-pci,drive=disk,bootindex=1"]
        command += ["-drive", f"file={self.config_drive()},format=raw,if=virtio,readonly=on"]
        command += ["-netdev", f"user,id=lan,hostfwd=tcp:127.0.0.1:{self.port}-10.0.2.77:22"]
        command += ["-device", f"virtio-net-pci,netdev=lan,mac={MAC},romfile=", "-serial", f"file:{self.serial}"]
        if self.firmware == "uefi":
            shutil.copy("/usr/share/OVMF/OVMF_VARS_4M.fd", self.work / "vars.fd")
            command += ["-drive", "if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd"]
            command += ["-drive", f"if=pflash,format=raw,file={self.work / 'vars.fd'}"]
        return command

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[Machine]:
        child = await asyncio.create_subprocess_exec(*self.command())
        try:
            yield self
        except BaseException:
            print(self.serial.read_text(errors="replace")[-6000:])
            raise
        finally:
            child.kill()
            await child.wait()

    async def ssh(self, user: str, command: str) -> str:
        """Run ``command`` once ssh answers; the deadline covers the boot."""
        options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "BatchMode=yes", "ConnectTimeout=10"]
        said = b""
        async with asyncio.timeout(PATIENCE):
            while True:
                child = await asyncio.create_subprocess_exec(
                    *("ssh", "-i", str(self.key), "-p", str(self.port), *(f"-o{option}" for option in options)),
                    *(f"{user}@127.0.0.1", command),
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.DEVNULL,
                )
                said, _ = await child.communicate()
                if child.returncode != 255:
                    return said.decode()
                await asyncio.sleep(0.5)


@pytest.mark.qemu
@pytest.mark.timeout(900)
@pytest.mark.parametrize("firmware", ["bios", "uefi"])
@pytest.mark.parametrize("variant", list(Variant))
async def test_the_image_boots_and_obeys_its_config_drive(tmp_path: Path, variant: Variant, firmware: str) -> None:
    manifest = await asyncio.to_thread(osimage.ensure, variant)
    began = time.monotonic()
    async with Machine(tmp_path, manifest, firmware).running() as machine:
        said = await machine.ssh(manifest.user, "hostname; uname -s; cat /proc/partitions; ip -4 addr; cat /etc/proof")
        print(f"{variant} {firmware}: ssh answered after {time.monotonic() - began:.1f} s")
        assert said.startswith("proof-7\nLinux\n")
        assert "10.0.2.77/24" in said
        if variant is Variant.DEBIAN:
            assert "cloud-init" in said
            root = next(line.split() for line in said.splitlines() if line.endswith(" vda3"))
            assert int(root[2]) > 2_900_000  # the root file system's partition grew to the disk's end
            assert "efi" in await machine.ssh(manifest.user, "ls /sys/firmware") or firmware == "bios"
            assert await machine.ssh("root", "id -un") == "root\n"


def test_the_disk_is_a_sound_gpt_and_the_cache_is_used(tmp_path: Path) -> None:
    told: list[str] = []
    manifest = osimage.ensure(Variant.TINY, told.append, tmp_path)
    assert told
    raw = tmp_path / "disk.raw"
    subprocess.run(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", str(manifest.path), str(raw)], check=True)
    checked = subprocess.run(["sgdisk", "-v", str(raw)], capture_output=True, text=True, check=True).stdout
    assert "No problems found" in checked
    assert raw.stat().st_size == manifest.virtual_size < 48 << 20
    told.clear()
    assert osimage.ensure(Variant.TINY, told.append, tmp_path) == manifest
    assert told == []
    os.truncate(manifest.path, 1000)
    again = osimage.ensure(Variant.TINY, told.append, tmp_path)
    assert told
    assert again.path.stat().st_size == again.size > 1000

    assert osimage.missing_packages() == []
