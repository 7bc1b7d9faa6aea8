"""One machine per way to boot: until its ramdisk has reported, which every deployment begins with."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import shutil
import signal
import struct
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest

from e2e import way
from ingot.cli.demo import artifacts
from ingot.cli.demo.world import Machine, World

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(420)]

REAL_CARD = {"nic_rom": False}
SECURE = {**REAL_CARD, "secure_boot": True}


FOREIGN_CONF = """port=0
interface=oth
bind-interfaces
user=root
no-ping
pid-file=
dhcp-leasefile=/dev/null
dhcp-range=192.0.2.240,192.0.2.249,255.255.255.0,600
"""


@contextlib.asynccontextmanager
async def foreign_dhcp(world: World) -> AsyncGenerator[None]:
    """A DHCP server of somebody else's on the machines' network, that knows of no boot program."""
    other = f"oth{os.getpid()}"
    bridge = (await world.rack(do="status"))["bridge"]
    (world.folder / "foreign.conf").write_text(FOREIGN_CONF)
    waits = "while ! ip link set oth up 2>/dev/null; do sleep 0.1; done; ip addr add 192.0.2.2/24 dev oth"
    script = f"{waits}; exec dnsmasq --keep-in-foreground --conf-file={world.folder}/foreign.conf"
    child = await asyncio.create_subprocess_exec("unshare", "--net", "sh", "-c", script)
    try:
        peer = ("peer", "name", "oth", "netns", str(child.pid))
        code, _, complaint = await world.run_inside("ip", "link", "add", other, "type", "veth", *peer)
        assert code == 0, complaint
        await world.run_inside("ip", "link", "set", other, "master", bridge, "up")
        yield
    finally:
        child.terminate()
        await child.wait()


async def inspected(world: World, machine: Machine, boot_interface: str) -> way.Json:
    """Inspect by booting the ramdisk this way; the inventory."""
    await way.enrol(world, machine, boot_interface=boot_interface)
    await way.ask(world, machine, "inspect")
    await way.reach(world, machine, "manageable", within=300)
    found: way.Json = (await world.call("GET", f"/v1/nodes/{machine.name}/inventory"))["inventory"]
    return found


async def test_pxelinux_whose_files_a_conductor_took_with_it(made: artifacts.Artifacts) -> None:
    """Before the machine asks for them the conductor dies, and with it its files: the next one writes them again."""
    async with way.opened("pxe", made, firmwares=("bios",)) as world:
        (machine,) = world.machines
        await way.enrol(world, machine, boot_interface="pxe")
        files = world.service.data / "dnsmasq" / "tftp" / machine.mac.replace(":", "-")
        await way.ask(world, machine, "inspect")
        await way.reach(world, machine, "inspect wait", within=300)
        with stopped(machine):
            assert "PXELINUX" not in way.console(machine)
            await world.service.kill()
            shutil.rmtree(files)
            await world.restart()

            async def written() -> bool:
                return (files / "pxelinux.cfg").exists()

            await way.until(world, machine, "its files written anew", written, within=60)
        await way.reach(world, machine, "manageable", within=300)
        inventory = (await world.call("GET", f"/v1/nodes/{machine.name}/inventory"))["inventory"]
        assert inventory["boot"]["current_boot_mode"] == "bios"
        assert way.console(machine).count("PXELINUX") == 1


@contextlib.contextmanager
def stopped(machine: Machine) -> Generator[None]:
    """The machine does nothing meanwhile, as if its firmware took long."""
    pid = int((machine.serial_log.parent / "qemu.pid").read_text())
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def test_secure_boot_by_shim_and_grub(made: artifacts.Artifacts) -> None:
    async with way.opened("sb", made, firmwares=("uefi",), hardware=SECURE) as world:
        (machine,) = world.machines
        inventory = await inspected(world, machine, "pxe")
        assert inventory["boot"]["current_boot_mode"] == "uefi"
        assert "secureboot: Secure boot enabled" in way.console(machine)


async def test_ipxe_that_the_firmware_fetches(made: artifacts.Artifacts) -> None:
    """As on most real servers: the card has no iPXE of its own, so UEFI's own PXE loads ours by TFTP."""
    async with way.opened("ipxe", made, firmwares=("uefi",), hardware=REAL_CARD) as world:
        (machine,) = world.machines
        inventory = await inspected(world, machine, "ipxe")
        assert inventory["boot"]["current_boot_mode"] == "uefi"
        assert "NBP filename is x64.efi" in way.console(machine), "as edk2 tells what it loads"


@pytest.mark.parametrize("firmware", [pytest.param("bios", marks=pytest.mark.long), "uefi"])
async def test_virtual_media(made: artifacts.Artifacts, firmware: str) -> None:
    hardware = {"bmc": "redfish", **({"secure_boot": True} if firmware == "uefi" else {})}
    async with way.opened(f"cd-{firmware}", made, firmwares=(firmware,), hardware=hardware) as world:
        (machine,) = world.machines
        inventory = await inspected(world, machine, "redfish-virtual-media")
        assert inventory["boot"]["current_boot_mode"] == firmware
        assert {"bios": "ISOLINUX", "uefi": "secureboot: Secure boot enabled"}[firmware] in way.console(machine)
        status = await world.rack(do="status")
        assert status["machines"][0]["media"] == "", "ejected"
        assert list((world.service.data / "media").iterdir()) == []


@pytest.mark.parametrize("boot_interface", ["http", pytest.param("http-ipxe", marks=pytest.mark.long)])
async def test_uefi_http_boot(made: artifacts.Artifacts, boot_interface: str) -> None:
    hardware = {**REAL_CARD, "pxe": False, "secure_boot": boot_interface == "http"}
    async with way.opened(boot_interface, made, firmwares=("uefi",), memory_mb=768, hardware=hardware) as world:
        (machine,) = world.machines
        inventory = await inspected(world, machine, boot_interface)
        assert inventory["boot"]["current_boot_mode"] == "uefi"
        secure = "secureboot: Secure boot enabled" in way.console(machine)
        assert secure is (boot_interface == "http")


@pytest.mark.parametrize("secure", [False, pytest.param(True, marks=pytest.mark.long)])
async def test_http_boot_from_the_url_that_redfish_gave(made: artifacts.Artifacts, secure: bool) -> None:
    wishes = {"firmwares": ("uefi",), "memory_mb": 768, "hardware": {"bmc": "redfish", "secure_boot": secure}}
    async with way.opened(f"uri-{secure}".lower(), made, **wishes) as world:
        (machine,) = world.machines
        inventory = await inspected(world, machine, "redfish-https")
        assert inventory["boot"]["current_boot_mode"] == "uefi"
        assert ("secureboot: Secure boot enabled" in way.console(machine)) is secure
        assert "URI: http://" in way.console(machine), "as edk2 tells what it boots"
        assert list((world.service.data / "media").iterdir()) == []


@pytest.mark.long
async def test_over_ipv6_alone(made: artifacts.Artifacts) -> None:
    hardware = {"nic_rom": False, "pxe": False}
    wishes = {"firmwares": ("uefi",), "memory_mb": 768, "hardware": hardware, "address": "fd00:22:8::1/64"}
    async with way.opened("ipv6", made, **wishes) as world:
        (machine,) = world.machines
        inventory = await inspected(world, machine, "http")
        assert inventory["interfaces"][0]["ipv6_address"].startswith("fd00:22:8:")
        assert inventory["interfaces"][0]["ipv4_address"] is None
        assert "[fd00:22:8:" in (await way.look(world, machine))["driver_internal_info"]["agent_url"]


@pytest.mark.long
async def test_http_boot_from_the_url_of_redfish_with_anybodys_dhcp(made: artifacts.Artifacts) -> None:
    wishes = {"firmwares": ("uefi",), "memory_mb": 768, "hardware": {"bmc": "redfish"}}
    async with way.opened("uri-proxy", made, settings={"dhcp_proxy": "true"}, **wishes) as world:
        (machine,) = world.machines
        async with foreign_dhcp(world):
            await inspected(world, machine, "redfish-https")
        assert "192.0.2.24" in way.console(machine), "an address of the other server"


@pytest.mark.long
async def test_beside_a_foreign_dhcp_server(made: artifacts.Artifacts) -> None:
    async with way.opened("proxy", made, firmwares=("bios",), settings={"dhcp_proxy": "true"}) as world:
        (machine,) = world.machines
        async with foreign_dhcp(world):
            await inspected(world, machine, "ipxe")
        assert "192.0.2.24" in way.console(machine), "an address of the other server"


def without_signature(kernel: bytes) -> bytes:
    """The kernel with no certificate table (PE32+: the fifth data directory)."""
    (header,) = struct.unpack_from("<I", kernel, 0x3C)
    entry = header + 24 + 112 + 4 * 8
    assert kernel[entry : entry + 8] != bytes(8), "it was signed"
    return kernel[:entry] + bytes(8) + kernel[entry + 8 :]


@pytest.mark.long
async def test_secure_boot_refuses_an_unsigned_kernel(made: artifacts.Artifacts, tmp_path: Path) -> None:
    shutil.copyfile(made.ramdisk / "initrd", tmp_path / "initrd")
    (tmp_path / "vmlinuz").write_bytes(without_signature((made.ramdisk / "vmlinuz").read_bytes()))
    unsigned = dataclasses.replace(made, ramdisk=tmp_path)
    async with way.opened("refused", unsigned, firmwares=("uefi",), hardware=SECURE) as world:
        (machine,) = world.machines
        await way.enrol(world, machine, boot_interface="pxe")
        await way.ask(world, machine, "inspect")

        async def refused() -> bool:
            return "The ramdisk could not be booted" in way.console(machine)

        await way.until(world, machine, "the kernel refused", refused, within=240)
        assert "bad shim signature" in way.console(machine)
        assert "Linux version" not in way.console(machine)
