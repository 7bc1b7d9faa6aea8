"""``deploy_kexec``: from the ramdisk straight into the deployed system, and by the firmware where that is refused."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from e2e import way
from ingot.cli import deployment
from ingot.cli.demo import artifacts, proof
from ingot.cli.demo.world import Machine, World

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(1200)]

ESP = 2 << 20  # where the small image has its EFI system partition
# GRUB says that the first of them is no kernel, and goes on.
MENU = "set timeout=0\nlinux /grub/grub.cfg\nlinux /vmlinuz console=ttyS0,115200n8 quiet\ninitrd /initrd\nboot\n"


async def deployed(world: World, machine: Machine, image: deployment.Image | None = None) -> str:
    """Deploy to an available machine and log in; the command line the system was started with."""
    key = await proof.make_key(world.folder)
    await way.start_deploy(world, machine, key, image)
    node = await way.reach(world, machine, "active")
    assert (node["power_state"], node["last_error"]) == ("power on", None)
    assert await way.power(world, machine) == "on"
    said = await proof.ask(world, machine, key)
    assert said.startswith(f"Linux {machine.name} ")
    return await way.inside(world, machine, key, "cat /proc/cmdline")


@pytest.mark.parametrize("firmware", ["bios", pytest.param("uefi", marks=pytest.mark.long)])
async def test_the_system_starts_without_the_firmware(made: artifacts.Artifacts, firmware: str) -> None:
    async with way.opened(f"kexec-{firmware}", made, firmwares=(firmware,)) as world:
        (machine,) = world.machines
        await way.enrol(world, machine, automated_clean=False, **{"driver_info/deploy_kexec": True})
        await way.provide(world, machine)
        line = await deployed(world, machine)
        assert "BOOT_IMAGE" not in line, "GRUB started it"
        seen = await way.history(world, machine)
        assert any(one.startswith("Started without the firmware: starts /vmlinuz of /dev/vda2") for one in seen), seen
        between = way.console(machine).partition("leaving for /vmlinuz of /dev/vda2")[2].partition("tiny: ssh is")[0]
        assert between
        assert not {"iPXE", "SeaBIOS", "BdsDxe"} & set(between.replace(":", " ").split()), between

        await world.call("PUT", f"/v1/nodes/{machine.name}/states/power", {"target": "rebooting"})
        key = proof.Key(world.folder / "id_ed25519", "")

        async def from_its_disk() -> bool:
            return way.console(machine).count("tiny: ssh is ready") == 2

        await way.until(world, machine, "started by its firmware", from_its_disk)
        await proof.ask(world, machine, key)
        assert "BOOT_IMAGE" in await way.inside(world, machine, key, "cat /proc/cmdline")


def with_a_kernel_that_is_none(source: Path, target: Path) -> deployment.Image:
    """The small image, whose menu names something else first."""
    menu = target.with_suffix(".cfg")
    menu.write_text(MENU)
    subprocess.run(["qemu-img", "convert", "-O", "raw", str(source), str(target)], check=True)
    subprocess.run(["mcopy", "-o", "-i", f"{target}@@{ESP}", str(menu), "::grub/grub.cfg"], check=True)
    return deployment.Image(target.as_uri(), "sha256", hashlib.sha256(target.read_bytes()).hexdigest())


@pytest.mark.long
async def test_a_kernel_that_cannot_be_started_is_left_to_the_firmware(
    made: artifacts.Artifacts, tmp_path: Path
) -> None:
    image = with_a_kernel_that_is_none(Path(made.image.source.removeprefix("file://")), tmp_path / "refused.raw")
    settings = {"image_dirs": f"{made.image_folder},{tmp_path}"}
    async with way.opened("kexec-no", made, firmwares=("bios",), settings=settings) as world:
        (machine,) = world.machines
        await way.enrol(world, machine, automated_clean=False, **{"driver_info/deploy_kexec": True})
        await way.provide(world, machine)
        assert "BOOT_IMAGE" in await deployed(world, machine, image)
        begin, end = "Started by the firmware, for kexec does not work here: ", "another: Exec format error."
        seen = await way.history(world, machine)
        assert any(one.startswith(begin) and one.endswith(end) for one in seen), seen
