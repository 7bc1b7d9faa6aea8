"""An ARM64 server, from its first DHCP request: inspected by each way to boot, and deployed until its system starts."""

from __future__ import annotations

import hashlib
import uuid
from pathlib import Path

import pytest

from agent.recipe import load
from e2e import way
from ingot.cli import deployment
from ingot.cli.demo import artifacts, proof
from ingot.cli.demo.world import Machine, World
from ingot.netboot import loaders
from ingot.netboot.loaders import Program
from ingot_rack import osimage_disk

pytestmark = [pytest.mark.qemu, pytest.mark.long, pytest.mark.timeout(1200)]

SERVER = {"processor": "aarch64", "bmc": "redfish"}
SETTINGS = {"kernel_params": "console=ttyAMA0"}
LABEL = "0a64-0a64"
SAID = "this-is-the-system-on-the-disk"


def quiet(_phase: str, _part: float) -> None:
    """A build's progress, which nobody watches."""


@pytest.fixture(scope="module")
def arm64(tmp_path_factory: pytest.TempPathFactory) -> artifacts.Artifacts:
    """The ARM64 ramdisk and its boot programs in their folder, beside files that such a machine cannot start."""
    folder = tmp_path_factory.mktemp("ramdisk")
    for name in ("vmlinuz", "initrd"):
        (folder / name).write_bytes(b"for another processor")
    load("build").build("full", folder / "arm64", quiet, architecture="arm64")
    return artifacts.Artifacts(folder, system(folder), folder, "root")


def system(folder: Path) -> deployment.Image:
    """A whole disk whose system says its word on the serial line: GRUB and the ramdisk's kernel, no more."""
    work, own = folder / "work", folder / "arm64"
    work.mkdir()
    menu, esp, disk = work / "grub.cfg", work / "esp", folder / "disk.raw"
    menu.write_text(f"linux /vmlinuz console=ttyAMA0 {SAID}\nboot\n")
    grub = loaders.get(Program.GRUB_NET_ARM64, loaders.HOST, own)
    files = {"EFI/BOOT/BOOTAA64.EFI": grub, "grub/grub.cfg": menu, "vmlinuz": own / "vmlinuz"}
    osimage_disk.make_fat(esp, 48 * osimage_disk.MIB, LABEL.replace("-", ""), files)
    plan = osimage_disk.DiskPlan(esp, None, LABEL.upper(), "/grub/grub.cfg", uuid.UUID(int=64))
    osimage_disk.assemble(disk, plan, work)
    with disk.open("rb") as file:
        return deployment.Image(disk.as_uri(), "sha256", hashlib.file_digest(file, "sha256").hexdigest())


async def inspected(world: World, machine: Machine) -> None:
    """By the ramdisk: it finds an ARM64 server that started by UEFI, and the node is told."""
    await way.ask(world, machine, "inspect")
    await way.reach(world, machine, "manageable")
    inventory = (await world.call("GET", f"/v1/nodes/{machine.name}/inventory"))["inventory"]
    assert inventory["cpu"]["architecture"] == "aarch64"
    assert inventory["boot"]["current_boot_mode"] == "uefi"
    assert inventory["interfaces"][0]["mac_address"] == machine.mac
    assert (await way.look(world, machine))["properties"]["cpu_arch"] == "aarch64"


async def test_from_the_network_to_its_own_system(arm64: artifacts.Artifacts) -> None:
    """Shim and GRUB by TFTP. Nobody says what processor it has before it boots."""
    wishes = {"firmwares": ("uefi",), "memory_mb": 1024, "hardware": SERVER, "settings": SETTINGS}
    async with way.opened("arm64", arm64, **wishes) as world:
        (machine,) = world.machines
        await way.enrol(world, machine, boot_interface="pxe")
        await inspected(world, machine)
        await way.provide(world, machine)
        await way.start_deploy(world, machine, await proof.make_key(world.folder))
        await way.reach(world, machine, "active")

        async def started() -> bool:
            return SAID in way.console(machine)

        await way.until(world, machine, "started from its disk", started)
        assert way.console(machine).count("agent up") == 1, "one ramdisk did all of it"


@pytest.mark.parametrize("boot_interface", ["redfish-virtual-media", "http", "ipxe", "http-ipxe"])
async def test_the_other_ways_to_boot(arm64: artifacts.Artifacts, boot_interface: str) -> None:
    if "ipxe" in boot_interface and loaders.find(Program.IPXE_ARM64) is None:
        pytest.skip("this distribution has no iPXE for ARM64")
    hardware = {**SERVER, "pxe": not boot_interface.startswith("http")}
    wishes = {"firmwares": ("uefi",), "memory_mb": 1536, "hardware": hardware, "settings": SETTINGS}
    async with way.opened(f"arm64-{boot_interface[:10]}", arm64, **wishes) as world:
        (machine,) = world.machines
        await way.enrol(world, machine, boot_interface=boot_interface, properties={"cpu_arch": "aarch64"})
        await inspected(world, machine)
