"""The boot loader of a partition image, with real mounts and a chroot; GRUB is a script that tells its calls."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from agent import machines
from agent.test_partition import deploy
from ingot_agent import blockdev, bootloader, commands, efiboot, errors, gpt, partition, settings

pytestmark = pytest.mark.skipif(shutil.which("busybox") is None, reason="no busybox for the chroot")
UUID = "11111111-2222-3333-4444-555555555555"
GRUB = """#!/bin/sh
echo "$0 $*" >>/calls
for one in /run/* /proc/[0-9]*; do echo "$one" >>/seen; done
test -c /dev/null && test -d /proc/self && test -d /sys/class || exit 7
case "$*" in *broken*) echo "no space for core.img" >&2; exit 1 ;; esac
case "$*" in *efi-directory*) mkdir -p /boot/efi/EFI/BOOT; echo MZ >/boot/efi/EFI/BOOT/BOOTX64.EFI ;; esac
case "$*" in -o*) echo "menu" >"$2" ;; esac
"""


def image(folder: Path, *, grub: bool = True, loader: bool = False) -> bytes:
    """A root file system with a shell and perhaps GRUB, perhaps loader files for the EFI system partition."""
    tree = folder / "tree"
    for name in ("bin", "usr/sbin", "etc", "boot"):
        (tree / name).mkdir(parents=True)
    busybox = str(shutil.which("busybox"))
    shutil.copy(busybox, tree / "bin/busybox")
    for name in ("sh", "mkdir", "test", "echo"):
        (tree / "bin" / name).symlink_to("busybox")
    (tree / "etc/fstab").write_text(f"UUID={UUID} / ext4 defaults 0 1\n")
    if grub:
        for name in ("grub-install", "grub-mkconfig"):
            (tree / "usr/sbin" / name).write_text(GRUB)
            (tree / "usr/sbin" / name).chmod(0o755)
    if loader:
        (tree / "boot/efi/EFI/debian").mkdir(parents=True)
        (tree / "boot/efi/EFI/debian/shimx64.efi").write_text("MZ")
    path = folder / "root.img"
    run(["mke2fs", "-q", "-F", "-t", "ext4", "-U", UUID, "-d", str(tree), str(path), "48m"])
    return path.read_bytes()


def run(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@contextmanager
def nodes(disk: Path) -> Iterator[dict[str, str]]:
    """The devices a kernel would make for the partitions of a disk; gives them by the partitions' names."""
    with blockdev.opened(str(disk)) as device:
        places = partition.places(device)
    with ExitStack() as stack:
        found: dict[str, str] = {}
        for one in places:
            words = ["-o", str(one.part.start), "--sizelimit", str(one.part.size)]
            loop = run(["losetup", "-f", "--show", *words, str(disk)]).strip()
            stack.callback(run, ["losetup", "-d", loop])
            Path(one.node).symlink_to(loop)
            stack.callback(Path(one.node).unlink)
            found[one.name or str(one.part.number)] = loop
        yield found


@contextmanager
def mounted(loop: str, folder: Path) -> Iterator[Path]:
    folder.mkdir(exist_ok=True)
    run(["mount", loop, str(folder)])
    try:
        yield folder
    finally:
        run(["umount", str(folder)])


def install(folder: Path, disk: Path, *, uefi: bool, uuid: str = UUID) -> str:
    roots = settings.Roots("/sys", "/proc", "/dev", str(folder / "run"))
    if uefi:
        roots = settings.Roots(str(folder / "sys"), "/proc", "/dev", str(folder / "run"))
    (Path("/dev/disk/by-uuid") / uuid).unlink(missing_ok=True)
    try:
        return bootloader.install(str(disk), uuid, roots, commands.Progress(), uefi=uefi)
    finally:
        (Path("/dev/disk/by-uuid") / uuid).unlink(missing_ok=True)
        assert str(folder) not in Path("/proc/mounts").read_text(), "something stayed mounted"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the machine is; its programs are busybox's, as in the ramdisk."""
    if not Path("/dev/loop-control").exists():
        pytest.skip("no loop devices here")
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("mount", "umount", "unshare", "chroot"):
        (programs / name).symlink_to(str(shutil.which("busybox")))
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return tmp_path / "machine"


def test_bios_uses_the_images_grub(tmp_path: Path, folder: Path) -> None:
    disk = deploy(folder, image(tmp_path))
    (folder / "run").mkdir(exist_ok=True)
    (folder / "run/ingot-agent-token").write_text("secret")
    with nodes(disk) as found:
        assert "grub-install of the image wrote its boot loader" in install(folder, disk, uefi=False)
        with mounted(found["4"], tmp_path / "look") as root:
            calls = (root / "calls").read_text().splitlines()
            assert (root / "boot/grub/grub.cfg").read_text() == "menu\n"
            seen = (root / "seen").read_text().split()
    assert seen[:1] == ["/run/*"], "it does not see the agent's files"
    assert len([one for one in seen if one.startswith("/proc/")]) <= 4, "and processes of its own only, two calls of it"
    assert calls == [
        f"/usr/sbin/grub-install --no-floppy --target=i386-pc {disk}",
        "/usr/sbin/grub-mkconfig -o /boot/grub/grub.cfg",
    ]


@pytest.mark.skipif("\tvfat\n" not in Path("/proc/filesystems").read_text(), reason="this kernel mounts no FAT")
@pytest.mark.parametrize("brought", [True, False])
def test_uefi_takes_the_images_loader_or_makes_one(tmp_path: Path, folder: Path, brought: bool) -> None:
    disk = deploy(folder, image(tmp_path, loader=brought, grub=not brought), uefi=True)
    variables = folder / "sys/firmware/efi/efivars"
    (variables / f"Timeout-{'8be4df61-93ca-11d2-aa0d-00e098032b8c'}").write_bytes(struct.pack("<IH", 7, 1))
    (folder / "sys/class").mkdir(exist_ok=True)
    with nodes(disk) as found:
        said = install(folder, disk, uefi=True)
        with mounted(found["esp"], tmp_path / "look") as esp:
            loaders = sorted(str(one.relative_to(esp)) for one in esp.rglob("*.[eE][fF][iI]"))
        with mounted(found["root"], tmp_path / "look") as root:
            fstab = (root / "etc/fstab").read_text().splitlines()
    with blockdev.opened(str(disk)) as device:
        told = partition.uuids(device)
        table = gpt.find(device)
    assert loaders == (["EFI/debian/shimx64.efi"] if brought else ["EFI/BOOT/BOOTX64.EFI"])
    assert fstab[1:] == [f"UUID={told['efi system partition uuid']}\t/boot/efi\tvfat\tumask=0077\t0\t1"]
    assert "boot entry Boot0000 starts \\EFI\\" in said
    assert table is not None
    entry = efiboot.Variables(str(variables)).read("Boot0000")
    assert table.partitions[0].unique in entry, "the entry names the EFI system partition"


def test_an_image_that_cannot_be_started(tmp_path: Path, folder: Path) -> None:
    disk = deploy(folder, image(tmp_path, grub=False))
    with nodes(disk), pytest.raises(errors.ImageWriteError, match="neither loader files in /boot/efi nor grub-install"):
        install(folder, disk, uefi=False)
    with pytest.raises(errors.ImageWriteError, match="has no EFI system partition"):
        install(folder, disk, uefi=True)
    with pytest.raises(errors.ImageWriteError, match="has no file system 22222222"):
        install(folder, disk, uefi=False, uuid="22222222")


def test_grubs_own_words_are_told(tmp_path: Path, folder: Path) -> None:
    roots = machines.make(folder)
    machines.add_disk(roots, "broken", 560 << 20, serial="D")
    (folder / "dev/sda").symlink_to("broken")
    deploy(folder, image(tmp_path))
    disk = folder / "dev/broken"
    with (
        nodes(disk),
        pytest.raises(errors.ImageWriteError, match=r"grub-install .*: no space for core\.img\. Mend"),
    ):
        install(folder, disk, uefi=False)
