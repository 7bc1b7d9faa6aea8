"""Sensors: as Thermal and Power in older shapes, as Sensors and two subsystems in newer ones.

Invariant: one table of readings; a machine that is off is cooler, its fans stand still.
"""

from __future__ import annotations

import dataclasses

from ingot_rack.hardware import PowerState
from ingot_rack.redfish.tree import CHASSIS, OK, Front, collection, link, missing, resource
from ingot_rack.redfish.views import Views, shown
from ingot_rack.redfish.wire import Json

_SENSORS = f"{CHASSIS}/Sensors"


@dataclasses.dataclass(frozen=True)
class Sensor:
    """One sensor: its reading with and without main power."""

    name: str
    kind: str
    units: str
    on: float
    off: float
    context: str


TABLE = (
    Sensor("CPU1Temp", "Temperature", "Cel", 48, 24, "CPU"),
    Sensor("InletTemp", "Temperature", "Cel", 23, 22, "Intake"),
    Sensor("Fan1", "Rotational", "RPM", 5400, 0, "Fan"),
    Sensor("Fan2", "Rotational", "RPM", 5600, 0, "Fan"),
    Sensor("CPU1VCore", "Voltage", "V", 1.8, 0, "VoltageRegulator"),
    Sensor("PowerSupply1Input", "Power", "W", 210, 9, "PowerSupply"),
)


def reading(front: Front, sensor: Sensor) -> float:
    """What a sensor says now."""
    return sensor.on if front.bmc.hardware.power is PowerState.ON else sensor.off


def links(front: Front) -> Json:
    """What a chassis links to."""
    if front.shape.newer_sensors:
        return {"Sensors": link(_SENSORS), "PowerSubsystem": link(f"{CHASSIS}/PowerSubsystem")}
    return {name: link(f"{CHASSIS}/{name}") for name in ("Thermal", "Power")}


def _older(front: Front, path: str) -> Front:
    if front.shape.newer_sensors:
        raise missing(path)
    return front


def _newer(front: Front, path: str) -> Front:
    if not front.shape.newer_sensors:
        raise missing(path)
    return front


def _members(front: Front, place: str, kind: str, key: str) -> list[Json]:
    found = [sensor for sensor in TABLE if sensor.kind == kind]
    return [
        {
            "@odata.id": f"{CHASSIS}/{place}/{number}",
            "MemberId": str(number),
            "Name": sensor.name,
            key: reading(front, sensor),
            "PhysicalContext": sensor.context,
            "Status": OK,
            **({"ReadingUnits": sensor.units} if key == "Reading" else {}),
        }
        for number, sensor in enumerate(found)
    ]


def thermal(front: Front) -> Json:
    """Temperatures and fans."""
    path = f"{CHASSIS}/Thermal"
    return resource(
        path,
        "Thermal.v1_6_0.Thermal",
        "Thermal",
        Temperatures=_members(_older(front, path), "Thermal#/Temperatures", "Temperature", "ReadingCelsius"),
        Fans=_members(front, "Thermal#/Fans", "Rotational", "Reading"),
    )


def power(front: Front) -> Json:
    """Voltages and power supplies."""
    path = f"{CHASSIS}/Power"
    return resource(
        path,
        "Power.v1_6_0.Power",
        "Power",
        Voltages=_members(_older(front, path), "Power#/Voltages", "Voltage", "ReadingVolts"),
        PowerSupplies=_members(front, "Power#/PowerSupplies", "Power", "PowerInputWatts"),
    )


def sensor_list(front: Front) -> Json:
    """All sensors."""
    _newer(front, _SENSORS)
    return collection(_SENSORS, "Sensor", [f"{_SENSORS}/{sensor.name}" for sensor in TABLE])


def one(front: Front, sensor: Sensor) -> Json:
    """One sensor."""
    path = f"{_SENSORS}/{sensor.name}"
    _newer(front, path)
    return resource(
        path,
        "Sensor.v1_2_0.Sensor",
        sensor.name,
        ReadingType=sensor.kind,
        Reading=reading(front, sensor),
        ReadingUnits=sensor.units,
        PhysicalContext=sensor.context,
        Status=OK,
    )


def subsystem(front: Front) -> Json:
    """The power supplies' place."""
    path = f"{CHASSIS}/PowerSubsystem"
    _newer(front, path)
    return resource(
        path,
        "PowerSubsystem.v1_1_0.PowerSubsystem",
        "Power Subsystem",
        Status=OK,
        PowerSupplies=link(f"{path}/PowerSupplies"),
    )


def supply(front: Front) -> Json:
    """A power supply."""
    path = f"{CHASSIS}/PowerSubsystem/PowerSupplies/1"
    _newer(front, path)
    return resource(path, "PowerSupply.v1_3_0.PowerSupply", "Power Supply 1", PowerCapacityWatts=800, Status=OK)


def _supplies(front: Front) -> Json:
    path = f"{CHASSIS}/PowerSubsystem/PowerSupplies"
    _newer(front, path)
    return collection(path, "PowerSupply", [f"{path}/1"])


def _view(sensor: Sensor) -> Views:
    return shown(lambda front: one(front, sensor))


def routes() -> dict[str, Views]:
    """Path -> views."""
    table = {
        f"{CHASSIS}/Thermal": shown(thermal),
        f"{CHASSIS}/Power": shown(power),
        _SENSORS: shown(sensor_list),
        f"{CHASSIS}/PowerSubsystem": shown(subsystem),
        f"{CHASSIS}/PowerSubsystem/PowerSupplies": shown(_supplies),
        f"{CHASSIS}/PowerSubsystem/PowerSupplies/1": shown(supply),
    }
    return table | {f"{_SENSORS}/{sensor.name}": _view(sensor) for sensor in TABLE}
