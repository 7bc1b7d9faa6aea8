"""Commands about sensors: the SDR repository, readings, thresholds.

Why: what `ipmitool sensor` and every collector read. May not: act on the machine.
Invariant: a part of a record is only given under a valid reservation, as real BMCs do (IPMI 2.0 sections 33, 35).
"""

from __future__ import annotations

import struct

from ingot_rack.hardware import PowerState
from ingot_rack.ipmi import commands, sdr
from ingot_rack.ipmi.commands import Call, Refusal

LARGEST_READ = 40
RESERVATION_LOST, TOO_MANY_BYTES, WRONG_RECORD = 0xC5, 0xCA, 0xCD
_UNAVAILABLE, _SCANNING = 0x20, 0xC0


def _records(call: Call) -> tuple[bytes, ...]:
    return sdr.records(call.device.bmc.hardware.facts.name)


async def sdr_info(call: Call) -> bytes:
    """Get SDR Repository Info: how many records; they can be reserved."""
    return struct.pack("<BHHIIB", 0x51, len(_records(call)), 0x4000, 0, 0, 0x02)


async def sdr_reserve(call: Call) -> bytes:
    """Reserve SDR Repository: a new number, which ends the one before."""
    call.device.sdr_reservation = call.device.sdr_reservation % 0xFFFF + 1
    return struct.pack("<H", call.device.sdr_reservation)


async def sdr_get(call: Call) -> bytes:
    """Get SDR: the next record's number and the wanted bytes of this one."""
    call.byte(5)
    reservation, number, offset, count = struct.unpack_from("<HHBB", call.data)
    if call.device.bmc.faults.take("sdr_changes_next"):
        call.device.sdr_reservation += 1
    if offset and reservation != call.device.sdr_reservation:
        raise Refusal(RESERVATION_LOST)
    records = _records(call)
    index = {0: 1, 0xFFFF: len(records)}.get(number, number) - 1
    if index >= len(records):
        raise Refusal(commands.NOT_PRESENT)
    data = records[index][offset:]
    if not data:
        raise Refusal(commands.OUT_OF_RANGE)
    if min(count, len(data)) > LARGEST_READ:
        raise Refusal(TOO_MANY_BYTES)
    following = index + 2 if index + 1 < len(records) else 0xFFFF
    return struct.pack("<H", following) + data[:count]


def _sensor(call: Call) -> sdr.Sensor:
    found = sdr.BY_NUMBER.get(call.byte(0))
    if found is None or found.record == sdr.EVENT_ONLY or found.absent:
        raise Refusal(commands.NOT_PRESENT)
    if found.name == call.device.bmc.faults.reading_refused:
        raise Refusal(commands.NO_ANSWER)
    return found


async def reading(call: Call) -> bytes:
    """Get Sensor Reading: what a test said, else what the sensor says with or without main power."""
    one = _sensor(call)
    bmc = call.device.bmc
    usual = one.on if bmc.says_power() is PowerState.ON else one.off
    raw = bmc.readings.get(one.name, usual)
    if raw is None:
        return bytes([0, _SCANNING | _UNAVAILABLE, 0, 0])
    if one.event == sdr.THRESHOLD:
        return bytes([raw, _SCANNING, 0xC0 | one.status(raw)])
    return bytes([0, _SCANNING, raw & 0xFF, 0x80 | raw >> 8])


async def thresholds(call: Call) -> bytes:
    """Get Sensor Thresholds."""
    one = _sensor(call)
    if one.event != sdr.THRESHOLD:
        raise Refusal(WRONG_RECORD)
    return bytes([one.readable(), *(at or 0 for at in one.limits)])


async def hysteresis(call: Call) -> bytes:
    """Get Sensor Hysteresis: none."""
    _sensor(call)
    return b"\0\0"


async def factors(call: Call) -> bytes:
    """Get Sensor Reading Factors: the same at every reading; what it says next is the reading itself."""
    one = _sensor(call)
    if one.linear < sdr.NON_LINEAR:
        raise Refusal(WRONG_RECORD)
    return bytes([call.byte(1)]) + sdr.packed_factors(sdr.NON_LINEAR_FACTORS)


async def events_enabled(call: Call) -> bytes:
    """Get Sensor Event Enable: scanning, and every event of the sensor."""
    _sensor(call)
    return bytes([_SCANNING, 0xFF, 0x7F, 0xFF, 0x7F])


async def event_status(call: Call) -> bytes:
    """Get Sensor Event Status: nothing is latched."""
    _sensor(call)
    return bytes([_SCANNING, 0, 0, 0, 0])
