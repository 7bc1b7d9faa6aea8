"""Disks that forget, disks that show themselves late, and programs that take too long: by files, folders, processes."""

from __future__ import annotations

import dataclasses
import os
import select
import struct
import threading
import time
from pathlib import Path

import pytest

from agent import machines
from agent.test_hints import SMALL
from ingot_agent import (
    ata,
    collectors,
    commands,
    disks,
    drivers,
    erase,
    errors,
    nvme,
    programs,
    rootdisk,
    settings,
    steps,
)

MIB, GIB = 1 << 20, 1 << 30
GO = commands.Progress()


def _identity(status: int, normal: int = 0x0002, enhanced: int = 0x8005) -> bytes:
    """The security words of identify data: 128 status, 89 and 90 times."""
    words = [0] * 256
    words[89], words[90], words[128] = normal, enhanced, status
    return struct.pack("<256H", *words)


def test_ata_security_words() -> None:
    # Words composed bit by bit (no drive was recorded): after power-on, frozen by firmware, locked.
    fresh, frozen, locked = (ata.security(_identity(word)) for word in (0x0021, 0x0029, 0x0027))
    assert fresh == ata.Security(True, False, False, False, True, 10)
    assert (frozen.frozen, locked.locked, locked.enabled) == (True, True, True)
    assert ata.security(_identity(0x0001)).minutes == 4
    assert not ata.security(bytes(512)).supported


def test_nvme_abilities_and_format_word() -> None:
    identity = bytearray(4096)
    struct.pack_into("<H", identity, 256, 0x000A)
    struct.pack_into("<I", identity, 328, 0b011)
    assert nvme.abilities(identity) == nvme.Abilities(True, False, False, False, (4, 2), 0x10)
    identity[524] = 4
    assert nvme.abilities(identity).crypto
    assert not nvme.abilities(identity).takes_all
    for every in (1, 2):
        identity[524] = every
        assert nvme.abilities(identity).takes_all
    identity[256], identity[524] = 0, 0
    assert nvme.abilities(identity).takes_all, "what remains is sanitize"
    namespace = bytearray(4096)
    namespace[26], namespace[29] = 0x13, 0x0A
    assert nvme.format_word(namespace, crypto=False) == 3 | 1 << 4 | 2 << 5 | 1 << 8 | 1 << 9
    assert nvme.format_word(namespace, crypto=True) >> 9 == 2


def test_an_nvme_disk_that_says_nothing_of_sanitizing_is_not_refused(tmp_path: Path) -> None:
    nvme.settle(_disk(tmp_path / "nvme0n1", MIB).name)  # a file: all its commands fail


def _disk(path: Path, size: int) -> disks.Disk:
    path.write_bytes(os.urandom(size))
    return dataclasses.replace(SMALL, name=str(path), size=size)


def test_overwrite_says_how_and_reads_back(tmp_path: Path) -> None:
    one = _disk(tmp_path / "sda", 9 * MIB)
    group = erase.Group((one,))
    said = erase.everything(group, erase.Wishes(passes=2, zeroize=False), GO)[one.name]
    assert said.startswith("overwritten 2 times with random bytes; 9 places read back, none with its data")
    assert any((tmp_path / "sda").read_bytes())
    zeros = erase.wishes({"driver_internal_info": {"agent_erase_devices_iterations": 0}})
    said = erase.everything(group, zeros, GO)[one.name]
    assert "then zeros; 9 places read back, none with its data, 9 all zeros" in said
    assert not any((tmp_path / "sda").read_bytes())


def test_a_disk_that_keeps_its_data_fails(tmp_path: Path) -> None:
    one = _disk(tmp_path / "sda", 9 * MIB)
    marks = erase._mark(one)  # pyright: ignore[reportPrivateUsage] - a disk that only says it erased
    with pytest.raises(errors.BlockDeviceEraseError, match="still holds its data at byte 0 after it was erased"):
        erase._verified(one.name, marks, False)  # pyright: ignore[reportPrivateUsage] - as above


def test_every_disk_is_named_when_one_fails(tmp_path: Path) -> None:
    good, bad = _disk(tmp_path / "sda", MIB), dataclasses.replace(SMALL, name=str(tmp_path / "absent"))
    with pytest.raises(errors.BlockDeviceEraseError, match=r"absent cannot be opened.*Done: .*sda: metadata wiped"):
        erase.on_all(erase.apart([good, bad]), lambda group: {disk.name: erase.metadata(disk) for disk in group.disks})


def test_a_disk_whose_work_fails_unforeseen_is_not_taken_for_done(tmp_path: Path) -> None:
    good, gone = _disk(tmp_path / "sda", MIB), dataclasses.replace(SMALL, name=str(tmp_path / "gone"))
    with pytest.raises(errors.BlockDeviceEraseError, match=r"gone failed unforeseen: FileNotFoundError.*Done: .*sda: "):
        erase.on_all(erase.apart([good, gone]), lambda group: {"sda": str(Path(group.disks[0].name).stat().st_size)})


def machine(folder: Path) -> settings.Roots:
    """A machine whose drivers the agent loads."""
    return dataclasses.replace(machines.make(folder), top=str(folder))


def load(roots: settings.Roots, script: str) -> None:
    """Have the drivers of disks loaded by a line of shell."""
    program = Path(roots.top, "etc/drivers.sh")
    program.parent.mkdir(exist_ok=True)
    program.write_text(f'#!/bin/sh\n[ "$1" = disks ] || exit 0\n{script}\n')
    program.chmod(0o755)
    drivers.load_rest(roots)


def test_nothing_is_erased_while_a_driver_hangs_or_when_none_could_be_loaded(tmp_path: Path) -> None:
    roots, gate = machine(tmp_path / "m"), tmp_path / "gate"
    os.mkfifo(gate)
    load(roots, f"read word < {gate}")
    with pytest.raises(errors.BlockDeviceEraseError, match=r"are still being loaded after 0.2 s"):
        drivers.require_disks(0.2)
    assert "are still being loaded" in str(drivers.trouble())
    gate.write_text("go\n")
    drivers.require_disks()
    assert collectors.report(settings.Settings(), roots, "default")["error"] is None
    load(roots, "kill -9 $$")
    drivers.wait()
    assert "could not be loaded" in collectors.report(settings.Settings(), roots, "default")["error"]
    step = {"step": {"step": "erase_devices_metadata"}, "node": {}}
    with pytest.raises(errors.BlockDeviceEraseError, match="The drivers of disks could not be loaded"):
        steps.Steps(settings.Settings(), roots).execute("clean", step, GO)
    load(roots, "exit 0")
    drivers.require_disks()


def test_a_disk_whose_driver_comes_late_is_not_left_out(tmp_path: Path) -> None:
    roots = machine(tmp_path / "m")
    late = machines.add_disk(roots, "sda", MIB)
    late.write_bytes(b"x" * MIB)
    folder, hidden = Path(roots.sys) / "block/sda", tmp_path / "hidden"
    folder.rename(hidden)
    load(roots, f"/bin/sleep 0.5; /bin/mv {hidden} {folder}")
    step = {"step": {"step": "erase_devices_metadata"}, "node": {}}
    done = steps.Steps(settings.Settings(), roots).execute("clean", step, GO)
    assert list(done["clean_result"]["disks"]) == [str(late)]
    assert not any(late.read_bytes())


def test_a_root_disk_that_shows_itself_late_is_waited_for_while_the_machine_is_young(tmp_path: Path) -> None:
    roots = machines.make(tmp_path / "m")
    machines.add_disk(roots, "sda", 5 * GIB)
    hint = {"properties": {"root_device": {"serial": "USB1"}}}
    began = time.monotonic()
    with pytest.raises(errors.DeviceNotFound, match="serial=USB1"):
        rootdisk.find(hint, roots)
    assert time.monotonic() - began < 2, "the machine is minutes old: nothing comes late any more"
    Path(roots.proc, "uptime").write_text("5.0 1.0\n")
    comes = threading.Timer(1.0, machines.add_disk, (roots, "sdb", 5 * GIB), {"serial": "USB1"})
    comes.start()
    assert rootdisk.find(hint, roots).name == f"{roots.dev}/sdb"
    comes.join()
    Path(roots.proc, "uptime").write_text("29.0 1.0\n")
    with pytest.raises(errors.DeviceNotFound, match="serial=USB2"):
        rootdisk.find({"properties": {"root_device": {"serial": "USB2"}}}, roots)


def test_a_root_disk_may_come_late_after_its_driver_on_an_old_machine(tmp_path: Path) -> None:
    roots = machine(tmp_path / "m")
    machines.add_disk(roots, "sda", 5 * GIB)
    load(roots, "exit 0")
    comes = threading.Timer(1.0, machines.add_disk, (roots, "sdb", 5 * GIB), {"serial": "FC1"})
    comes.start()
    assert rootdisk.find({"properties": {"root_device": {"serial": "FC1"}}}, roots).name == f"{roots.dev}/sdb"
    comes.join()


def test_nothing_of_a_program_that_takes_too_long_goes_on(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        script = f"exec 3>{pipe}; sleep 60 & wait"  # as GRUB in an image: it and its child hold what it works on
        done = programs.run(["unshare", "-p", "-f", "sh", "-c", script], timeout=0.5)
        assert not done.succeeded
        assert b"timed out after 0.5 seconds" in done.output
        ended = select.poll()
        ended.register(reader, 0)
        assert ended.poll(5000) == [(reader, select.POLLHUP)]
    finally:
        os.close(reader)
