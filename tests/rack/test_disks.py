"""The rack's own disks before others' programs: libiscsi's tools and tests, and QEMU's iSCSI client."""

from __future__ import annotations

import asyncio
import re
import struct
from pathlib import Path

import pytest

from agent import disk_peers
from ingot_agent import ata as agents_ata
from ingot_rack.disks import ata, iscsi, scsi
from rack.tools import run

_SUITES = (
    "Read10", "Read16", "Write10", "Write16", "Inquiry", "Mandatory", "ModeSense6", "ReadCapacity10", "ReadCapacity16",
    "TestUnitReady",
)  # fmt: skip
_IDENTIFY = bytes([0x85, 4 << 1, 0x0E, *[0] * 11, ata.IDENTIFY, 0])
_PREPARE = bytes([0x85, 3 << 1, 0x20, *[0] * 11, ata.ERASE_PREPARE, 0])


def _ordered(code: int) -> bytes:
    """The pass-through of a command that sends 512 bytes."""
    return bytes([0x85, 5 << 1, 0x06, *[0] * 11, code, 0])


def _password(word: bytes, control: int = 0) -> bytes:
    return (struct.pack("<H", control) + word.ljust(32, b"\0")).ljust(512, b"\0")


@pytest.mark.peer
async def test_libiscsi_lists_and_approves_of_the_disks(tmp_path: Path) -> None:
    disks = {0: disk_peers.plain(tmp_path, "PLAIN"), 1: disk_peers.sata(tmp_path, "SATA")}
    async with iscsi.Target(disk_peers.NAME, disks) as target:
        code, told = await run("iscsi-ls", "-s", f"iscsi://127.0.0.1:{target.port}")
        assert code == 0
        assert f"Target:{disk_peers.NAME}" in told
        assert told.count("DIRECT_ACCESS (Size:15M)") == 2, told
        _, told = await run("iscsi-inq", target.url(1))
        assert re.search(r"Vendor:ATA\s+Product:INGOT SATA DISK", told), told
        for suite in _SUITES:
            code, told = await run("iscsi-test-cu", "-d", "-t", f"SCSI.{suite}", target.url(0))
            assert code == 0, told
            assert "[FAILED]" not in told, told
        code, told = await run("iscsi-inq", target.url(1).replace(disk_peers.NAME, "iqn.2026-11.example:other"))
        assert code != 0
        assert "Target not found" in told


@pytest.mark.peer
async def test_qemu_reads_writes_and_meets_dead_blocks_and_protection(tmp_path: Path) -> None:
    disks = {0: disk_peers.plain(tmp_path, "PLAIN"), 1: disk_peers.plain(tmp_path, "LOCKED", read_only=True)}
    async with iscsi.Target(disk_peers.NAME, disks) as target:
        io = ("qemu-io", "-f", "raw", "-c", "write -P 0x5a 4M 3M", "-c", "read -P 0x5a 4M 3M")
        code, told = await run(*io, target.url(0))
        assert code == 0, told
        assert disks[0].media.path.read_bytes()[4 << 20 : 7 << 20] == b"\x5a" * (3 << 20)
        disks[0].media.dead.add((5 << 20) // 512)
        _, told = await run(*io, target.url(0))
        assert "write failed: Input/output error" in told
        assert "read failed: Input/output error" in told
        _, told = await run(*io, target.url(1))
        assert "write protected" in told, told


async def test_security_states_as_the_standard_has_them(tmp_path: Path) -> None:
    disk = disk_peers.sata(tmp_path, "SATA")
    assert disk.drive is not None
    for cdb, data in (
        (_ordered(ata.ERASE_UNIT), _password(b"a")),  # not prepared
        (_ordered(ata.SET_PASSWORD), _password(b"a")),
        (_PREPARE, b""),
        (_IDENTIFY, b""),  # stands between the two
        (_ordered(ata.ERASE_UNIT), _password(b"a")),
    ):
        await disk.run(cdb, data)
    disk.drive.power_cycle()
    read = bytes([0x28, *[0] * 7, 1, 0])
    assert (await disk.run(read, b"")).sense[2:14:10] == b"\x07\x74"  # data protect: security conflict
    for _ in range(6):
        await disk.run(_ordered(ata.UNLOCK), _password(b"b"))
    await disk.run(_ordered(ata.UNLOCK), _password(b"a"))
    disk.drive.power_cycle()
    await disk.run(_ordered(ata.UNLOCK), _password(b"a"))
    assert (await disk.run(read, b"")).status == scsi.GOOD
    assert disk.drive.log == [
        "SECURITY ERASE UNIT normal: aborted, ERASE PREPARE was not the command before",
        "SECURITY SET PASSWORD",
        "SECURITY ERASE PREPARE",
        "SECURITY ERASE UNIT normal: aborted, ERASE PREPARE was not the command before",
        *["SECURITY UNLOCK: aborted, wrong password"] * 5,
        *["SECURITY UNLOCK: aborted, too many wrong passwords since power-on"] * 2,
        "SECURITY UNLOCK",
    ]
    found = agents_ata.security((await disk.run(_IDENTIFY, b"")).data)
    assert found == agents_ata.Security(True, True, False, False, True, 2)


def _came_back(reply: scsi.Reply) -> bytes:
    """SG_IO's structure after a command: the status and the sense data's length are what is read of it."""
    return bytes([*bytes(64), reply.status, 0, 0, len(reply.sense), *bytes(20)])


async def test_the_agent_tells_a_refusal_from_a_success_in_both_formats_of_sense_data(tmp_path: Path) -> None:
    disk = disk_peers.sata(tmp_path, "SATA")
    plain = disk_peers.plain(tmp_path, "PLAIN")
    done, aborted = await disk.run(_PREPARE, b""), await disk.run(_ordered(ata.DISABLE_PASSWORD + 1), b"")
    illegal = await plain.run(_IDENTIFY, b"")
    bare = scsi.Reply(b"", scsi.CHECK_CONDITION, bytes([0x72, 5, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0]))
    busy = scsi.Reply(b"", 0x08)
    found = [
        agents_ata.refusal(_came_back(one), one.sense.ljust(64, b"\0")) for one in (done, aborted, illegal, bare, busy)
    ]
    assert found == ["", "aborted (ATA status 0x51, error 0x04)", "illegal request", "illegal request", "status 0x08"]


@pytest.mark.peer
async def test_a_disk_under_erase_answers_nothing_else_but_its_session_lives(tmp_path: Path) -> None:
    disk = disk_peers.sata(tmp_path, "SATA", seconds=0.3)
    assert disk.drive is not None
    await disk.run(_ordered(ata.SET_PASSWORD), _password(b"a"))
    await disk.run(_PREPARE, b"")
    async with iscsi.Target(disk_peers.NAME, {0: disk}) as target:
        erase = asyncio.create_task(disk.run(_ordered(ata.ERASE_UNIT), _password(b"a", 2)))
        await asyncio.sleep(0)
        code, _ = await run("iscsi-inq", target.url(0))
        assert code == 0
        assert erase.done()
    assert not any(disk.media.path.read_bytes())
