"""Sensors, event log, lamp, Kg key, privilege limits and bridging of the IPMI BMC, as programs of others see them."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

import programs
from ingot_rack import bmc, hardware, simulated
from ingot_rack.hardware import PowerAction
from rack.tools import PASSWORD, USER, Tool, run

pytestmark = pytest.mark.peer

READINGS = {  # what the records say of the raw readings, worked out by hand from IPMI 2.0 section 36.3
    "CPU Temp": ("42.000", "degrees C", "ok"),
    "Inlet Temp": ("-5.000", "degrees C", "nc"),
    "Exhaust Temp": ("30.500", "degrees C", "ok"),
    "Fan 1": ("4800.000", "RPM", "ok"),
    "Fan 2": ("5000.000", "RPM", "ok"),
    "12V": ("12.060", "Volts", "ok"),
    "VBAT": ("3.100", "Volts", "ok"),
    "Offset": ("-0.542", "Volts", "ok"),
    "PSU1 Power": ("240.000", "Watts", "ok"),
    "Air Flow": ("81.000", "CFM", "ok"),
    "Humidity": ("45.000", "percent", "ok"),
    "VRM Temp": ("56.000", "degrees C", "ok"),
    "PS1 Status": ("0x1", "discrete", "0x0180"),
    "DIMM Temp": ("na", "degrees C", "na"),
}


async def switched_on(front: bmc.Bmc) -> None:
    await front.hardware.set_power(PowerAction.ON)


async def test_ipmitool_reads_every_kind_of_sensor(ipmitool: Tool, front: bmc.Bmc) -> None:
    await switched_on(front)
    code, output = await ipmitool("sensor")
    assert code == 0, output
    rows = [[cell.strip() for cell in line.split("|")] for line in output.splitlines()]
    seen = {row[0]: row[1:] for row in rows}
    for name, (value, unit, state) in READINGS.items():
        assert seen[name][:3] == [value, unit, state], name
    assert seen["12V"][3:9] == ["10.500", "10.800", "11.100", "13.020", "13.320", "13.680"]
    front.readings["CPU Temp"] = 91
    assert "upper critical" in (await ipmitool("sensor", "get", "CPU Temp"))[1].lower()


async def test_freeipmi_agrees_and_knows_shared_records(ipmi_port: int, front: bmc.Bmc) -> None:
    await switched_on(front)
    where = ("-D", "LAN_2_0", "-h", f"127.0.0.1:{ipmi_port}", "-u", USER, "-p", PASSWORD)
    code, output = await run(
        "ipmi-sensors", *where, "--sdr-cache-recreate", "--quiet-cache", "--shared-sensors", "--comma-separated-output"
    )
    assert code == 0, output
    rows = {cells[1]: cells for cells in (line.split(",") for line in output.splitlines())}
    assert rows["Fan 2"][3:5] == ["5000.00", "RPM"]
    assert rows["Exhaust Temp"][3:5] == ["30.50", "C"]
    assert {"Drive 1", "Drive 2", "Drive 3"} <= set(rows)
    assert rows["Drive 2"][5] == "'Drive Presence'"


_PYGHMI = """
import sys
from pyghmi.ipmi import command
bmc = command.Command(bmc="127.0.0.1", port=int(sys.argv[1]), userid=sys.argv[2], password=sys.argv[3], privlevel=4)
seen = {one.name: one for one in bmc.get_sensor_data()}
assert round(seen["VBAT"].value, 3) == 3.1, seen["VBAT"].value
assert seen["Inlet Temp"].value == -5, seen["Inlet Temp"].value
print("pyghmi is content")
"""


async def test_pyghmi_agrees(ipmi_port: int, front: bmc.Bmc) -> None:
    await switched_on(front)
    front.readings["VRM Temp"] = None  # pyghmi 1.6.19 fails at a non-linear sensor that has a reading
    code, output = await run(programs.peer(), "-W", "ignore", "-c", _PYGHMI, str(ipmi_port), USER, PASSWORD)
    assert (code, output) == (0, "pyghmi is content\n")


async def test_event_log(ipmitool: Tool, ipmi_port: int) -> None:
    assert (await ipmitool("sel", "list"))[1] == "SEL has no entries\n"
    await ipmitool("power", "on")
    await ipmitool("power", "off")
    _, output = await ipmitool("sel", "list")
    assert [line.split("|", 1)[0].strip() for line in output.splitlines()] == ["1", "2"]
    assert "Power off/down | Deasserted" in output.splitlines()[0]
    assert "Power off/down | Asserted" in output.splitlines()[1]
    where = ("-D", "LAN_2_0", "-h", f"127.0.0.1:{ipmi_port}", "-u", USER, "-p", PASSWORD)
    code, output = await run("ipmi-sel", *where, "--sdr-cache-recreate", "--quiet-cache")
    assert (code, "Power Off/Power Down" in output) == (0, True), output
    await ipmitool("sel", "clear")
    assert (await ipmitool("sel", "list"))[1] == "SEL has no entries\n"


async def test_identify_lamp(ipmitool: Tool, ipmi_port: int) -> None:
    where = ("-D", "LAN_2_0", "-h", f"127.0.0.1:{ipmi_port}", "-u", USER, "-p", PASSWORD)

    async def state() -> str:
        _, output = await run("ipmi-chassis", *where, "--get-chassis-status")
        return next(line.split(":")[1].strip().lower() for line in output.splitlines() if "identify" in line.lower())

    assert await state() == "off"
    await ipmitool("chassis", "identify", "force")
    assert await state() == "indefinite on"
    await ipmitool("chassis", "identify", "0")
    assert await state() == "off"
    await ipmitool("chassis", "identify", "5")
    assert await state() == "timed on"
    async with asyncio.timeout(20):
        while await state() != "off":
            await asyncio.sleep(0.1)


async def test_kg_key(ipmitool: Tool, front: bmc.Bmc) -> None:
    front.kg = bytes(range(1, 21))
    assert (await ipmitool("-y", front.kg.hex(), "power", "status"))[0] == 0
    for wrong in ((), ("-y", "ff" * 20)):
        _, output = await ipmitool(*wrong, "power", "status")
        assert "Unable to establish" in output
        assert "Chassis" not in output


async def test_privilege_limit_of_the_user(ipmitool: Tool, front: bmc.Bmc) -> None:
    front.privilege = 3
    code, output = await ipmitool("-v", "power", "status")
    assert (code, "unauthorized role" in output.lower()) == (1, True), output
    assert (await ipmitool("-L", "OPERATOR", "power", "on"))[0] == 0
    code, output = await ipmitool("-L", "OPERATOR", "raw", "0x06", "0x02")
    assert (code, "rsp=0xd4" in output) == (1, True), output


def blade(facts: hardware.Facts, name: str) -> bmc.Bmc:
    return bmc.Bmc(simulated.Simulated(dataclasses.replace(facts, name=name)), USER, PASSWORD)


async def test_bridging(ipmitool: Tool, front: bmc.Bmc, facts: hardware.Facts) -> None:
    """One controller behind the BMC, and one behind that."""
    one, two = blade(facts, "one"), blade(facts, "two")
    front.satellites[0, 0x72] = one
    one.satellites[7, 0x82] = two
    await switched_on(two)
    assert (await ipmitool("-b", "0", "-t", "0x72", "power", "on")) == (0, "Chassis Power Control: Up/On\n")
    assert [each.hardware.power for each in (front, one)] == ["off", "on"]
    assert (await ipmitool("-B", "0", "-T", "0x72", "-b", "7", "-t", "0x82", "power", "off"))[0] == 0
    assert [each.hardware.power for each in (front, one, two)] == ["off", "on", "off"]
    _, output = await ipmitool("-b", "0", "-t", "0x72", "sdr", "list", "mcloc")
    assert "BMC one" in output
    code, output = await ipmitool("-b", "0", "-t", "0x99", "power", "status")
    assert (code, "0x83" in output) == (1, True), output


async def test_boot_device_that_is_forgotten_or_ignored(ipmitool: Tool, front: bmc.Bmc) -> None:
    front.faults.boot_forgotten = True
    await ipmitool("chassis", "bootdev", "pxe")
    assert "No override" in (await ipmitool("chassis", "bootparam", "get", "5"))[1]
    front.faults.change({"boot_forgotten": False, "boot_ignored": True})
    await ipmitool("chassis", "bootdev", "pxe")
    assert "Force PXE" in (await ipmitool("chassis", "bootparam", "get", "5"))[1]
    assert front.hardware.boot.device == "none"
