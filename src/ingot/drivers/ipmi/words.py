"""Readings and events as people and collectors read them.

Why: the shape of sensors is Ironic's (made there from ``ipmitool sdr -v``), so its collectors read ours.
May not: talk to a BMC. Invariant: pure functions of their arguments.
"""

from __future__ import annotations

from ingot.clients.ipmi import sel, sensor_words, sensors
from ingot.clients.ipmi.sdr import LIMIT_NAMES, THRESHOLD

_WARNING, _CRITICAL = "Warning", "Critical"
_ORDER = (5, 4, 3, 2, 1, 0)
"""Limits from the outermost upper one to the outermost lower one, as ipmitool lists them."""


def sensor(reading: sensors.Reading) -> dict[str, str]:
    """One sensor: "Sensor ID", "Entity ID", "Sensor Reading", "Status" and the limits, or "States Asserted"."""
    one = reading.sensor
    kind = f"{sensor_words.kind(one.kind)} ({one.kind:#04x})"
    shown = {
        "Sensor ID": f"{one.name} ({one.number:#x})",
        "Entity ID": f"{one.entity[0]}.{one.entity[1]} ({sensor_words.entity(one.entity[0])})",
    }
    if reading.value is None:
        states = [sensor_words.state(one.event, one.kind, bit) for bit in range(15) if reading.states >> bit & 1]
        shown["Sensor Type (Discrete)"] = kind
        shown["Sensor Reading"] = f"{reading.states:#x}"
        shown["States Asserted"] = ", ".join(states) or "none"
        return shown
    shown["Sensor Type (Threshold)"] = kind
    shown["Sensor Reading"] = f"{number(reading.value)} {sensor_words.unit(*one.units)}".rstrip()
    crossed = [LIMIT_NAMES[bit] for bit in _outermost(reading.crossed)]
    shown["Status"] = crossed[0] if crossed else "ok"
    for index in _ORDER:
        if index in reading.limits:
            shown[LIMIT_NAMES[index].capitalize()] = f"{reading.limits[index]:.3f}"
    return shown


def number(value: float) -> str:
    """A reading: whole numbers as such, others with three decimals."""
    return str(int(value)) if value == int(value) else f"{value:.3f}"


def event(entry: sel.Entry, names: dict[int, str]) -> tuple[str | None, str | None, str]:
    """(severity, source, message) of a log entry; ``names`` by sensor number."""
    if entry.record >= sel.FIRST_OEM:
        return None, None, f"OEM record {entry.record:#04x}: {entry.data.hex(' ')}"
    kind = sensor_words.kind(entry.kind)
    name = names.get(entry.sensor, f"sensor {entry.sensor:#04x}")
    what = sensor_words.state(entry.event, entry.kind, entry.offset)
    if entry.event == THRESHOLD:
        going_bad = (entry.offset % 2 == 0) == (entry.offset < 6)  # low ones going down, high ones going up
        grave = entry.offset % 6 >= 2
        bad = entry.asserted and going_bad
        severity = (_CRITICAL if grave else _WARNING) if bad else "OK"
        return severity, f"{kind} {name}", what if entry.asserted else f"no longer {what}"
    return None, f"{kind} {name}", what if entry.asserted else f"no longer: {what}"


def _outermost(crossed: int) -> list[int]:
    """Which limits are crossed, the gravest first."""
    return [bit for bit in (5, 2, 4, 1, 3, 0) if crossed >> bit & 1]
