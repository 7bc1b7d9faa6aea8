"""The agent's steps on a virtual machine with an NVMe, an ATA, a read-only and two RAID disks."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from agent import machines, peers
from agent.vm import MIB, Frame, Machine, booted, file_system, order, partitioned
from ingot_agent import arrays

pytestmark = [
    pytest.mark.qemu,
    pytest.mark.slow,
    pytest.mark.timeout(400),
    pytest.mark.skipif(shutil.which("qemu-system-x86_64") is None, reason="no QEMU on this host"),
]

_MEMBERS = [{"serial": "R1"}, {"serial": "R2"}]
_KEPT = {"properties": {"skip_block_devices": [{"serial": "D0"}], "root_device": {"name": "/dev/md0"}}}
_RAID = {"controller": "software", "raid_level": "1", "size_gb": "MAX", "physical_disks": _MEMBERS}
_NODE = {
    **_KEPT,
    "driver_internal_info": {"agent_erase_skip_read_only": True, "agent_erase_devices_iterations": 0},
    "target_raid_config": {"logical_disks": [_RAID]},
    "driver_info": {
        "agent_burnin_cpu_timeout": 1,
        "agent_burnin_vm_timeout": 1,
        "agent_burnin_vm_vm-bytes": "16M",
    },
}
_FILLED = b"what the tenant left behind " * 1000


def _frame(folder: Path) -> Frame:
    words: list[str] = []
    kinds = {
        "nvme": ("nvme,drive=nvme,serial=N1", 128),
        "ata": ("ide-hd,drive=ata,bus=ide.0,serial=A1", 64),
        "r1": ("virtio-blk-pci,drive=r1,serial=R1", 640),
        "r2": ("virtio-blk-pci,drive=r2,serial=R2", 640),
        "ro": ("virtio-blk-pci,drive=ro,serial=RO", 16),
    }
    for name, (device, size) in kinds.items():
        path = folder / name
        with path.open("wb") as file:
            file.truncate(size * MIB)
            file.seek(5 * MIB)
            file.write(_FILLED)
        locked = ",readonly=on" if name == "ro" else ""
        words += ["-drive", f"file={path},format=raw,if=none,id={name}{locked}", "-device", device]
    return Frame(512, processors=2, extra=tuple(words))


def _run(machine: Machine, step: str, node: dict[str, Any] = _NODE, interface: str = "deploy") -> Any:
    params = {"step": {"step": step, "interface": interface}, "node": node, "ports": []}
    return machine.client.post("clean.execute_clean_step", params)[1]


def _done(machine: Machine, step: str, interface: str = "deploy") -> Any:
    result = _run(machine, step, interface=interface)
    assert result["command_status"] == "SUCCEEDED", result
    return result["command_result"]["clean_result"]


def _check_erase(machine: Machine, folder: Path) -> None:
    strict = _run(machine, "erase_devices", _KEPT)
    assert "cannot be erased: read-only" in strict["command_error"]["details"]
    said = {name.rpartition("/")[2]: how for name, how in _done(machine, "erase_devices")["disks"].items()}
    assert "NVMe format with user data erase; 9 places read back, none with its data" in said["nvme0n1"]
    assert said["sda"].startswith("overwritten 0 times with random bytes, then zeros; 9 places")
    assert sorted(how for how in said.values() if how.startswith("left")) == [
        "left alone: in skip_block_devices", "left alone: read-only",
    ]  # fmt: skip
    for name in ("nvme", "ata", "r1", "r2"):
        assert not any((folder / name).read_bytes()), name
    assert any((folder / "ro").read_bytes())
    assert "NVMe format" in str(_done(machine, "erase_devices_express"))


def _check_raid(machine: Machine, folder: Path, images: peers.Images, body: bytes) -> None:
    made = _done(machine, "create_configuration", "raid")
    assert made == _NODE["target_raid_config"]
    refused = _run(machine, "create_configuration", interface="raid")
    assert "part of /dev/md0" in refused["command_error"]["details"]
    _check_kept(machine, folder)
    whole = order(images, body, peers.chunk_map(body)) | {"node": _NODE}
    refused = machine.client.post("deploy.execute_deploy_step", whole)[1]
    assert "starts by BIOS" in refused["command_error"]["details"]
    inner = file_system(folder)
    images.files |= {"/i.raw": inner, "/i.map": peers.chunk_map(inner)}
    wanted = order(images, inner, peers.chunk_map(inner)) | {"node": _NODE}
    wanted["step"]["args"]["image_info"] |= {"image_type": "partition", "root_mb": 100}
    written = machine.client.post("deploy.execute_deploy_step", wanted)[1]
    assert written["command_status"] == "SUCCEEDED", written
    assert "/dev/md0" in written["command_result"]["deploy_result"]
    added = os.urandom(8192)
    file = {"path": "/added/file", "partition": 2, "content": base64.b64encode(added).decode()}
    inject = {"step": {"step": "inject_files", "interface": "deploy", "args": {"files": [file]}}, "node": _NODE}
    done = machine.client.post("deploy.execute_deploy_step", inject)[1]
    assert done["command_status"] == "SUCCEEDED", done
    said = done["command_result"]["deploy_result"]
    assert said == {"files": {"/added/file": "8192 bytes written to /dev/md0p2"}}
    machine.client.post("standby.sync")
    for name in ("r1", "r2"):
        assert (folder / "data").read_bytes() in (folder / name).read_bytes(), name
        assert added in (folder / name).read_bytes(), name
    assert "removed the arrays md0" in _done(machine, "delete_configuration", "raid")
    assert _done(machine, "delete_configuration", "raid") == "there was no array"
    assert not (folder / "r1").read_bytes()[: 2 * MIB].strip(b"\0")


def _check_kept(machine: Machine, folder: Path) -> None:
    """The array that mdadm made is left alone by its name, and where one of its disks is to be."""
    for kept in ({"volume_name": "md0"}, {"serial": "R2"}):
        node = {**_NODE, "properties": {"skip_block_devices": [{"serial": "D0"}, kept]}}
        erased = _run(machine, "erase_devices_metadata", node)["command_result"]["clean_result"]["disks"]
        assert erased["/dev/md0"] == "left alone: in skip_block_devices"
        told = _run(machine, "delete_configuration", node, interface="raid")["command_result"]["clean_result"]
        assert told == "left alone md0: in skip_block_devices"
    roots = machines.make(folder / "host")
    for number, name in enumerate(("r1", "r2"), 1):
        table = json.loads(subprocess.run(["sfdisk", "-J", folder / name], capture_output=True, check=True).stdout)
        (part,) = (one for one in table["partitiontable"]["partitions"] if one.get("name") == "raid-0")
        machines.add_disk(roots, name, 640 * MIB, **{f"{name}1__size": str(part["size"])})
        with (folder / name).open("rb") as disk, (Path(roots.dev) / f"{name}1").open("wb") as copy:
            disk.seek(part["start"] * 512)
            copy.write(disk.read(MIB))
        members = arrays.members(roots)
        assert [one.name for one in members] == ["md0"] * number
        assert arrays.lacking(members) == 2 - number


def test_steps_on_real_devices(tmp_path: Path) -> None:
    body = partitioned(tmp_path)
    with (
        peers.Ironic() as api,
        peers.Images({"/i.raw": body, "/i.map": peers.chunk_map(body)}) as images,
        booted(tmp_path, api, variant="full", frame=_frame(tmp_path)) as machine,
    ):
        peers.wait_until(lambda: api.seen.heartbeats, 180, "the heartbeat")
        _check_erase(machine, tmp_path)
        _check_raid(machine, tmp_path, images, body)
        assert _done(machine, "burnin_cpu")["errors"] == 0
        assert _done(machine, "burnin_memory")["bytes"] == 16 * MIB
        answer = machine.client.post("rescue.finalize_rescue", {"rescue_password": "p", "hashed": False})[1]
        assert answer["command_result"] == {"result": "the user rescue may log in"}
