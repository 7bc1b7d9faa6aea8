"""The ramdisk in a virtual machine (user networking): boots, calls, writes an image."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from agent import peers
from agent.vm import MAC, MIB, Frame, booted, order, partitioned, tpm

pytestmark = [
    pytest.mark.qemu,
    pytest.mark.timeout(300),
]


@pytest.mark.parametrize(("variant", "memory", "chip"), [("cloud", 512, "tpm-crb"), ("full", 384, "tpm-tis")])
def test_boots_calls_and_writes_an_image(tmp_path: Path, variant: str, memory: int, chip: str) -> None:
    body = partitioned(tmp_path)
    chunks = peers.chunk_map(body)
    with (
        peers.Ironic() as api,
        peers.Images({"/i.raw": body, "/i.map": chunks}) as images,
        tpm(tmp_path, chip) as extra,
        booted(tmp_path, api, variant=variant, frame=Frame(memory, extra=extra)) as machine,
    ):
        peers.wait_until(lambda: api.seen.lookups, 120, "the lookup")
        print(f"{variant}: lookup after {machine.cpu_seconds():.1f} s of processor time")
        peers.wait_until(lambda: api.seen.heartbeats, 30, "the heartbeat")
        reported = api.seen.inspections[0]["inventory"]["interfaces"][0]
        assert (reported["mac_address"], reported["ipv4_address"]) == (MAC, "10.0.2.15")
        assert api.seen.inspections[0]["tpm"] == {"present": True, "version": 2}
        assert api.seen.lookups[0] == f"/v1/lookup?addresses={MAC}"
        assert api.seen.heartbeats[0]["callback_url"] == "https://10.0.2.15:9999"
        inventory = machine.client.post("poll.get_hardware_info")[1]["command_result"]
        assert inventory["interfaces"][0]["driver"] == "virtio_net"
        assert [(one["serial"], one["size"]) for one in inventory["disks"]] == [("D0", 4 << 30)]
        assert inventory["memory"]["physical_mb"] == memory
        started = time.monotonic()
        result = machine.client.post("deploy.execute_deploy_step", order(images, body, chunks))[1]
        assert result["command_status"] == "SUCCEEDED", result
        print(f"{variant}: image written in {time.monotonic() - started:.1f} s")
        logs = machine.client.post("log.collect_system_logs")[1]
        assert logs["command_status"] == "SUCCEEDED"
        machine.client.post("standby.power_off", wait=False)
        assert machine.process.wait(60) == 0
    check = subprocess.run(["sgdisk", "-v", str(machine.disk)], capture_output=True, text=True, check=True)
    assert "No problems found" in check.stdout
    assert (
        "config-2"
        in subprocess.run(["sgdisk", "-p", str(machine.disk)], capture_output=True, text=True, check=True).stdout
    )
    with machine.disk.open("rb") as file:
        written = file.read(len(body))
    assert written[MIB : 95 * MIB] == body[MIB : 95 * MIB]


HELLO = """#!/bin/sh
echo "hello from $(ethtool --version), $(cat /etc/rack)"
"""


@pytest.mark.parametrize(
    ("disk", "card", "name", "drivers"),
    [("nvme", "e1000e", "/dev/nvme0n1", "e1000e"), ("ahci", "e1000", "/dev/sda", "e1000")],
)
def test_other_controllers_and_cards_and_what_an_operator_adds(
    tmp_path: Path, disk: str, card: str, name: str, drivers: str
) -> None:
    extra = tmp_path / "extra"
    start = extra / "root/etc/ingot/start.d/10-hello"
    start.parent.mkdir(parents=True)
    start.write_text(HELLO)
    start.chmod(0o755)
    (extra / "root/etc/rack").write_text("rack 7")
    (extra / "recipe.toml").write_text('packages = ["ethtool"]\nprograms = ["usr/sbin/ethtool"]\nmodules = ["dummy"]\n')
    body = partitioned(tmp_path)
    chunks = peers.chunk_map(body)
    with (
        peers.Ironic() as api,
        peers.Images({"/i.raw": body, "/i.map": chunks}) as images,
        booted(tmp_path, api, variant="full", frame=Frame(512, disk=disk, card=card), extras=[extra]) as machine,
    ):
        peers.wait_until(lambda: api.seen.heartbeats, 180, "the heartbeat")
        said = machine.serial.read_text(errors="replace")
        assert "hello from ethtool version" in said
        assert ", rack 7" in said
        inventory = machine.client.post("poll.get_hardware_info")[1]["command_result"]
        assert [one["driver"] for one in inventory["interfaces"]] == [drivers]
        assert [(one["name"], one["serial"]) for one in inventory["disks"]] == [(name, "D0")]
        result = machine.client.post("deploy.execute_deploy_step", order(images, body, chunks))[1]
        assert result["command_status"] == "SUCCEEDED", result
    with machine.disk.open("rb") as file:
        assert file.read(len(body))[MIB : 95 * MIB] == body[MIB : 95 * MIB]


def test_makes_the_boot_entry_under_uefi(tmp_path: Path) -> None:
    body = partitioned(tmp_path)
    chunks = peers.chunk_map(body)
    with (
        peers.Ironic() as api,
        peers.Images({"/i.raw": body, "/i.map": chunks}) as images,
        booted(tmp_path, api, variant="cloud", frame=Frame(512), uefi=True) as machine,
    ):
        peers.wait_until(lambda: api.seen.heartbeats, 180, "the heartbeat")
        assert api.seen.inspections[0]["tpm"] == {"present": False, "version": None}
        for _ in range(2):
            result = machine.client.post("deploy.execute_deploy_step", order(images, body, chunks))[1]
            assert result["command_status"] == "SUCCEEDED", result
        result = machine.client.post("image.install_bootloader", {"target_boot_mode": "uefi"})[1]
        assert "starts \\EFI\\debian\\shimx64.efi" in result["command_result"]["result"]
        cleaned = machine.client.post("clean.execute_clean_step", {"step": {"step": "clean_uefi_nvram"}, "node": {}})[1]
        assert cleaned["command_status"] == "SUCCEEDED", cleaned
        machine.client.post("standby.run_image", wait=False)
        assert machine.process.wait(60) == 0  # -no-reboot: a reboot ends the process
