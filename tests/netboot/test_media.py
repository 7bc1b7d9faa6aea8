"""Boot images: what is in them by xorriso and mtools, and who gets them over HTTP."""

from __future__ import annotations

import asyncio
import hashlib
import subprocess
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from ingot.domain import errors, node
from ingot.images.cache import ImageCache
from ingot.netboot import loaders, media
from ingot.netboot.loaders import Program
from ingot.netboot.ramdisk import Ramdisk
from ingot.netboot.service import Netboot
from ingot.settings import Settings
from ingot.store import nodes, ports, upgrade
from ingot.store.engine import Store
from netboot.lan import Lan

MAC, OTHER = "52:54:00:ee:03:01", "52:54:00:ee:03:02"
NODE = "33333333-3333-3333-3333-333333333333"
TOLD = Ramdisk("http://172.22.9.1:6385", {"ingot-time": "7"}, "console=ttyS0")


def said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL).stdout


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "ramdisk").mkdir()
    for name in ("vmlinuz", "initrd"):
        (tmp_path / "ramdisk" / name).write_bytes(name.encode() * 1000)
    return tmp_path / "ramdisk"


def test_an_image_boots_bios_and_uefi_and_is_named_by_its_checksum(files: Path, tmp_path: Path) -> None:
    image = media.build(tmp_path / "media", TOLD, files)
    assert image.name == f"{hashlib.sha256(image.read_bytes()).hexdigest()}.iso"
    assert [path.name for path in image.parent.iterdir()] == [image.name], "nothing half made is left"
    told = said("xorriso", "-indev", str(image), "-report_el_torito", "plain")
    assert "BIOS  y   none" in told
    assert "UEFI  y   none" in told
    out = tmp_path / "out"
    said("xorriso", "-osirrox", "on", "-indev", str(image), "-extract", "/", str(out))
    assert (out / "vmlinuz").read_bytes() == b"vmlinuz" * 1000
    words = "ipa-api-url=http://172.22.9.1:6385 ingot-time=7 console=ttyS0"
    assert f"APPEND initrd=/initrd {words}\n" in (out / "isolinux" / "isolinux.cfg").read_text()
    assert "'ingot-time=7' 'console=ttyS0'; then" in (out / "boot" / "grub" / "grub.cfg").read_text()
    said("mcopy", "-i", str(out / "efi.img"), "::/EFI/BOOT/BOOTX64.EFI", str(tmp_path / "shim"))
    assert (tmp_path / "shim").read_bytes() == loaders.get(Program.SHIM_X64).read_bytes()


def test_an_image_for_arm64_has_its_own_programs_and_nothing_for_bios(files: Path, tmp_path: Path) -> None:
    own = files / "arm64"
    for name in ("usr/lib/shim/shimaa64.efi.signed", "usr/lib/grub/arm64-efi-signed/gcdaa64.efi.signed"):
        (own / name).parent.mkdir(parents=True)
        (own / name).write_bytes(name.encode())
    for name in ("vmlinuz", "initrd"):
        (own / name).write_bytes(f"{name} for arm64".encode())
    image = media.build(tmp_path / "media", TOLD, files, arm64=True)
    told = said("xorriso", "-indev", str(image), "-report_el_torito", "plain")
    assert "UEFI  y   none" in told
    assert "BIOS" not in told
    out = tmp_path / "out"
    said("xorriso", "-osirrox", "on", "-indev", str(image), "-extract", "/", str(out))
    assert (out / "arm64/vmlinuz").read_bytes() == b"vmlinuz for arm64"
    assert "set where=/arm64" in (out / "boot/grub/grub.cfg").read_text()
    said("mcopy", "-i", str(out / "efi.img"), "::/EFI/BOOT/BOOTAA64.EFI", str(tmp_path / "shim"))
    assert (tmp_path / "shim").read_bytes() == b"usr/lib/shim/shimaa64.efi.signed"


def test_a_tool_that_fails_is_one_clear_sentence(tmp_path: Path) -> None:
    with pytest.raises(errors.Misbehaved, match=r"xorriso could not make the boot image: .*vmlinuz"):
        media.build(tmp_path / "media", TOLD, tmp_path / "no ramdisk here")
    assert list((tmp_path / "media").iterdir()) == []


async def fetch(url: str) -> tuple[int, bytes]:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status, await answer.read()


async def wget(lan: Lan, address: str, url: str) -> bytes:
    """What the machine in the other namespace is given."""
    said("ip", "-n", lan.client_ns, "addr", "flush", "dev", "cli")
    said("ip", "-n", lan.client_ns, "addr", "add", f"{address}/24", "dev", "cli")
    words = ("ip", "netns", "exec", lan.client_ns, "busybox", "wget", "-q", "-O", "-", url)
    child = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)
    async with asyncio.timeout(30):
        return (await child.communicate())[0]


async def test_who_gets_a_nodes_image(lan: Lan, files: Path, tmp_path: Path) -> None:
    upgrade.upgrade(tmp_path / "ingot.db")
    store = Store(tmp_path / "ingot.db")
    settings = Settings(data_dir=str(tmp_path), provision_interface="srv", provision_address="172.22.9.1/24")
    plan: dict[str, Any] = {"boot": {"what": "ramdisk", "how": "http", "params": {"ingot-time": "7"}}}
    await store.run(nodes.create, node.Node(uuid=NODE, driver="fake-hardware", driver_internal_info=plan), None)
    await store.run(ports.create, node.Port(uuid=NODE.replace("3", "4"), address=MAC, node_uuid=NODE))
    async with Netboot(settings, store, ImageCache(tmp_path / "images", 1 << 30).find_file).running() as served:
        url = await served.make_iso(NODE, {"ingot-time": "7"})
        status, image = await fetch(url)
        assert (status, hashlib.sha256(image).hexdigest()) == (200, url.rpartition("/")[2].removesuffix(".iso"))
        assert served.last_seen(NODE) is not None, "the BMC's reading is noted"
        stolen = url.replace("/boot/media/", "/boot/media/f")
        assert (await fetch(stolen))[0] == 404, "another pass"
        constant = "http://172.22.9.1:6386/boot/files/x64.efi"
        for mac, address, wanted in ((MAC, "172.22.9.50", image), (OTHER, "172.22.9.51", None)):
            said("ip", "-n", lan.client_ns, "link", "set", "cli", "address", mac)
            given = await wget(lan, address, constant)
            assert given == (wanted or loaders.get(Program.IPXE_X64).read_bytes())
        assert "asked for its boot program over HTTP" in str(served.last_seen(MAC))
        await served.remove_iso(NODE)
        assert (await fetch(url))[0] == 404
    store.close()
