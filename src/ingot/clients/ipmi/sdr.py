"""Sensor data records: bytes to sensors, raw readings to numbers.

Why: what a BMC calls "48" is 4,800 RPM only by its record. May not: do I/O.
Invariant: ``parse`` gives nothing for a record that is not a sensor's and never raises for its bytes.
Source: IPMI 2.0 sections 36 and 43.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec

FULL, COMPACT = 0x01, 0x02
HEADER = 5
THRESHOLD = 0x01
NON_LINEAR, LAST_NON_LINEAR = 0x70, 0x7F
LIMIT_NAMES = ("lower non-critical", "lower critical", "lower non-recoverable",
               "upper non-critical", "upper critical", "upper non-recoverable")  # fmt: skip
_FULL_NAME, _COMPACT_NAME, _UNITS = 47, 31, 20
_BCD = "0123456789 -.:,_"

_LINES: dict[int, Callable[[float], float]] = {
    0: lambda x: x,
    1: math.log,
    2: math.log10,
    3: math.log2,
    4: math.exp,
    5: lambda x: math.pow(10, x),
    6: math.exp2,
    7: lambda x: 1 / x,
    8: lambda x: x * x,
    9: lambda x: x**3,
    10: math.sqrt,
    11: math.cbrt,
}


class Factors(msgspec.Struct, frozen=True):
    """How a raw reading becomes a number: line((m x + b 10^b_exponent) 10^exponent)."""

    m: int
    b: int
    b_exponent: int
    exponent: int


class Sensor(msgspec.Struct, frozen=True, kw_only=True):
    """One sensor of a record.

    ``owner`` and ``channel``: where its controller is on the BMC's buses. ``form``: 0 unsigned, 1 one's complement,
    2 two's complement, 3 no number. ``units``: the record's three bytes. ``factors`` is None for sensors without a
    number and for non-linear ones, whose factors depend on the reading.
    """

    number: int
    lun: int
    owner: int
    channel: int
    name: str
    kind: int
    event: int
    entity: tuple[int, int]
    units: tuple[int, int, int] = (0, 0, 0)
    form: int = 3
    linear: int = 0
    factors: Factors | None = None

    @property
    def analog(self) -> bool:
        """Whether its reading is a number with a unit."""
        return self.event == THRESHOLD and self.form != 3

    @property
    def non_linear(self) -> bool:
        """Whether the factors have to be asked for with the reading."""
        return NON_LINEAR <= self.linear <= LAST_NON_LINEAR

    def value(self, raw: int, factors: Factors | None = None) -> float | None:
        """The number that a raw reading stands for; None when the record does not say, or it has none (1/0)."""
        used = factors or self.factors
        line = _LINES.get(0 if self.non_linear else self.linear)
        if used is None or line is None:
            return None
        x = _signed(raw, self.form)
        try:
            scaled = (used.m * x + used.b * 10.0**used.b_exponent) * 10.0**used.exponent
            return line(scaled)
        except (ValueError, ArithmeticError):
            return None


def parse(record: bytes) -> list[Sensor]:
    """The sensors of a record: one of a full record, one or more of a compact one, none of any other."""
    if len(record) <= _COMPACT_NAME or record[3] not in (FULL, COMPACT):
        return []
    if record[3] == FULL:
        return [_full(record)] if len(record) > _FULL_NAME else []
    sensor = _common(record, _name(record, _COMPACT_NAME))
    count = max(1, record[23] & 0x0F)
    return [sensor] if count == 1 else [_shared(sensor, record, i) for i in range(count)]


def factors(packed: bytes) -> Factors:
    """Factors from their six bytes (also in the answer of Get Sensor Reading Factors)."""
    m = packed[0] | (packed[1] & 0xC0) << 2
    b = packed[2] | (packed[3] & 0xC0) << 2
    return Factors(_twos(m, 10), _twos(b, 10), _twos(packed[5] & 0x0F, 4), _twos(packed[5] >> 4, 4))


def _full(record: bytes) -> Sensor:
    sensor = _common(record, _name(record, _FULL_NAME))
    linear, form = record[23] & 0x7F, record[_UNITS] >> 6
    known = None if form == 3 or linear >= NON_LINEAR else factors(record[24:30])
    return msgspec.structs.replace(sensor, form=form, linear=linear, factors=known)


def _common(record: bytes, name: str) -> Sensor:
    return Sensor(
        number=record[7],
        lun=record[6] & 3,
        owner=record[5],
        channel=record[6] >> 4,
        name=name,
        kind=record[12],
        event=record[13] & 0x7F,
        entity=(record[8], record[9] & 0x7F),
        units=(record[_UNITS], record[_UNITS + 1], record[_UNITS + 2]),
    )


def _shared(first: Sensor, record: bytes, index: int) -> Sensor:
    """One of the sensors that share a compact record: number and name count up, the instance maybe."""
    modifier = (record[24] & 0x7F) + index
    suffix = _letters(modifier) if record[23] >> 4 & 3 else str(modifier)
    entity = (first.entity[0], first.entity[1] + (index if record[24] & 0x80 else 0))
    return msgspec.structs.replace(
        first, number=first.number + index & 0xFF, name=f"{first.name} {suffix}", entity=entity
    )


def _letters(number: int) -> str:
    text = chr(ord("A") + number % 26)
    return text if number < 26 else _letters(number // 26 - 1) + text


def _name(record: bytes, at: int) -> str:
    """A record's name by its type/length byte (43.15): Unicode, BCD plus, packed 6-bit ASCII or Latin 1."""
    data = record[at + 1 : at + 1 + (record[at] & 0x1F)]
    match record[at] >> 6:
        case 0:
            text = data.decode("utf-16-le", "replace")
        case 1:
            text = "".join(_BCD[byte >> 4] + _BCD[byte & 0x0F] for byte in data)
        case 2:
            bits = int.from_bytes(data, "little")
            text = "".join(chr(0x20 + (bits >> 6 * i & 0x3F)) for i in range(len(data) * 8 // 6))
        case _:
            text = data.decode("latin-1")
    return text.replace("\0", "").strip() or f"Sensor {record[7]:#04x}"


def _signed(raw: int, form: int) -> int:
    match form:
        case 1:
            return raw - 255 if raw & 0x80 else raw
        case 2:
            return _twos(raw, 8)
        case _:
            return raw


def _twos(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) & 1 else value
