"""The sensors every simulated BMC has, and their sensor data records.

Why: clients must meet each kind there is: full, compact, shared and event-only records, all three number formats,
several linearisations, sensors without a reading. May not: know sessions or sockets.
Invariant: a record's bytes follow from its `Sensor` alone. Layouts: IPMI 2.0 section 43; units: table 43-15.
"""

from __future__ import annotations

import dataclasses
import enum
import struct

OWNER = 0x20
FULL, COMPACT, EVENT_ONLY, CONTROLLER = 0x01, 0x02, 0x03, 0x12
THRESHOLD, DIGITAL, SPECIFIC = 0x01, 0x03, 0x6F
INVERSE, SQUARE, NON_LINEAR = 0x07, 0x08, 0x70
_LATIN = 0xC0


class Format(enum.IntEnum):
    """How a raw reading is a number."""

    UNSIGNED = 0
    ONES = 1
    TWOS = 2
    NONE = 3


@dataclasses.dataclass(frozen=True, slots=True)
class Sensor:
    """One sensor. `on` and `off` are its raw readings with and without main power; None means unavailable.

    `limits` are raw: lower non-critical, critical, non-recoverable, then the upper three; None where there is none.
    `factors` are M, B, the exponent of B and that of the result. `share` > 1 stands for that many alike.
    """

    number: int
    name: str
    kind: int
    on: int | None
    off: int | None
    record: int = FULL
    entity: tuple[int, int] = (7, 1)
    event: int = THRESHOLD
    units: tuple[int, int, int] = (0, 0, 0)
    format: Format = Format.UNSIGNED
    linear: int = 0
    factors: tuple[int, int, int, int] = (1, 0, 0, 0)
    limits: tuple[int | None, ...] = (None,) * 6
    share: int = 1
    absent: bool = False

    def value(self, raw: int) -> int:
        """The number a raw reading stands for, before any factor."""
        match self.format:
            case Format.ONES:
                return raw - 255 if raw & 0x80 else raw
            case Format.TWOS:
                return raw - 256 if raw & 0x80 else raw
            case _:
                return raw

    def status(self, raw: int) -> int:
        """The threshold comparison byte of Get Sensor Reading."""
        lower, upper = self.limits[:3], self.limits[3:]
        low = sum(1 << i for i, at in enumerate(lower) if at is not None and self.value(raw) <= self.value(at))
        high = sum(8 << i for i, at in enumerate(upper) if at is not None and self.value(raw) >= self.value(at))
        return low | high

    def readable(self) -> int:
        """Which thresholds can be read, one bit each."""
        return sum(1 << i for i, at in enumerate(self.limits) if at is not None)


_TEMPERATURE, _VOLTAGE, _FAN, _OTHER = 0x01, 0x02, 0x04, 0x0B
_DEGREES, _VOLTS, _WATTS, _CFM, _RPM, _LITERS = 1, 4, 6, 17, 18, 37
_PER_MINUTE = 4 << 3
_PERCENT = 1

SENSORS = (
    Sensor(1, "CPU Temp", _TEMPERATURE, 42, None, entity=(3, 1), units=(0, _DEGREES, 0),
           limits=(None, None, None, 85, 90, 95)),
    Sensor(2, "Inlet Temp", _TEMPERATURE, 251, 250, entity=(0x37, 1), units=(0, _DEGREES, 0), format=Format.TWOS,
           limits=(254, 246, None, 38, 42, None)),
    Sensor(3, "Exhaust Temp", _TEMPERATURE, 61, 40, entity=(0x37, 2), units=(0, _DEGREES, 0), format=Format.ONES,
           factors=(5, 0, 0, -1)),
    Sensor(4, "Fan 1", _FAN, 48, 0, entity=(0x1D, 1), units=(0, _RPM, 0), factors=(100, 0, 0, 0),
           limits=(None, 6, 3, None, None, None)),
    Sensor(5, "Fan 2", _FAN, 200, None, entity=(0x1D, 2), units=(0, _RPM, 0), linear=INVERSE, factors=(1, 0, 0, -6)),
    Sensor(6, "12V", _VOLTAGE, 201, 0, units=(0, _VOLTS, 0), factors=(6, 0, 0, -2),
           limits=(185, 180, 175, 217, 222, 228)),
    Sensor(7, "VBAT", _VOLTAGE, 80, 80, units=(0, _VOLTS, 0), factors=(2, 15, 1, -2)),
    Sensor(8, "Offset", _VOLTAGE, 10, 10, units=(0, _VOLTS, 0), factors=(-3, -512, 0, -3)),
    Sensor(9, "PSU1 Power", _OTHER, 60, 3, entity=(10, 1), units=(0, _WATTS, 0), factors=(4, 0, 0, 0)),
    Sensor(10, "Air Flow", _OTHER, 18, 0, units=(0, _CFM, 0), linear=SQUARE, factors=(5, 0, 0, -1)),
    Sensor(11, "Humidity", _OTHER, 45, 45, units=(_PERCENT, 0, 0)),
    Sensor(12, "Coolant Flow", _OTHER, 12, 0, units=(_PER_MINUTE, _LITERS, 0)),
    Sensor(13, "VRM Temp", _TEMPERATURE, 33, None, entity=(3, 2), units=(0, _DEGREES, 0), linear=NON_LINEAR),
    Sensor(14, "PS1 Status", 0x08, 0x01, 0x01, COMPACT, (10, 1), SPECIFIC),
    Sensor(15, "Intrusion", 0x05, 0x00, 0x00, COMPACT, (0x17, 1), SPECIFIC),
    Sensor(16, "PROCHOT", 0x07, 0x01, 0x01, COMPACT, (3, 1), DIGITAL),
    Sensor(17, "Drive", 0x0D, 0x01, 0x01, COMPACT, (4, 1), SPECIFIC, share=3),
    Sensor(20, "DIMM Temp", _TEMPERATURE, None, None, entity=(8, 1), units=(0, _DEGREES, 0)),
    Sensor(21, "PCIe Temp", _TEMPERATURE, 1, 1, entity=(11, 1), units=(0, _DEGREES, 0), absent=True),
    Sensor(22, "Event Log", 0x10, None, None, EVENT_ONLY, (6, 1), SPECIFIC),
)  # fmt: skip
BY_NUMBER = {one.number + i: one for one in SENSORS for i in range(one.share)}
NON_LINEAR_FACTORS = (2, -10, 0, 0)
"""What the non-linear sensor's factors are at any reading: degrees = 2 x - 10."""


def _two_and_eight(value: int, rest: int = 0) -> bytes:
    """A ten-bit number as M and B are packed: the low byte, then two bits on top of `rest`."""
    return bytes([value & 0xFF, value >> 8 << 6 & 0xC0 | rest & 0x3F])


def packed_factors(factors: tuple[int, int, int, int]) -> bytes:
    """M, tolerance, B, accuracy and both exponents in six bytes."""
    m, b, b_exponent, exponent = factors
    return _two_and_eight(m) + _two_and_eight(b) + bytes([0, (exponent & 0x0F) << 4 | b_exponent & 0x0F])


def _name(text: str) -> bytes:
    return bytes([_LATIN | len(text)]) + text.encode("latin-1")


def _masks(one: Sensor) -> bytes:
    if one.event != THRESHOLD:
        return struct.pack("<HHH", 0x7FFF, 0x7FFF, 0x7FFF)
    return struct.pack("<HHH", 0, 0, one.readable())


def _body(one: Sensor) -> bytes:
    """A record from its sixth byte on (the key), by its type."""
    key = bytes([OWNER, 0, one.number, *one.entity])
    if one.record == EVENT_ONLY:
        return key + bytes([one.kind, one.event, one.share, 0, 0, 0]) + _name(one.name)
    capabilities = 0x04 if one.event == THRESHOLD else 0x00
    units = bytes([one.format << 6 | one.units[0], *one.units[1:]])
    head = key + bytes([0x7F, 0x40 | capabilities, one.kind, one.event]) + _masks(one) + units
    if one.record == COMPACT:
        sharing = bytes([one.share, 0x80 | 1])  # numeric suffix from 1 on; instances count up
        return head + sharing + bytes(6) + _name(one.name)
    upper, lower = one.limits[5:2:-1], one.limits[2::-1]
    limits = bytes(at or 0 for at in (*upper, *lower))
    return head + bytes([one.linear]) + packed_factors(one.factors) + bytes(6) + limits + bytes(5) + _name(one.name)


def _record(number: int, kind: int, body: bytes) -> bytes:
    return struct.pack("<HBBB", number, 0x51, kind, len(body)) + body


def records(name: str) -> tuple[bytes, ...]:
    """All records, with ids from 1 on: the controller called `name`, then the sensors."""
    text = f"BMC {name}"[:16]
    controller = bytes([OWNER, 0, 0, 0x8E, 0, 0, 0, 0x07, 0x01, 0x00]) + _name(text)
    first = _record(1, CONTROLLER, controller)
    return (first, *(_record(i, one.record, _body(one)) for i, one in enumerate(SENSORS, 2)))
