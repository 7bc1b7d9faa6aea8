"""A partition image in a virtual machine: the agent writes it and makes it start, and then it starts from its disk.

BIOS: GRUB's own installer, in the chroot of the image. UEFI: loader files that the image brings.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from agent import peers, rootfs
from agent.vm import MIB, Frame, Hull, Machine, booted, firmware, order

pytestmark = [
    pytest.mark.qemu,
    pytest.mark.long,
    pytest.mark.timeout(600),
    pytest.mark.skipif(shutil.which("qemu-system-x86_64") is None, reason="no QEMU on this host"),
    pytest.mark.skipif(shutil.which("grub-mkimage") is None, reason="no GRUB on this host"),
]
INIT = """#!/bin/busybox sh
/bin/busybox mkdir -p /proc && /bin/busybox mount -t proc proc /proc
echo "the image started: $(/bin/busybox cat /proc/cmdline)"
/bin/busybox poweroff -f
"""


def starter(folder: Path) -> Path:
    """An initial ramdisk whose first process says that it runs."""
    home = folder / "initrd.d"
    (home / "bin").mkdir(parents=True)
    shutil.copy(str(shutil.which("busybox")), home / "bin/busybox")
    (home / "init").write_text(INIT)
    (home / "init").chmod(0o755)
    packed = subprocess.run(
        ["cpio", "-o", "-H", "newc", "--quiet"],
        input=b"init\nbin\nbin/busybox\n",
        cwd=home,
        capture_output=True,
        check=True,
    )
    target = folder / "initrd.own"
    target.write_bytes(packed.stdout)
    return target


def succeed(machine: Machine, name: str, params: dict[str, Any]) -> Any:
    result = machine.client.post(name, params)[1]
    assert result["command_status"] == "SUCCEEDED", result
    return result["command_result"]


@pytest.mark.parametrize("uefi", [False, True], ids=["bios", "uefi"])
def test_a_partition_image_starts_from_its_disk(tmp_path: Path, uefi: bool) -> None:
    frame = Frame(512)
    with (
        peers.Ironic() as api,
        peers.Images({}) as images,
        booted(tmp_path, api, variant="cloud", frame=frame, uefi=uefi) as machine,
    ):
        parts = rootfs.Parts(tmp_path / "ramdisk/vmlinuz", starter(tmp_path))
        body = rootfs.make(tmp_path, parts, "uefi" if uefi else "bios").read_bytes()
        chunks = peers.chunk_map(body)
        images.files |= {"/i.raw": body, "/i.map": chunks}
        peers.wait_until(lambda: api.seen.heartbeats, 180, "the heartbeat")
        wanted = order(images, body, chunks)
        info = wanted["step"]["args"]["image_info"]
        info |= {"image_type": "partition", "root_mb": 300, "swap_mb": 64, "ephemeral_mb": 200}
        succeed(machine, "deploy.execute_deploy_step", wanted)
        uuids = succeed(machine, "standby.get_partition_uuids", {})
        assert uuids["root uuid"] == rootfs.UUID
        loader = {"root_uuid": rootfs.UUID, "efi_system_part_uuid": uuids["efi system partition uuid"]}
        said = succeed(machine, "image.install_bootloader", {**loader, "target_boot_mode": "uefi" if uefi else "bios"})
        assert ("boot entry" if uefi else "grub-install of the image") in said["result"]
        succeed(machine, "standby.sync", {})
    disk, serial = machine.disk, tmp_path / "second"
    assert "ephemeral0" in rootfs.run(["blkid", "-p", "-O", str((201 if uefi else 1) * MIB), str(disk)])
    words = Hull(tmp_path / "ramdisk", tmp_path / "none", tmp_path / "blank", serial, frame).command("")
    at = words.index("-kernel")
    words[at : at + 6] = []
    words = [word.replace(str(tmp_path / "blank"), str(disk)) for word in words]
    words += firmware(tmp_path) if uefi else []
    subprocess.run(words, stdin=subprocess.DEVNULL, timeout=240, check=True)
    assert f"the image started: BOOT_IMAGE=/boot/vmlinuz console=ttyS0 root=UUID={rootfs.UUID}" in serial.read_text()
