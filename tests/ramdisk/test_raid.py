"""Software RAID of every level by the real mdadm in the real ramdisk, as the kernel itself sees it."""

from __future__ import annotations

import base64
import io
import re
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest

from agent import peers
from agent.vm import MIB, Frame, Machine, booted, file_system, order

pytestmark = [
    pytest.mark.qemu,
    pytest.mark.long,
    pytest.mark.timeout(600),
    pytest.mark.skipif(shutil.which("qemu-system-x86_64") is None, reason="no QEMU on this host"),
]
SIZE = 1280  # MiB of each of the four disks
LEVELS = {"0": ("raid0", 4), "5": ("raid5", 3), "6": ("raid6", 2), "1+0": ("raid10", 2)}
"""Ironic's name -> the kernel's, and how many disks' worth of room the array has."""


def frame(folder: Path) -> Frame:
    words: list[str] = []
    for name in ("r1", "r2", "r3", "r4"):
        with (folder / name).open("wb") as file:
            file.truncate(SIZE * MIB)
        drive = f"file={folder / name},format=raw,if=none,id={name},discard=unmap"
        words += ["-drive", drive, "-device", f"virtio-blk-pci,drive={name},serial={name.upper()}"]
    return Frame(640, processors=2, extra=tuple(words))


def node(level: str) -> dict[str, Any]:
    mirror = {"controller": "software", "raid_level": "1", "size_gb": 1, "volume_name": "boot"}
    rest = {"controller": "software", "raid_level": level, "size_gb": "MAX", "volume_name": "data"}
    return {
        "properties": {"skip_block_devices": [{"serial": "D0"}], "root_device": {"name": "/dev/md1"}},
        "target_raid_config": {"logical_disks": [mirror, rest]},
    }


def done(machine: Machine, step: str, of: dict[str, Any]) -> Any:
    params = {"step": {"step": step, "interface": "raid"}, "node": of, "ports": []}
    result = machine.client.post("clean.execute_clean_step", params)[1]
    assert result["command_status"] == "SUCCEEDED", result
    return result["command_result"]["clean_result"]


def mdstat(machine: Machine) -> str:
    """The kernel's own word on the arrays, from the machine's logs."""
    packed = machine.client.post("log.collect_system_logs")[1]["command_result"]["system_logs"]
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode(packed))) as archive:
        member = archive.extractfile("arrays")
        assert member is not None
        return member.read().decode()


def test_every_level(tmp_path: Path) -> None:
    body = file_system(tmp_path)
    with (
        peers.Ironic() as api,
        peers.Images({"/i.raw": body, "/i.map": peers.chunk_map(body)}) as images,
        booted(tmp_path, api, variant="full", frame=frame(tmp_path)) as machine,
    ):
        peers.wait_until(lambda: api.seen.heartbeats, 180, "the heartbeat")
        for level, (word, worth) in LEVELS.items():
            assert done(machine, "create_configuration", node(level)) == node(level)["target_raid_config"]
            told = mdstat(machine)
            blocks = {name: (kind, int(size)) for name, kind, size in re.findall(LINE, told)}
            assert {kind for kind, _ in blocks.values()} == {"raid1", word}, told
            ((_, mirrored),) = [one for one in blocks.values() if one[0] == "raid1"]
            ((name, (_, room)),) = [one for one in blocks.items() if one[1][0] == word]
            assert mirrored == pytest.approx(1 << 20, rel=0.01)
            each = SIZE - 1024 - 8 - 2  # what the mirror, the room for a boot partition and the table leave
            assert room / 1024 == pytest.approx(worth * each, rel=0.05), told
            assert len(re.findall(r"vd[b-e]2\[\d\]", told.partition(f"{name} :")[2].splitlines()[0])) == 4
            if level == "6":
                check_written(machine, tmp_path, images, body, name)
            assert "removed the arrays boot, data from" in done(machine, "delete_configuration", node(level))
            assert "active" not in mdstat(machine)


LINE = r"(md\d+) : active (?:\(auto-read-only\) )?(raid\d+) [^\n]*\n +(\d+) blocks"


def check_written(machine: Machine, folder: Path, images: peers.Images, body: bytes, name: str) -> None:
    """An image on an array with parity: each disk got a share of it."""
    hinted = node("6") | {"properties": {"root_device": {"name": f"/dev/{name}"}}}
    before = [(folder / disk).stat().st_blocks for disk in ("r1", "r2", "r3", "r4")]
    wanted = order(images, body, peers.chunk_map(body)) | {"node": hinted}
    wanted["step"]["args"]["image_info"] |= {"image_type": "partition", "root_mb": 100}
    written = machine.client.post("deploy.execute_deploy_step", wanted)[1]
    # The array of 500 MiB is smaller than what an image usually needs, but a hint is a hint.
    assert written["command_status"] == "SUCCEEDED", written
    assert f"/dev/{name}" in written["command_result"]["deploy_result"]
    machine.client.post("standby.sync")
    after = [(folder / disk).stat().st_blocks for disk in ("r1", "r2", "r3", "r4")]
    assert all(late > early for late, early in zip(after, before, strict=True))
