"""Faults of disks and machine under a real ramdisk: each command fails with the true cause, soon."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from agent import peers
from agent.vm import MIB, Frame, Machine, booted, order, partitioned

pytestmark = [
    pytest.mark.qemu,
    pytest.mark.slow,
    pytest.mark.timeout(400),
    pytest.mark.skipif(shutil.which("qemu-system-x86_64") is None, reason="no QEMU on this host"),
]
_DEAD = 60 * MIB // 512  # a sector within the image's data


def _frame(folder: Path) -> Frame:
    rules = folder / "rules"
    rules.write_text(
        f'[inject-error]\nevent = "none"\nerrno = "5"\niotype = "write"\nsector = "{_DEAD}"\nonce = "off"\n'
    )
    for name, size in (("dead", 5120), ("locked", 5120), ("tiny", 32)):
        with (folder / name).open("wb") as file:
            file.truncate(size * MIB)
    drives = {
        "dead": f"driver=raw,file.driver=blkdebug,file.config={rules},file.image.driver=file,"
        f"file.image.filename={folder / 'dead'},werror=report",
        "locked": f"file={folder / 'locked'},format=raw,readonly=on",
        "tiny": f"file={folder / 'tiny'},format=raw",
    }
    words = ["-rtc", "base=2001-01-01"]
    for name, drive in drives.items():
        words += ["-drive", f"{drive},if=none,id={name}", "-device", f"virtio-blk-pci,drive={name},serial={name}"]
    return Frame(400, extra=tuple(words))


def _complaint(machine: Machine, images: peers.Images, body: bytes, hint: dict[str, Any]) -> str:
    wanted = order(images, body, peers.chunk_map(body)) | {"node": {"properties": {"root_device": hint}}}
    began = time.monotonic()
    result = machine.client.post("deploy.execute_deploy_step", wanted)[1]
    assert result["command_status"] == "FAILED", result
    assert time.monotonic() - began < 60
    return str(result["command_error"]["details"])


def test_each_fault_is_named(tmp_path: Path) -> None:
    body = partitioned(tmp_path)
    damaged = body[: 58 * MIB] + b"x" * (8 * MIB) + body[66 * MIB :]
    with (
        peers.Ironic() as api,
        peers.Images({"/i.raw": damaged, "/i.map": peers.chunk_map(damaged)}) as images,
        booted(tmp_path, api, variant="cloud", frame=_frame(tmp_path)) as machine,
    ):
        peers.wait_until(lambda: api.seen.heartbeats, 120, "the heartbeat, with a clock 25 years behind")
        told = _complaint(machine, images, damaged, {"serial": "dead"})
        assert "Writing /dev/vdb at byte " in told or "did not take the data" in told
        assert "Input/output error" in told
        told = _complaint(machine, images, damaged, {"serial": "locked"})
        assert "No disk fits the root device hints serial=locked" in told
        assert "serial locked (read-only)" in told
        told = _complaint(machine, images, damaged, {"serial": "tiny"})
        assert "Choose a larger disk" in told
        told = _complaint(machine, images, damaged, {"serial": "absent"})
        assert "No disk fits the root device hints serial=absent. Disks: /dev/vda" in told
        logs = machine.client.post("log.collect_system_logs")[1]
        assert len(logs["command_result"]["system_logs"]) > 1000
        steps = {
            "step": {"step": "burnin_memory"},
            "node": {"driver_info": {"agent_burnin_vm_timeout": 1}},
            "ports": [],
        }
        done = machine.client.post("clean.execute_clean_step", steps)[1]
        assert done["command_status"] == "SUCCEEDED", done  # nearly all memory, and the agent lives
