"""Lamps by which a machine, its case or a drive is found. Source: DSP0268 IndicatorLED and LocationIndicatorActive."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from ingot.clients.redfish import systems
from ingot.clients.redfish.client import RedfishPool
from ingot.clients.redfish.resources import Resource, link, links, part, text
from ingot.clients.redfish.target import Target


class State(StrEnum):
    """What a lamp does."""

    ON = "Lit"
    OFF = "Off"
    BLINKING = "Blinking"
    UNKNOWN = "Unknown"


class Lamp(msgspec.Struct, frozen=True):
    """A lamp: ``component`` is "system", "chassis" or "disk"; ``states``: what it can be set to."""

    component: str
    name: str
    path: str
    state: State
    states: tuple[State, ...]


async def list_all(pool: RedfishPool, target: Target) -> list[Lamp]:
    """Every lamp of the system, its cases and its drives."""
    system = await systems.get(pool, target)
    found = [("system", await pool.system_path(target), system)]
    found += [("chassis", path, await pool.get(target, path)) for path in links(part(system, "Links"), "Chassis")]
    for _, storage in await pool.survey(target, link(system, "Storage")):
        found += [("disk", path, await pool.get(target, path)) for path in links(storage, "Drives")]
    lamps = [_lamp(*each) for each in found]
    return [lamp for lamp in lamps if lamp is not None]


async def switch(pool: RedfishPool, target: Target, lamp: Lamp, state: State) -> None:
    """Switch a lamp; ``state`` must be one of its ``states``."""
    resource, etag = await pool.get_with_etag(target, lamp.path)
    active = isinstance(resource.get("LocationIndicatorActive"), bool)
    body: Resource = {"LocationIndicatorActive": state is State.ON} if active else {"IndicatorLED": str(state)}
    await pool.patch(target, lamp.path, body, etag)


def _lamp(component: str, path: str, resource: Resource) -> Lamp | None:
    name = text(resource, "Id") or path.rstrip("/").rpartition("/")[2]
    active, led = resource.get("LocationIndicatorActive"), text(resource, "IndicatorLED")
    if isinstance(active, bool):
        return Lamp(component, name, path, State.ON if active else State.OFF, (State.ON, State.OFF))
    if led is None:
        return None
    state = State(led) if led in list(State) else State.UNKNOWN
    return Lamp(component, name, path, state, (State.ON, State.OFF, State.BLINKING))
