"""Disks erase themselves under a real ramdisk: its kernel speaks to disks of ingot_rack, whose own log is the proof.

SATA disks come by iSCSI and QEMU's pass-through, NVMe ones by TCP, with what an operator may add to the ramdisk.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import threading
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import pytest

from agent import disk_peers, peers
from agent.vm import Frame, Machine, booted
from ingot_rack.disks import ata, iscsi, media, nvme, nvme_tcp, scsi

pytestmark = [
    pytest.mark.qemu,
    pytest.mark.long,
    pytest.mark.timeout(600),
    pytest.mark.skipif(shutil.which("qemu-system-x86_64") is None, reason="no QEMU on this host"),
]
_OURS, _FOREIGN = (word.ljust(32, b"\0") for word in (b"NULL", b"another's"))
_BRIDGED = "BRIDGED"
_BEGUN = ["SECURITY SET PASSWORD", "SECURITY ERASE PREPARE", "(erase begins)"]
_WHOLE = [*_BEGUN, "SECURITY ERASE UNIT enhanced"]
_OPENED = ["SECURITY UNLOCK", "SECURITY DISABLE PASSWORD"]
_JUDGE = """#!/bin/sh
for disk in /dev/sd?; do
  hdparm -I $disk 2>/dev/null | grep -q "Serial Number: *JUDGED" || continue
  hdparm --user-master u --security-set-pass judge $disk
  hdparm -I $disk
  hdparm --user-master u --security-erase judge $disk
  hdparm -I $disk | sed -n '/^Security/,$p'
done
"""
# a busy host answers late: after the usual 5 s without a sign of life a disk would be away for 10 s
_CONNECT = """#!/bin/sh
modprobe nvme-tcp
for name in {names}; do
  echo "transport=tcp,traddr=10.0.2.2,trsvcid={port},nqn=$name,nr_io_queues=1,keep_alive_tmo=120" > /dev/nvme-fabrics
done
"""


def _scsi(folder: Path) -> dict[str, scsi.Disk]:
    more: dict[str, dict[str, Any]] = {
        "GOOD": {"seconds": 3.0},
        "NORMAL": {"enhanced": False, "minutes": 60},
        "FROZEN": {"frozen": True},
        "ABORTS": {"fault": ata.Fault.ABORTS},
        "DIES": {"fault": ata.Fault.DIES},
        "LIES": {"fault": ata.Fault.LIES},
        "NOTHING": {"fault": ata.Fault.IDLES},
        "RESET": {"password": _OURS},
        "OPENED": {"password": _FOREIGN},
        "CUT": {"password": _OURS, "locked": True},
        "FOREIGN": {"password": _FOREIGN, "locked": True},
        "OLD": {"supported": False},
        "JUDGED": {},
    }
    disks = {serial: disk_peers.sata(folder, serial, **words) for serial, words in more.items()}
    disks["USB"] = disk_peers.sata(folder, "USB", model=_BRIDGED)
    disks["SECTOR"] = disk_peers.plain(folder, "SECTOR")
    disks["READONLY"] = disk_peers.plain(folder, "READONLY", read_only=True)
    return disks


def _flash(folder: Path) -> dict[str, nvme.Controller]:
    more: dict[str, dict[str, Any]] = {
        "BLOCKS": {"seconds": 2.0},
        "CRYPTO": {"ways": 7},
        "FAILS": {"fault": nvme.Fault.FAILS},
        "IDLES": {"fault": nvme.Fault.LIES},
        "FORMAT": {"formats": True},
        "PAIR": {"second": "more"},
        "ALL": {"second": "more", "formats": True, "fna": 2, "ways": 0},
        "EACH": {"second": "more", "formats": True},
        "HIDDEN": {"second": "detached"},
    }
    return {serial: disk_peers.flash(folder, serial, **words) for serial, words in more.items()}


def _extra(folder: Path, fabric: nvme_tcp.Target) -> Path:
    """An addition to the ramdisk: hdparm, which erases the disk JUDGED, and the NVMe disks."""
    start = folder / "extra" / "root" / "etc" / "ingot" / "start.d"
    start.mkdir(parents=True)
    connect = _CONNECT.format(names=" ".join(fabric.subsystems), port=fabric.port)
    for name, script in (("10-judge", _JUDGE), ("20-connect", connect)):
        (start / name).write_text(script)
        (start / name).chmod(0o755)
    recipe = 'packages = ["hdparm"]\nprograms = ["usr/sbin/hdparm"]\nmodules = ["nvme_tcp"]\n'
    (folder / "extra/recipe.toml").write_text(recipe)
    return folder / "extra"


class _Bench:
    """The machine and its disks, each cleaned by itself."""

    def __init__(self, machine: Machine, disks: Mapping[str, scsi.Disk | nvme.Controller]) -> None:
        self.machine = machine
        self.disks = disks

    def params(self, serial: str, step: str, **allowed: bool) -> dict[str, Any]:
        """A clean step on that disk alone."""
        others = [{"serial": name} for name in ("D0", *self.disks) if name != serial]
        others += [{"model": _BRIDGED}] if serial != "USB" else []  # the kernel asks no serial number of a bridge
        node = {"properties": {"skip_block_devices": others}, "driver_internal_info": allowed}
        return {"step": {"step": step, "interface": "deploy"}, "node": node, "ports": []}

    def run(self, serial: str, step: str = "erase_devices", **allowed: bool) -> Any:
        return self.machine.client.post("clean.execute_clean_step", self.params(serial, step, **allowed))[1]

    def said(self, serial: str, step: str = "erase_devices", **allowed: bool) -> str:
        """What was done to the disk."""
        (how,) = _done(self.run(serial, step, **allowed))
        return how

    def said_of_first(self, serial: str, step: str = "erase_devices") -> str:
        """What was done to the first namespace of a controller whose second one is to keep its data."""
        disk, order = self.disks[serial], self.params(serial, step)
        assert isinstance(disk, nvme.Controller)
        kept = {"wwn": f"eui.{disk.namespace_id(2).hex()}"}
        order["node"]["properties"]["skip_block_devices"].append(kept)
        (how,) = _done(self.machine.client.post("clean.execute_clean_step", order)[1])
        return how

    def complaint(self, serial: str) -> str:
        """Why nothing was; the disk's name replaced by DISK."""
        result = self.run(serial)
        assert result["command_status"] == "FAILED", result
        return re.sub(r"/dev/(sd\w|nvme\dn\d)", "DISK", str(result["command_error"]["details"]))

    def log(self, serial: str) -> list[str]:
        """What was asked of the disk, by its own word; empty for one without such commands."""
        disk = self.disks[serial]
        source = disk.drive if isinstance(disk, scsi.Disk) else disk
        return source.log if source else []

    def holds(self, serial: str) -> bool:
        return disk_peers.holds_data(self.disks[serial].media)

    def second_holds(self, serial: str) -> bool:
        disk = self.disks[serial]
        assert isinstance(disk, nvme.Controller)
        (second,) = disk.more + disk.detached
        return disk_peers.holds_data(second)


def _done(result: Any) -> list[str]:
    """What was done to each disk that was not left alone."""
    assert result["command_status"] == "SUCCEEDED", result
    done = result["command_result"]["clean_result"]["disks"]
    return [str(how) for how in done.values() if how != "left alone: in skip_block_devices"]


@contextlib.contextmanager
def _bench(folder: Path) -> Generator[_Bench]:
    disks, flash = _scsi(folder), _flash(folder)
    target = iscsi.Target(disk_peers.NAME, dict(enumerate(disks.values())))
    fabric = nvme_tcp.Target(list(flash.values()))
    with peers.Ironic() as api, disk_peers.beside(target), disk_peers.beside(fabric):
        frame = Frame(512, extra=tuple(disk_peers.attached(target, "USB")))
        with booted(folder, api, variant="full", frame=frame, extras=[_extra(folder, fabric)]) as machine:
            peers.wait_until(lambda: api.seen.heartbeats, 240, "the heartbeat")
            yield _Bench(machine, {**disks, **flash})


_BLANK = "; 9 places read back, none with its data, 9 all zeros"
_NOT_INSTEAD = " Overwriting instead is not allowed (driver_internal_info agent_continue_if_secure_erase_failed)."


def _check_judge(bench: _Bench) -> None:
    told = bench.machine.serial.read_text(errors="replace").replace("\r", "")
    assert re.search(r"Serial Number:\s+JUDGED", told)
    assert "supported: enhanced erase" in told
    assert "Checksum: correct" in told
    enabled = [line.split() for line in told.splitlines() if re.fullmatch(r"\s(not)?\s+enabled", line)]
    assert enabled == [["enabled"], ["not", "enabled"]], "hdparm's reading after its password and after its erase"
    assert bench.log("JUDGED") == [*_BEGUN, "SECURITY ERASE UNIT normal"]
    assert not bench.holds("JUDGED")


def _check_good_disks(bench: _Bench) -> None:
    order = bench.params("GOOD", "erase_devices") | {"ingot_key": "one erase"}
    client = bench.machine.client
    first, again = (client.post("clean.execute_clean_step", order, wait=False)[1] for _ in range(2))
    assert first["id"] == again["id"]
    peers.wait_until(lambda: client.result(first["id"])["command_status"] != "RUNNING", 60, "the erase")
    done = client.post("clean.execute_clean_step", order)[1]
    assert f"ATA enhanced secure erase{_BLANK}" in done["command_result"]["clean_result"]["disks"].values(), done
    assert bench.log("GOOD") == _WHOLE, "once, though it was ordered three times"
    assert bench.said("NORMAL") == f"ATA secure erase{_BLANK}"
    assert bench.log("NORMAL") == [*_BEGUN, "SECURITY ERASE UNIT normal"]
    assert bench.said("CUT", "erase_devices_metadata").startswith("metadata wiped")
    assert bench.log("CUT") == _OPENED, "a disk that lost its power in an erase is opened"
    assert bench.said("CUT") == f"ATA enhanced secure erase{_BLANK}"
    assert bench.said("RESET", "erase_devices_metadata").startswith("metadata wiped")
    assert bench.log("RESET") == _OPENED[1:], "one that was reset in an erase does not lock later"
    assert bench.said("OPENED", "erase_devices_metadata").startswith("metadata wiped")
    assert bench.log("OPENED") == ["SECURITY DISABLE PASSWORD: aborted, wrong password"]
    assert bench.said("OLD") == f"overwritten 1 times with random bytes, then zeros{_BLANK}"
    assert bench.log("OLD") == []
    assert not any(bench.holds(serial) for serial in ("GOOD", "NORMAL", "CUT", "OLD"))


def _check_bad_disks(bench: _Bench) -> None:
    frozen = "The firmware has frozen the ATA security of DISK. Switch that off there, or power-cycle the disk."
    assert bench.complaint("FROZEN") == frozen + _NOT_INSTEAD
    assert bench.holds("FROZEN")
    done = bench.said("FROZEN", agent_continue_if_secure_erase_failed=True)
    assert re.fullmatch(rf"overwritten 1 times .*then zeros \(its own erase failed: The firmware .*\){_BLANK}", done)
    assert bench.log("FROZEN") == []
    failed = "DISK did not erase itself: it answered SECURITY ERASE UNIT with "
    assert bench.complaint("ABORTS") == f"{failed}aborted. It has no password.{_NOT_INSTEAD}"
    assert bench.log("ABORTS") == [*_BEGUN, f"{_WHOLE[-1]}: aborted, the erase failed", "SECURITY DISABLE PASSWORD"]
    assert bench.complaint("LIES").startswith("DISK still holds its data at byte 0 after it was erased.")
    assert "but keeps the password" in bench.complaint("NOTHING")
    assert bench.log("NOTHING") == [*_WHOLE, "SECURITY DISABLE PASSWORD"]
    told = bench.complaint("FOREIGN")
    assert told.startswith("DISK is locked by an ATA password, and ours does not open it (it answered SECURITY UNLOCK")
    assert bench.log("FOREIGN") == ["SECURITY UNLOCK: aborted, wrong password"]
    told = bench.complaint("DIES")
    assert told.startswith(f"{failed}hardware error. It may be locked now, by the password NULL (it answered IDENTIFY")
    assert bench.log("DIES") == _BEGUN


def _check_worn_disks(bench: _Bench) -> None:
    sector = bench.disks["SECTOR"].media
    sector.dead.add((9 << 20) // media.BLOCK)
    told = bench.complaint("SECTOR")
    assert told == "Writing DISK at byte 8388608 failed: Input/output error. Check or replace the disk."
    assert bench.complaint("READONLY").startswith("DISK cannot be erased: read-only. Unlock it")
    assert bench.said("READONLY", agent_erase_skip_read_only=True) == "left alone: read-only"
    assert bench.holds("READONLY")


def _check_flash(bench: _Bench) -> None:
    assert bench.said("BLOCKS") == f"NVMe sanitize with block erase{_BLANK}"
    assert bench.log("BLOCKS") == ["SANITIZE block erase", "(sanitize ends)"]
    assert bench.said("CRYPTO") == f"NVMe sanitize with cryptographic erase{_BLANK}"
    assert bench.said("FORMAT", "erase_devices_express") == f"NVMe format with user data erase{_BLANK}"
    assert bench.log("FORMAT") == ["FORMAT of namespace 1, secure erase 1"]
    assert not any(bench.holds(serial) for serial in ("BLOCKS", "CRYPTO", "FORMAT"))
    assert bench.complaint("IDLES").startswith("DISK still holds its data at byte 0 after it was erased.")
    failed = "The NVMe sanitize of DISK failed, and it gives no data. Replace it."
    assert bench.complaint("FAILS") == failed + _NOT_INSTEAD
    assert bench.complaint("FAILS") == failed, "nothing is written to it, so it is not tried"
    busy = bench.disks["BLOCKS"]
    assert isinstance(busy, nvme.Controller)
    busy.state = 2
    ends = threading.Timer(4, lambda: setattr(busy, "state", 1))
    ends.start()
    assert bench.said("BLOCKS", "erase_devices_metadata").startswith("metadata wiped"), "one under way is waited for"
    ends.join()


def _check_bridge(bench: _Bench) -> None:
    """Its SATA disk would erase itself, and the bridge here would pass the order on: it is not asked."""
    usb = "(its own erase is not asked for behind a USB bridge)"
    assert bench.said("USB") == f"overwritten 1 times with random bytes, then zeros {usb}{_BLANK}"
    assert (bench.log("USB"), bench.holds("USB")) == ([], False)


def _check_namespaces(bench: _Bench) -> None:
    others = "(its own erase takes other namespaces of its controller, too)"
    instead = f"overwritten 1 times with random bytes, then zeros {others}{_BLANK}"
    for serial in ("PAIR", "ALL"):
        assert bench.said_of_first(serial, "erase_devices_express").startswith("metadata wiped")
        assert bench.holds(serial), "its metadata alone"
        assert bench.said_of_first(serial) == instead
        assert (bench.log(serial), bench.holds(serial), bench.second_holds(serial)) == ([], False, True)
    assert bench.said("HIDDEN") == instead
    assert (bench.log("HIDDEN"), bench.second_holds("HIDDEN")) == ([], True)
    assert bench.said_of_first("EACH") == f"NVMe format with user data erase{_BLANK}"
    assert (bench.log("EACH"), bench.second_holds("EACH")) == (["FORMAT of namespace 1, secure erase 1"], True)
    assert _done(bench.run("PAIR")) == [f"NVMe sanitize with block erase{_BLANK}"] * 2
    assert bench.log("PAIR") == ["SANITIZE block erase", "(sanitize ends)"], "once for both"
    assert _done(bench.run("ALL")) == [f"NVMe format with user data erase{_BLANK}"] * 2
    assert bench.log("ALL") == ["FORMAT of namespace 1, secure erase 1"], "once for both"
    assert not bench.second_holds("PAIR") and not bench.second_holds("ALL")


def test_each_disk_erases_itself_or_says_why_not(tmp_path: Path) -> None:
    with _bench(tmp_path) as bench:
        _check_judge(bench)
        _check_good_disks(bench)
        _check_bad_disks(bench)
        _check_worn_disks(bench)
        _check_flash(bench)
        _check_namespaces(bench)
        _check_bridge(bench)
