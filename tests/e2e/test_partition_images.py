"""Partition images the whole way: conductor, agent and machine, until the system answers from its own disk."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from agent import rootfs
from e2e import way
from ingot.cli import deployment
from ingot.cli.demo import artifacts, proof

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(1200)]
ESP = 2 << 20  # where the small image has its EFI system partition
AROUND = {"root_gb": 1, "swap_mb": 64, "ephemeral_gb": 1}


def image(made: artifacts.Artifacts, folder: Path, loader: str) -> deployment.Image:
    """A partition image with the kernel and the initial ramdisk of the small whole-disk image."""
    whole = folder / "whole.raw"
    source = made.image.source.removeprefix("file://")
    subprocess.run(["qemu-img", "convert", "-O", "raw", source, str(whole)], check=True)
    for name in ("vmlinuz", "initrd"):
        subprocess.run(["mcopy", "-i", f"{whole}@@{ESP}", f"::{name}", str(folder / name)], check=True)
    path = rootfs.make(folder, rootfs.Parts(folder / "vmlinuz", folder / "initrd"), loader)
    return deployment.Image(path.as_uri(), "sha256", hashlib.sha256(path.read_bytes()).hexdigest())


@pytest.mark.parametrize(
    ("firmware", "loader", "info"),
    [
        ("bios", "bios", {**AROUND, "kernel": "http://192.0.2.1/vmlinuz", "ramdisk": "http://192.0.2.1/initrd"}),
        pytest.param("uefi", "uefi", {**AROUND, "image_type": "partition"}, marks=pytest.mark.long),
        pytest.param("uefi", "uefi-grub", {"root_gb": 1, "image_type": "partition"}, marks=pytest.mark.long),
    ],
    ids=["bios", "uefi", "uefi-own-grub"],
)
async def test_it_starts_from_its_disk(
    made: artifacts.Artifacts, tmp_path: Path, firmware: str, loader: str, info: dict[str, object]
) -> None:
    wanted = image(made, tmp_path, loader)
    async with way.opened(
        f"part-{loader}", made, firmwares=(firmware,), settings={"image_dirs": str(tmp_path)}
    ) as world:
        (machine,) = world.machines
        key = await proof.make_key(world.folder)
        await way.enrol(world, machine, automated_clean=False)
        await way.provide(world, machine)
        patch = [{"op": "add", "path": f"/instance_info/{name}", "value": value} for name, value in info.items()]
        await world.call("PATCH", f"/v1/nodes/{machine.name}", patch)
        await way.start_deploy(world, machine, key, wanted)
        node = await way.reach(world, machine, "active")
        assert (node["power_state"], node["last_error"]) == ("power on", None)
        said = await proof.ask(world, machine, key)
        assert said.startswith(f"Linux {machine.name} ")
        line = await way.inside(world, machine, key, "cat /proc/cmdline")
        assert line.startswith("BOOT_IMAGE=/boot/vmlinuz ")
        assert f"root=UUID={rootfs.UUID}" in line

        labels = ["swap1", "ephemeral0"] if "swap_mb" in info else []
        places = [f"UUID={rootfs.UUID}", "LABEL=config-2", *(f"LABEL={one}" for one in labels)]
        found = await way.inside(world, machine, key, "; ".join(f"findfs {one}" for one in places))
        nodes = [one.removeprefix("/dev/") for one in found.split()]
        assert len(set(nodes)) == len(places), found
        table = await way.inside(world, machine, key, "cat /proc/partitions")
        sizes = {words[3]: int(words[2]) for words in map(str.split, table.splitlines()[2:]) if words}
        assert [sizes[one] for one in (nodes[0], *nodes[2:])] == [1 << 20, 64 << 10, 1 << 20][: len(labels) + 1], table
        look = f"mkdir -p /r && mount -r -t ext4 /dev/{nodes[0]} /r && cat /r/etc/fstab 2>/dev/null || true"
        listed = await way.inside(world, machine, key, look)
        assert ("/boot/efi" in listed) is (firmware == "uefi")
