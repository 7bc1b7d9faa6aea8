"""Sensors, event log, lamp and controllers behind a BMC: against the rack's BMC and OpenIPMI's.

What the rack's sensors say is known from ipmitool and FreeIPMI (tests/rack/test_ipmi_inventory.py); OpenIPMI's records
come from its own compiler.
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator

import pytest

from clients.conftest import OpenIpmi
from ingot.clients.ipmi import chassis, sdr, sel, sensor_words, sensors
from ingot.clients.ipmi.client import IpmiPool
from ingot.clients.ipmi.target import Bridge, Target
from ingot.domain import errors
from ingot_rack import bmc as bmcs
from ingot_rack import fleet as fleets
from ingot_rack import simulated
from ingot_rack.ipmi import sdr as rack_sdr

PASSWORD = "rack-password"
VALUES = {
    "CPU Temp": 42, "Inlet Temp": -5, "Exhaust Temp": 30.5, "Fan 1": 4800, "Fan 2": 5000, "12V": 12.06, "VBAT": 3.1,
    "Offset": -0.542, "PSU1 Power": 240, "Air Flow": 81, "Humidity": 45, "Coolant Flow": 12, "VRM Temp": 56,
}  # fmt: skip


@pytest.fixture
async def fleet() -> AsyncIterator[fleets.Fleet]:
    one = fleets.Fleet(fleets.Plan(ipmi=1, first="127.34.0.1", password=PASSWORD))
    await one.start()
    yield one
    await one.close()


@pytest.fixture
async def pool() -> AsyncIterator[IpmiPool]:
    pool = IpmiPool()
    yield pool
    await pool.close()


@pytest.fixture
def bmc(fleet: fleets.Fleet) -> bmcs.Bmc:
    return fleet.bmcs["sim-00000"]


@pytest.fixture
def target(fleet: fleets.Fleet) -> Target:
    return Target("127.34.0.1", fleet.ports["ipmi"], "admin", PASSWORD)


async def test_every_kind_of_sensor(pool: IpmiPool, bmc: bmcs.Bmc, target: Target) -> None:
    await chassis.control(pool, target, chassis.Control.ON)
    bmc.readings["12V"] = 218
    found = {one.sensor.name: one for one in await sensors.read(pool, target)}
    assert found["12V"].value == pytest.approx(13.08)
    assert found["12V"].crossed == 0b001000
    assert found["12V"].limits == pytest.approx({0: 11.1, 1: 10.8, 2: 10.5, 3: 13.02, 4: 13.32, 5: 13.68})
    bmc.readings.clear()
    found = {one.sensor.name: one for one in await sensors.read(pool, target)}
    numbers = {name: one.value for name, one in found.items() if one.value is not None}
    assert numbers == pytest.approx(VALUES)
    assert found["Inlet Temp"].crossed == 0b000001
    discrete = {name: one.states for name, one in found.items() if one.value is None}
    drives = {f"Drive {i}": 1 for i in (1, 2, 3)}
    assert discrete == {"PS1 Status": 1, "Intrusion": 0, "PROCHOT": 1, **drives}
    units = {one.sensor.name: sensor_words.unit(*one.sensor.units) for one in found.values()}
    assert (units["Coolant Flow"], units["Humidity"], units["12V"]) == ("liters per minute", "percent", "Volts")


async def test_a_sensor_that_refuses_hides_no_other(pool: IpmiPool, bmc: bmcs.Bmc, target: Target) -> None:
    before = {one.sensor.name for one in await sensors.read(pool, target)}
    bmc.faults.change({"reading_refused": "12V"})
    assert before - {one.sensor.name for one in await sensors.read(pool, target)} == {"12V"}


async def test_records_are_read_once(pool: IpmiPool, fleet: fleets.Fleet, target: Target) -> None:
    """The second time costs a question for the repository and one or two per sensor."""
    first = await sensors.read(pool, target)
    before = fleet.messages()["ipmi"]
    assert await sensors.read(pool, target) == first
    numeric = sum(1 for one in first if one.value is not None)
    asked = sum(one.share for one in rack_sdr.SENSORS if one.record != rack_sdr.EVENT_ONLY)
    assert fleet.messages()["ipmi"] - before == 1 + asked + numeric


async def test_a_repository_that_changes_meanwhile(pool: IpmiPool, bmc: bmcs.Bmc, target: Target) -> None:
    bmc.faults.sdr_changes_next = 5
    assert len(await sensors.walk(pool, target)) == sum(
        one.share for one in rack_sdr.SENSORS if one.record != rack_sdr.EVENT_ONLY
    )
    bmc.faults.sdr_changes_next = 10_000
    with pytest.raises(errors.Misbehaved, match="reservation"):
        await sensors.walk(pool, target)


async def test_openipmi_sensors(pool: IpmiPool, openipmi: OpenIpmi) -> None:
    """One of the BMC, one of a controller behind it, which the record names."""
    target = Target("127.0.0.1", openipmi.port, "root", "calvin")
    found = {one.sensor.name: one for one in await sensors.read(pool, target)}
    assert {name: one.value for name, one in found.items()} == {"Board": 42, "Blade": -2.5}
    assert found["Board"].limits == {3: 40, 4: 50, 5: 60}


async def test_openipmi_event_log(pool: IpmiPool, openipmi: OpenIpmi) -> None:
    target = Target("127.0.0.1", openipmi.port, "root", "calvin")
    await sel.clear(pool, target)
    assert await sel.read(pool, target) == []
    record = bytes.fromhex("0000 02 00000000 2000 04 01 01 01 59 2a 32".replace(" ", ""))
    await pool.command(target, 0x0A, 0x44, record)
    (entry,) = await sel.read(pool, target)
    assert (entry.kind, entry.sensor, entry.event, entry.offset, entry.asserted) == (1, 1, 1, 9, True)
    await sel.clear(pool, target)
    assert await sel.read(pool, target) == []


async def test_event_log(pool: IpmiPool, target: Target) -> None:
    assert await sel.read(pool, target) == []
    for action in (chassis.Control.ON, chassis.Control.OFF):
        await chassis.control(pool, target, action)
    came = await sel.read(pool, target)
    assert [(one.number, one.kind, one.offset, one.asserted) for one in came] == [(1, 9, 0, False), (2, 9, 0, True)]
    assert all(one.at is not None for one in came)
    await sel.clear(pool, target)
    assert await sel.read(pool, target) == []


async def test_lamp(pool: IpmiPool, target: Target) -> None:
    for on in (True, False):
        await chassis.identify(pool, target, on=on)
        assert await chassis.lamp(pool, target) is on


@pytest.mark.parametrize("transit", [None, (0, 0x72)])
async def test_a_controller_behind_the_bmc(
    pool: IpmiPool, bmc: bmcs.Bmc, target: Target, transit: tuple[int, int] | None
) -> None:
    def behind(name: str) -> bmcs.Bmc:
        facts = dataclasses.replace(bmc.hardware.facts, name=name)
        return bmcs.Bmc(simulated.Simulated(facts), "nobody", "not used")

    chain = [behind("one"), behind("two")]
    bmc.satellites[0, 0x72], chain[0].satellites[7, 0x82] = chain
    way = Bridge(7, 0x82, transit) if transit else Bridge(0, 0x72)
    far = Target(target.address, target.port, target.username, target.password, bridge=way)
    await chassis.control(pool, far, chassis.Control.ON)
    assert [one.hardware.power for one in (bmc, *chain)] == ["off", "off", "on"] if transit else ["off", "on", "off"]
    assert await chassis.power_state(pool, far) is True
    assert await chassis.power_state(pool, target) is False
    assert pool.kept_sessions == 1, "the BMC's session serves for what is behind it"


async def test_nobody_behind_the_bmc(pool: IpmiPool, target: Target) -> None:
    far = Target(target.address, target.port, target.username, target.password, bridge=Bridge(0, 0x99))
    with pytest.raises(errors.Unreachable) as caught:
        await chassis.power_state(pool, far)
    assert caught.value.sentence() == (
        f"BMC 127.34.0.1:{target.port} (behind it 0x99) cannot be reached: the one in front of it says 83, nobody "
        "answers at that bus address. Check ipmi_target_channel, ipmi_target_address and the transit ones."
    )


async def test_openipmi_controller_behind_the_bmc(pool: IpmiPool, openipmi: OpenIpmi) -> None:
    far = Target("127.0.0.1", openipmi.port, "root", "calvin", bridge=Bridge(0, 0x30))
    answer = await pool.command(far, 0x06, 0x01)
    assert answer[9:11] == bytes((0x03, 0x0F)), "the product id given to the controller at 0x30"
    assert await pool.command(far, 0x04, 0x2D, b"\x01")


def test_names_in_every_coding() -> None:
    """Worked out by hand from IPMI 2.0 section 43.15: 6-bit packed "FAN_1", BCD plus "12:3", Unicode, and none."""

    def named(coding: bytes) -> str:
        record = bytes((1, 0, 0x51, 2, 27 + len(coding), 0x20, 0, 9)) + bytes(23) + coding + b"\0"
        return sdr.parse(record)[0].name

    assert named(bytes.fromhex("84 66e8fe 11".replace(" ", ""))) == "FAN_1"
    assert named(bytes.fromhex("42 12d3".replace(" ", ""))) == "12:3"
    assert named(bytes.fromhex("04 46006e00".replace(" ", ""))) == "Fn"
    assert named(b"\xc0") == "Sensor 0x09"
