"""Real guests: firmware, boot order, media, power switched from inside, pictures, the serial line."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from ingot_rack import accel, bmc, errors, hardware, machine, qemu, specs
from ingot_rack.hardware import BootDevice, BootMode, BootOverride, PowerAction, PowerState
from ingot_rack.ipmi import server as ipmi
from rack import tools
from rack.tools import PASSWORD, USER, run, serial_text, until

pytestmark = pytest.mark.qemu

Make = Callable[..., Awaitable[machine.Machine]]


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    made: list[machine.Machine] = []

    async def one(
        firmware: BootMode = BootMode.BIOS, *, disk: bytes = b"", bus: str = "virtio", nic: bool = False
    ) -> machine.Machine:
        disks = (qemu.Disk(64 << 20, "SER1", qemu.DiskBus(bus)),)
        nics = (qemu.Nic("52:54:00:aa:bb:cc"),) if nic else ()
        hull = qemu.Hull(f"m{len(made)}", tools.UUID, firmware, 256, 1, disks, nics)
        new = machine.Machine(hull, tmp_path / hull.name)
        await new.prepare()
        with new.files.disk(0, disks[0]).open("r+b") as image:
            image.write(disk)
        made.append(new)
        return new

    yield one
    for each in made:
        await each.close()


def said(one: machine.Machine, text: str, times: int = 1) -> Callable[[], bool]:
    return lambda: serial_text(one.files.serial_log).count(text) >= times


@pytest.mark.peer
@pytest.mark.parametrize("firmware", list(BootMode))
async def test_powered_on_by_ipmitool_it_network_boots(make: Make, firmware: BootMode) -> None:
    one = await make(firmware, nic=True)
    server = ipmi.Server({"127.0.0.1": bmc.Bmc(one, USER, PASSWORD)}, 0)
    where = ("-I", "lanplus", "-H", "127.0.0.1", "-p", str(await server.start()), "-U", USER, "-P", PASSWORD)
    assert (await run("ipmitool", *where, "chassis", "bootdev", "pxe"))[0] == 0
    assert (await run("ipmitool", *where, "power", "on"))[0] == 0
    assert await run("ipmitool", *where, "power", "status") == (0, "Chassis Power is on\n")
    await until(said(one, "iPXE"), seconds=90, what="iPXE on the serial line")
    assert one.starts == 1, "the firmware did not use up the boot device by resets of its own"
    assert (await run("ipmitool", *where, "power", "off"))[0] == 0
    assert one.power is PowerState.OFF
    await server.close()


@pytest.mark.parametrize("bus", ["virtio", "ahci", "nvme", "scsi"])
async def test_every_disk_bus_boots(make: Make, bus: str) -> None:
    one = await make(disk=tools.boot_sector("FROM-DISK", tools.HALT), bus=bus)
    await one.set_power(PowerAction.ON)
    await until(said(one, "FROM-DISK"), what=f"a boot from {bus}")


async def test_a_once_only_device_is_used_once_even_when_the_guest_reboots(make: Make, tmp_path: Path) -> None:
    cd = tmp_path / "cd.iso"
    cd.write_bytes(tools.boot_cd("FROM-CD", tools.REBOOT))
    one = await make(disk=tools.boot_sector("FROM-DISK", tools.HALT))
    await one.insert_media(cd)
    await one.set_boot(BootOverride(BootDevice.CD))
    await one.set_power(PowerAction.ON)
    assert one.boot == BootOverride()
    await until(said(one, "FROM-DISK"), what="the second boot, from disk")
    assert serial_text(one.files.serial_log).count("FROM-CD") == 1
    assert (one.power, one.starts) == (PowerState.ON, 2)


async def test_a_persistent_device_survives_reboots_and_power_cycles(make: Make, tmp_path: Path) -> None:
    cd = tmp_path / "cd.iso"
    cd.write_bytes(tools.boot_cd("FROM-CD", tools.REBOOT))
    one = await make(disk=tools.boot_sector("FROM-DISK", tools.HALT))
    await one.insert_media(cd)
    await one.set_boot(BootOverride(BootDevice.CD, persistent=True))
    await one.set_power(PowerAction.ON)
    await until(said(one, "FROM-CD", 3), what="three boots from CD")
    assert one.starts == 1, "the same order needs no new process"
    await one.set_boot(BootOverride(BootDevice.DISK))
    await until(said(one, "FROM-DISK"), what="one boot from disk")
    await one.set_power(PowerAction.CYCLE)
    before = serial_text(one.files.serial_log).count("FROM-CD")
    await until(said(one, "FROM-CD", before + 1), what="the persistent device after a once-only one")
    again = machine.Machine(one.hull, one.files.folder)
    assert again.boot == BootOverride(BootDevice.CD, persistent=True), "kept for the next rack process"


async def test_media_changes_while_the_machine_runs(make: Make, tmp_path: Path) -> None:
    cd = tmp_path / "cd.iso"
    cd.write_bytes(tools.boot_cd("FROM-CD", tools.HALT))
    one = await make(disk=tools.boot_sector("FROM-DISK", tools.HALT))
    await one.set_power(PowerAction.ON)
    await until(said(one, "FROM-DISK"))
    await one.insert_media(cd)
    await one.set_boot(BootOverride(BootDevice.CD))
    await one.set_power(PowerAction.RESET)
    await until(said(one, "FROM-CD"))
    await one.eject_media()
    await one.set_boot(BootOverride(BootDevice.CD))
    await one.set_power(PowerAction.RESET)
    await until(said(one, "FROM-DISK", 2), what="the disk, when the drive is empty")
    assert one.boot == BootOverride(), "used up, though the reset needed no new process"


async def test_power_off_from_inside_is_seen(make: Make) -> None:
    one = await make(disk=tools.boot_sector("BYE", tools.POWER_OFF))
    await one.set_power(PowerAction.ON)
    await until(said(one, "BYE"))
    await until(lambda: one.power is PowerState.OFF, what="the guest's own power-off")
    with pytest.raises(errors.NotNow):
        await one.set_power(PowerAction.RESET)
    await one.set_power(PowerAction.ON)
    await until(said(one, "BYE", 2), what="a second power-on")


async def test_screenshot_is_a_png(make: Make, tmp_path: Path) -> None:
    one = await make(disk=tools.boot_sector("UP", tools.HALT))
    with pytest.raises(errors.NotNow):
        await one.screenshot(tmp_path / "s.png")
    await one.set_power(PowerAction.ON)
    await until(said(one, "UP"))
    picture = (await one.screenshot(tmp_path / "s.png")).read_bytes()
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    assert len(picture) > 200


async def test_a_machine_that_cannot_start_says_why(make: Make) -> None:
    one = await make()
    one.files.disk(0, one.hull.disks[0]).unlink()
    with pytest.raises(errors.RackError, match="did not start"):
        await one.set_power(PowerAction.ON)
    assert one.power is PowerState.OFF


async def test_the_accelerator_is_proved_by_booting() -> None:
    chosen = await accel.choose()
    assert chosen.startswith(("kvm", "tcg"))
    assert (chosen == accel.KVM) is await accel.kvm_works()


@pytest.mark.peer
async def test_serial_over_lan_shows_and_types(make: Make) -> None:
    """An echo loop in the guest: what ipmitool types comes back."""
    echo = bytes.fromhex("bafd03eca80174fbbaf803ecfec0eeebef")  # wait for a byte, add one, send it
    one = await make(disk=tools.boot_sector("ECHO-READY", echo))
    server = ipmi.Server({"127.0.0.1": bmc.Bmc(one, USER, PASSWORD)}, 0)
    where = ("-I", "lanplus", "-H", "127.0.0.1", "-p", str(await server.start()), "-U", USER, "-P", PASSWORD)
    await one.set_power(PowerAction.ON)
    await until(said(one, "ECHO-READY"))
    leader, follower = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        "ipmitool", *where, "sol", "activate", stdin=follower, stdout=follower, stderr=follower
    )
    os.set_blocking(leader, False)
    heard = bytearray()
    try:
        await until(lambda: b"SOL Session operational" in _read(leader, heard), what="the session")
        for _ in range(10):  # what is typed while the client still sets up its terminal is lost
            os.write(leader, b"HAL")
            with contextlib.suppress(AssertionError):
                await until(lambda: b"IBM" in _read(leader, heard), seconds=5)
                break
        assert b"IBM" in heard
        code, output = await run("ipmitool", *where, "sol", "deactivate")
        assert code == 0, output
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
        os.close(leader)
        os.close(follower)
        await server.close()


def _read(handle: int, heard: bytearray) -> bytes:
    with contextlib.suppress(BlockingIOError):
        heard += os.read(handle, 4096)
    return bytes(heard)


@pytest.mark.parametrize("persistent", [True, False])
async def test_no_override_ends_a_persistent_one(tmp_path: Path, persistent: bool) -> None:
    """As ipmitool asks for it, "chassis bootdev none": with a boot mode."""
    one = machine.Machine(qemu.Hull("x", tools.UUID), tmp_path)
    await one.set_boot(BootOverride(BootDevice.NETWORK, persistent=True))
    await one.set_boot(BootOverride(BootDevice.NONE, persistent=persistent, mode=BootMode.BIOS))
    assert machine.Machine(one.hull, tmp_path).boot == BootOverride()


def test_the_facts_of_the_hull_are_told() -> None:
    hull = qemu.Hull("x", tools.UUID, disks=(qemu.Disk(1 << 20, "S"),), nics=(qemu.Nic("52:54:00:00:00:09"),))
    argv = qemu.command(hull, qemu.Files(Path("/a,b"), Path("/s")), (BootDevice.NETWORK, BootDevice.DISK), "tcg", None)
    line = " ".join(argv)
    assert "-no-reboot" not in argv
    assert "mac=52:54:00:00:00:09,bootindex=1" in line
    assert "serial=S,bootindex=11" in line
    assert "file=/a,,b/disk0.raw" in line, "a comma in a path is escaped"
    assert hardware.BootMode.BIOS in hull.firmware


def test_an_arm_server_has_its_own_program_and_no_rom_of_x86() -> None:
    one = {"name": "a", "firmware": "uefi", "bmc": "redfish", "processor": "aarch64"}
    spec = specs.parse({"name": "r", "network": False, "machines": [one]})
    hull = specs.hull(spec, spec.machines[0], "")
    argv = qemu.command(hull, qemu.Files(Path("/a"), Path("/s")), (BootDevice.NETWORK,), "tcg", None)
    assert argv[0] == "qemu-system-aarch64"
    assert next(word for word in argv if word.startswith("virtio-net-pci")).endswith(",romfile=")
    assert machine.Machine(hull, Path("/a")).facts.processor == "aarch64"
