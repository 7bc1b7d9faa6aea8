"""The ARM64 ramdisk: built on this host of another architecture, booted by UEFI on an emulated ARM server."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Generator
from pathlib import Path

import pytest

from agent import peers
from agent.recipe import load
from agent.vm import MAC, free_port

FIRMWARE = Path("/usr/share/AAVMF")
MIB = 1 << 20


def quiet(_phase: str, _part: float) -> None:
    """A build's progress, which nobody watches."""


def built(folder: Path) -> Path:
    manifest = load("build").build("full", folder, quiet, architecture="arm64")
    print({name: f"{size / MIB:.1f} MiB" for name, size in manifest.sizes.items()})
    assert manifest.architecture == "arm64"
    assert manifest.sizes["initrd"] < 20 * MIB
    assert {"virtio_net", "hns3", "mlx5_core", "nvme", "igb"} <= set(manifest.modules)
    return folder


@contextlib.contextmanager
def booted(folder: Path, ramdisk: Path, api: peers.Ironic, port: int) -> Generator[subprocess.Popen[bytes]]:
    """QEMU's ARM server: UEFI starts the kernel as it starts any EFI program."""
    shutil.copy(FIRMWARE / "AAVMF_VARS.fd", folder / "vars.fd")
    with (folder / "disk").open("wb") as disk:
        disk.truncate(1 << 30)
    append = f"console=ttyAMA0 panic=5 BOOTIF=01-{MAC.replace(':', '-')} ipa-api-url=http://10.0.2.2:{api.port}"
    words = ["qemu-system-aarch64", "-accel", "tcg", "-machine", "virt", "-cpu", "cortex-a72", "-m", "768"]
    words += ["-nodefaults", "-no-reboot", "-display", "none", "-serial", f"file:{folder / 'serial'}"]
    words += ["-drive", f"if=pflash,format=raw,readonly=on,file={FIRMWARE / 'AAVMF_CODE.fd'}"]
    words += ["-drive", f"if=pflash,format=raw,file={folder / 'vars.fd'}"]
    words += ["-kernel", str(ramdisk / "vmlinuz"), "-initrd", str(ramdisk / "initrd"), "-append", append]
    words += ["-netdev", f"user,id=n0,hostfwd=tcp:127.0.0.1:{port}-:9999"]
    words += ["-device", f"virtio-net-pci,netdev=n0,romfile=,mac={MAC}"]
    words += [
        "-drive",
        f"file={folder / 'disk'},format=raw,if=none,id=d0",
        "-device",
        "virtio-blk-pci,drive=d0,serial=D0",
    ]
    with subprocess.Popen(words, stdin=subprocess.DEVNULL) as process:
        try:
            yield process
        except BaseException:
            print((folder / "serial").read_text(errors="replace")[-4000:])
            raise
        finally:
            process.kill()


@pytest.mark.long
@pytest.mark.qemu
@pytest.mark.timeout(600)
def test_it_boots_and_calls(tmp_path: Path) -> None:
    ramdisk, port = built(tmp_path / "ramdisk"), free_port()
    with peers.Ironic() as api, booted(tmp_path, ramdisk, api, port):
        peers.wait_until(lambda: api.seen.heartbeats, 400, "the heartbeat")
        ca = api.seen.heartbeats[0]["agent_verify_ca"]
        client = peers.AgentClient(f"https://127.0.0.1:{port}", ca=ca, named=False)
        inventory = client.post("poll.get_hardware_info")[1]["command_result"]
    assert inventory["cpu"]["architecture"] == "aarch64"
    assert inventory["boot"]["current_boot_mode"] == "uefi"
    assert [one["serial"] for one in inventory["disks"]] == ["D0"]
    assert inventory["interfaces"][0]["mac_address"] == MAC


@pytest.mark.long
@pytest.mark.timeout(600)
def test_another_architecture_gives_the_same_bytes_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load("build").build("full", tmp_path / "one", quiet, architecture="arm64")
    cache = load("build").default_cache()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("packages", "apt"):
        shutil.copytree(cache / name, load("build").default_cache() / name)
    second = load("build").build("full", tmp_path / "two", quiet, architecture="arm64")
    assert second.sha256 == first.sha256


def test_an_unknown_architecture_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(load("build").BuildError, match="Choose one of: amd64, arm64"):
        load("build").build("full", tmp_path, quiet, architecture="vax")
