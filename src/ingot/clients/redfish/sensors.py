"""Sensors of a machine: temperatures, fans, power supplies, voltages, drives, from the newer and the older resources.

Why: older services put them all into Thermal and Power; later ones into Sensors and two subsystems; many have both.
Invariant: a sensor without a reading and without a health is left out. Sources: DSP0268 Thermal, Power, Sensor,
ThermalSubsystem, PowerSubsystem; the field names of a reading are those of Ironic's redfish notifications.
"""

from __future__ import annotations

from ingot.clients.redfish import systems
from ingot.clients.redfish.client import RedfishPool
from ingot.clients.redfish.resources import Resource, items, link, links, number, part, text
from ingot.clients.redfish.target import Target

Readings = dict[str, dict[str, dict[str, object]]]
_KINDS = {
    "Temperature": "Temperature",
    "Rotational": "Fan",
    "Percent": "Fan",
    "Voltage": "Voltage",
    "Current": "Current",
    "Power": "Power",
    "EnergykWh": "Power",
}
_UNITS = {"Cel": "degrees C", "RPM": "RPM", "%": "%", "V": "Volts", "W": "Watts", "A": "Amps", "{rev}/min": "RPM"}


async def read(pool: RedfishPool, target: Target) -> Readings:
    """Kind ("Temperature", "Fan", "Voltage", "Power", "Drive") -> name -> fields of every sensor of the machine."""
    system = await systems.get(pool, target)
    found: Readings = {}
    for path in links(part(system, "Links"), "Chassis"):
        chassis = await pool.get(target, path)
        newer = await pool.collect(target, link(chassis, "Sensors"))
        for _, sensor in newer:
            _add(found, _kind(sensor), sensor, number(sensor, "Reading"), text(sensor, "ReadingUnits"))
        if not newer:
            await _older(pool, target, chassis, found)
        await _supplies(pool, target, chassis, found)
    await _drives(pool, target, system, found)
    return found


async def _older(pool: RedfishPool, target: Target, chassis: Resource, found: Readings) -> None:
    thermal, power = link(chassis, "Thermal"), link(chassis, "Power")
    resource = await pool.get(target, thermal) if thermal else {}
    for sensor in items(resource, "Temperatures"):
        _add(found, "Temperature", sensor, number(sensor, "ReadingCelsius"), "Cel")
    for sensor in items(resource, "Fans"):
        _add(found, "Fan", sensor, number(sensor, "Reading"), text(sensor, "ReadingUnits") or "RPM")
    resource = await pool.get(target, power) if power else {}
    for sensor in items(resource, "Voltages"):
        _add(found, "Voltage", sensor, number(sensor, "ReadingVolts"), "V")
    for supply in items(resource, "PowerSupplies"):
        _add(found, "Power", supply, _first(supply, "PowerInputWatts", "LastPowerOutputWatts", "PowerOutputWatts"), "W")


async def _supplies(pool: RedfishPool, target: Target, chassis: Resource, found: Readings) -> None:
    """Power supplies where the newer subsystem has them; their watts are in the sensors already."""
    subsystem = link(chassis, "PowerSubsystem")
    if subsystem and not any("PowerSupply" in name for name in found.get("Power", {})):
        for _, supply in await pool.collect(target, link(await pool.get(target, subsystem), "PowerSupplies")):
            _add(found, "Power", supply, None, None)


async def _drives(pool: RedfishPool, target: Target, system: Resource, found: Readings) -> None:
    for _, storage in await pool.survey(target, link(system, "Storage")):
        for path in links(storage, "Drives"):
            _add(found, "Drive", await pool.get(target, path), None, None)


def _kind(sensor: Resource) -> str:
    return _KINDS.get(text(sensor, "ReadingType") or "", text(sensor, "ReadingType") or "Other")


def _first(resource: Resource, *names: str) -> float | None:
    found = (number(resource, name) for name in names)
    return next((value for value in found if value is not None), None)


def _add(found: Readings, kind: str, sensor: Resource, reading: float | None, units: str | None) -> None:
    status = part(sensor, "Status")
    health, state = text(status, "Health"), text(status, "State")
    if state == "Absent" or (reading is None and health is None):
        return
    title = text(sensor, "Name") or text(sensor, "MemberId") or text(sensor, "Id") or "sensor"
    shelf = found.setdefault(kind, {})
    name = title if title not in shelf else f"{title} {len(shelf) + 1}"
    unit = _UNITS.get(units or "", units or "")
    words = health or "" if reading is None else f"{reading:g} {unit}".strip()
    shelf[name] = {
        "Sensor ID": name,
        "Sensor Reading": words,
        "identity": text(sensor, "MemberId") or text(sensor, "Id"),
        "reading": reading,
        "reading_units": units,
        "min_reading_range": _first(sensor, "MinReadingRange", "MinReadingRangeTemp", "ReadingRangeMin"),
        "max_reading_range": _first(sensor, "MaxReadingRange", "MaxReadingRangeTemp", "ReadingRangeMax"),
        "physical_context": text(sensor, "PhysicalContext"),
        "serial_number": text(sensor, "SerialNumber"),
        "state": state,
        "health": health,
    }
