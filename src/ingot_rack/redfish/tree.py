"""What all Redfish resources share: paths, the front of one BMC, links and collections, the service root.

Why: routing, vendor shapes and resources all name the same paths. May not: know HTTP or change a machine.
Invariant: every link points to something the server answers. Sources: DMTF DSP0266 and DSP0268.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, cast

from ingot_rack import bmc as bmcs
from ingot_rack.redfish.shapes import PLAIN, Shape
from ingot_rack.redfish.wire import Json, Refused

ROOT = "/redfish/v1"
SYSTEM = f"{ROOT}/Systems/1"
MANAGER = f"{ROOT}/Managers/1"
CHASSIS = f"{ROOT}/Chassis/1"
OK: Json = {"State": "Enabled", "Health": "OK"}
_PARTS = (
    "Systems",
    "Managers",
    "Chassis",
    "SessionService",
    "AccountService",
    "Registries",
    "UpdateService",
    "EventService",
)

T = TypeVar("T")


@dataclasses.dataclass(slots=True)
class Front:
    """One Redfish BMC: the BMC, its maker's shape, and what only Redfish knows. media_folder None: nothing is fetched.

    ``part(Kind)`` gives the state of one resource (its volumes, its log), made at its first use: a fleet of ten
    thousand that is only asked for its power holds none.
    """

    bmc: bmcs.Bmc
    media_folder: Path | None = None
    shape: Shape = PLAIN
    _parts: dict[object, object] = dataclasses.field(default_factory=dict[object, object])

    def part(self, kind: Callable[[Front], T]) -> T:
        """The one object of this kind here; ``kind`` is called with this front to make it."""
        if kind not in self._parts:
            self._parts[kind] = kind(self)
        return cast("T", self._parts[kind])

    def used(self, kind: Callable[[Front], object]) -> bool:
        """Whether this kind was ever asked for."""
        return kind in self._parts

    @property
    def manufacturer(self) -> str:
        """Who made the machine, as the shape has it."""
        return self.shape.manufacturer or self.bmc.hardware.facts.manufacturer


def resource(path: str, kind: str, name: str, **members: object) -> Json:
    """A resource: its path, type ("Chassis.v1_14_0.Chassis"), name and members."""
    identity = path.rsplit("/", 1)[-1]
    return {"@odata.id": path, "@odata.type": f"#{kind}", "Id": identity, "Name": name, **members}


def link(path: str) -> Json:
    """A link."""
    return {"@odata.id": path}


def collection(path: str, kind: str, members: list[str]) -> Json:
    """A collection of links."""
    return {
        "@odata.id": path,
        "@odata.type": f"#{kind}Collection.{kind}Collection",
        "Name": f"{kind} Collection",
        "Members@odata.count": len(members),
        "Members": [link(member) for member in members],
    }


def actions(path: str, *names: str) -> Json:
    """The Actions of a resource whose actions ("Bios.ResetBios") take no documented values."""
    return {f"#{name}": {"target": f"{path}/Actions/{name}"} for name in names}


def missing(path: str) -> Refused:
    """What is answered for a path that this machine does not have."""
    return Refused(404, "ResourceMissingAtURI", path)


def root(front: Front) -> Json:
    """The service root, readable without a password."""
    return {
        "@odata.id": f"{ROOT}/",
        "@odata.type": "#ServiceRoot.v1_9_0.ServiceRoot",
        "Id": "RootService",
        "Name": "Root Service",
        "RedfishVersion": "1.11.0",
        "UUID": front.bmc.hardware.facts.uuid,
        "Vendor": front.manufacturer,
        "Product": "Ingot Rack BMC",
        **{name: link(f"{ROOT}/{name}") for name in _PARTS},
        "Tasks": link(f"{ROOT}/TaskService"),
        **_features(front),
        "Links": {"Sessions": link(f"{ROOT}/SessionService/Sessions")},
    }


def _features(front: Front) -> Json:
    if not front.shape.expands:
        return {}
    query = {"ExpandAll": True, "Levels": True, "Links": True, "NoLinks": True, "MaxLevels": 1}
    return {"ProtocolFeaturesSupported": {"ExpandQuery": query}}


def session_service() -> Json:
    """How to log in."""
    path = f"{ROOT}/SessionService"
    return resource(
        path,
        "SessionService.v1_1_6.SessionService",
        "Session Service",
        ServiceEnabled=True,
        SessionTimeout=1800,
        Status=OK,
        Sessions=link(f"{path}/Sessions"),
    )


def session(number: str, user: str) -> Json:
    """One open session."""
    path = f"{ROOT}/SessionService/Sessions/{number}"
    return resource(path, "Session.v1_3_0.Session", "User Session", UserName=user)
