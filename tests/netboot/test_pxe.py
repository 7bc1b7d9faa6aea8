"""Machines that boot without iPXE: a real dnsmasq gives each the files of its own MAC address."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from ingot.domain import errors
from ingot.netboot import dhcp, loaders, pxe
from ingot.netboot.dnsmasq import Dnsmasq
from ingot.netboot.loaders import Program
from ingot.netboot.ramdisk import Ramdisk
from netboot.lan import Lan

OWN, PLAIN = "52:54:00:ee:02:01", "52:54:00:ee:02:02"
TOLD = Ramdisk("http://172.22.9.1:6385")


@contextlib.asynccontextmanager
async def serving(state: Path, *macs: str) -> AsyncGenerator[Dnsmasq]:
    dnsmasq = Dnsmasq(dhcp.plan("srv", "172.22.9.1/24"), state, "http://172.22.9.1:6386")
    dnsmasq.prepare(macs)
    task = asyncio.create_task(dnsmasq.run())
    try:
        await dnsmasq.wait_ready()
        yield dnsmasq
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def loaded(lan: Lan, mac: str, name: str) -> bytes:
    lease = await lan.ask(mac, "-x", "0x5d:0000", tries=4)
    assert lease is not None
    assert "boot_file=bios.pxe" in lease
    return await lan.tftp(name, lease.split()[0].removeprefix("ip="))


async def test_the_same_name_is_another_file_for_a_machine_with_its_own_folder(lan: Lan, tmp_path: Path) -> None:
    for name in ("vmlinuz", "initrd"):
        (tmp_path / name).write_bytes(name.encode() * 3)
    ipxe = loaders.get(Program.IPXE_BIOS).read_bytes()
    async with serving(tmp_path / "dnsmasq", OWN, PLAIN) as dnsmasq:
        root = dnsmasq.tftp_root
        pxe.write(root, OWN, TOLD, tmp_path)
        assert await loaded(lan, OWN, "bios.pxe") == loaders.get(Program.PXELINUX).read_bytes()
        assert await loaded(lan, OWN, "vmlinuz") == b"vmlinuz" * 3
        menu = await loaded(lan, OWN, "pxelinux.cfg/01-52-54-00-ee-02-01")
        assert b"APPEND initrd=/initrd ipa-api-url=http://172.22.9.1:6385 BOOTIF=52:54:00:ee:02:01\n" in menu
        assert b"linux $where/vmlinuz 'ipa-api-url=" in await loaded(lan, OWN, "grub/grub.cfg")
        assert await loaded(lan, OWN, "arm64/vmlinuz") == b"vmlinuz" * 3, "the only one there is"
        assert await loaded(lan, PLAIN, "bios.pxe") == ipxe
        pxe.remove(root, OWN)
        assert await loaded(lan, OWN, "bios.pxe") == ipxe


async def test_an_arm_machine_gets_the_programs_that_lie_with_its_ramdisk(lan: Lan, tmp_path: Path) -> None:
    own = tmp_path / "arm64"
    signed = own / "usr/lib/grub/arm64-efi-signed"
    for folder in (signed, own / "usr/lib/shim"):
        folder.mkdir(parents=True)
    for name in ("vmlinuz", "initrd"):
        (tmp_path / name).write_bytes(b"x86")
        (own / name).write_bytes(b"arm")
    with pytest.raises(errors.NotSupported, match=r"the signed shim for ARM64. is not installed") as told:
        pxe.check(tmp_path, arm64=True)
    assert "ingot ramdisk build --arch arm64" in told.value.sentence()
    (own / "usr/lib/shim/shimaa64.efi.signed").write_bytes(b"shim")
    (signed / "grubnetaa64.efi.signed").write_bytes(b"grub")
    pxe.check(tmp_path, arm64=True)
    async with serving(tmp_path / "dnsmasq", OWN) as dnsmasq:
        pxe.write(dnsmasq.tftp_root, OWN, TOLD, tmp_path)
        lease = await lan.ask(OWN, "-V", "PXEClient:Arch:00011", "-x", "0x5d:000b", tries=4)
        assert "boot_file=arm64.efi" in str(lease)
        address = str(lease).split()[0].removeprefix("ip=")
        for name, content in (("arm64.efi", b"shim"), ("grubaa64.efi", b"grub"), ("arm64/initrd", b"arm")):
            assert await lan.tftp(name, address) == content


def test_writing_again_replaces_and_removing_twice_is_harmless(tmp_path: Path) -> None:
    root = tmp_path / "tftp"
    pxe.write(root, OWN, TOLD, tmp_path)
    pxe.write(root, OWN, Ramdisk("http://[fd00::1]:6385"), tmp_path)
    assert pxe.has(root, OWN)
    assert [path.name for path in root.iterdir()] == ["52-54-00-ee-02-01"]
    assert "http://[fd00::1]:6385" in (root / "52-54-00-ee-02-01" / "grub" / "grub.cfg").read_text()
    pxe.remove(root, OWN)
    pxe.remove(root, OWN)
    assert not pxe.has(root, OWN)
