"""From the ramdisk straight into the system on the disk: here the ramdisk again, started by a grub.cfg."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from agent import peers
from agent.vm import MAC, MIB, Frame, booted
from ingot_agent import kexec

GRUB = """
set timeout=5
menuentry 'Debian' --class debian {
    search --no-floppy --fs-uuid --set=root 1234
    linux   /boot/vmlinuz-6.1 root=UUID=12 ro "quiet" ${extra} console=ttyS0
    initrd  /boot/initrd.img-6.1
}
menuentry 'old' { linux /boot/vmlinuz-5 }
"""
BLS = "title Fedora\nlinux /vmlinuz-6\ninitrd /initramfs-6.img $tuned_initrd\noptions $kernelopts $tuned_params\n"


@pytest.mark.skipif(not Path("/dev/loop-control").exists() or os.geteuid() != 0, reason="no loop devices here")
def test_looking_for_the_kernel_writes_nothing(tmp_path: Path) -> None:
    """A file system copied while it was mounted: its journal waits to be replayed."""
    made, copied, there = tmp_path / "made", tmp_path / "copied", tmp_path / "there"
    there.mkdir()
    _run("mke2fs", "-q", "-F", "-t", "ext4", str(made), "48m")
    _run("mount", "-o", "loop", str(made), str(there))
    try:
        (there / "file").write_bytes(os.urandom(1 << 20))
        os.sync()
        shutil.copy(made, copied)
    finally:
        _run("umount", str(there))
    assert "needs_recovery" in _run("dumpe2fs", "-h", str(copied)), "the journal is not empty"
    before = hashlib.sha256(copied.read_bytes()).digest()
    loop = _run("losetup", "-f", "--show", str(copied)).strip()
    try:
        with kexec._mounted(loop, str(there)) as found:  # pyright: ignore[reportPrivateUsage] - all else ends the machine
            assert found
            assert (there / "lost+found").is_dir()
    finally:
        _run("losetup", "-d", loop)
    assert hashlib.sha256(copied.read_bytes()).digest() == before


def _run(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def test_configurations_of_boot_loaders(tmp_path: Path) -> None:
    assert kexec.of_grub(GRUB) == kexec.Entry(
        "/boot/vmlinuz-6.1", "/boot/initrd.img-6.1", "root=UUID=12 ro quiet console=ttyS0"
    )
    assert kexec.of_grub("menuentry 'x' {\n linux ($root)/vmlinuz a=b\n}\n") == kexec.Entry("/vmlinuz", "", "a=b")
    assert kexec.of_grub("set timeout=5\n") is None
    assert kexec.of_bls(BLS, "kernelopts=root=/dev/sda1 ro\n") == kexec.Entry(
        "/vmlinuz-6", "/initramfs-6.img", "root=/dev/sda1 ro"
    )
    assert kexec.of_bls("title nothing\n") is None
    entries = tmp_path / "boot/loader/entries"
    entries.mkdir(parents=True)
    (entries / "1-rescue.conf").write_text(BLS.replace("-6", "-0"))
    (entries / "0.conf").write_text(BLS)
    assert kexec.find(str(tmp_path)) == kexec.of_bls(BLS)
    assert kexec._below(str(tmp_path), "/../../etc/passwd") is None  # pyright: ignore[reportPrivateUsage] - no way out


def _system(folder: Path, options: str) -> Path:
    """A disk with one ext4 partition: the ramdisk's kernel and initrd, and a grub.cfg that starts them."""
    root = folder / "root"
    (root / "boot/grub").mkdir(parents=True)
    for name, source in (("vmlinuz-6.1", "vmlinuz"), ("initrd.img-6.1", "initrd")):
        shutil.copy(folder / "ramdisk" / source, root / "boot" / name)
    (root / "boot/grub/grub.cfg").write_text(GRUB.replace('root=UUID=12 ro "quiet"', options))
    part, disk = folder / "part", folder / "system"
    subprocess.run(["mkfs.ext4", "-q", "-d", str(root), str(part), "60M"], check=True)
    with disk.open("wb") as file:
        file.truncate(64 * MIB)
    subprocess.run(["sgdisk", "-n", "1:2048:0", "-t", "1:8300", str(disk)], check=True, capture_output=True)
    subprocess.run(["dd", f"if={part}", f"of={disk}", "bs=1M", "seek=1", "conv=notrunc", "status=none"], check=True)
    subprocess.run(["sgdisk", "-e", str(disk)], check=False, capture_output=True)
    return disk


@pytest.mark.qemu
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_starts_the_system_on_the_disk(tmp_path: Path) -> None:
    from agent.recipe import load

    load("build").build("cloud", tmp_path / "ramdisk", lambda _phase, _part: None)
    with peers.Ironic() as api:
        url = f"ipa-api-url=http://10.0.2.2:{api.port} BOOTIF=01-{MAC.replace(':', '-')} written=yes"
        disk = _system(tmp_path, url)
        extra = ("-drive", f"file={disk},format=raw,if=none,id=s", "-device", "virtio-blk-pci,drive=s,serial=S1")
        with booted(tmp_path, api, variant="cloud", frame=Frame(768, extra=extra)) as machine:
            peers.wait_until(lambda: api.seen.heartbeats, 120, "the heartbeat")
            none = machine.client.post("ingot.kexec", {"node": {"properties": {"root_device": {"serial": "D0"}}}})[1]
            assert "has a boot loader's configuration with a kernel" in none["command_error"]["details"]
            node = {"properties": {"root_device": {"serial": "S1"}}}
            told = machine.client.post("ingot.kexec", {"node": node})[1]
            assert told["command_result"] == {"result": "starts /boot/vmlinuz-6.1 of /dev/vdb1"}, told
            peers.wait_until(lambda: len(api.seen.lookups) > 1, 90, "the lookup of the system that was started")
            serial = machine.serial.read_text(errors="replace")
            assert "written=yes" in serial
            assert "SeaBIOS" not in serial.partition("leaving for")[2]
