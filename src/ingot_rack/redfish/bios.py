"""BIOS settings: attributes in force, pending ones, their registry, the reset to the maker's.

Invariant: pending values take force at a start of the machine that was ordered after them, and never sooner.
"""

from __future__ import annotations

from typing import cast

from aiohttp import web

from ingot_rack.redfish.tree import ROOT, SYSTEM, Front, actions, collection, link, resource
from ingot_rack.redfish.views import Views, action, shown
from ingot_rack.redfish.wire import Json, Refused, answer, check_match, read

PATH = f"{SYSTEM}/Bios"
SETTINGS = f"{PATH}/Settings"
REGISTRY = "BiosAttributeRegistry.v1_0_0"
_FILE = f"{ROOT}/Registries/{REGISTRY}"
_TEXT = f"{_FILE}/{REGISTRY}.json"
ATTRIBUTES: dict[str, Json] = {
    "BootMode": {"Type": "Enumeration", "Value": ["Uefi", "LegacyBios"], "DefaultValue": "Uefi"},
    "Virtualization": {"Type": "Enumeration", "Value": ["Enabled", "Disabled"], "DefaultValue": "Enabled"},
    "ActiveCores": {"Type": "Integer", "LowerBound": 0, "UpperBound": 64, "DefaultValue": 0},
    "QuietBoot": {"Type": "Boolean", "DefaultValue": True},
    "AssetTag": {"Type": "String", "MinLength": 0, "MaxLength": 16, "DefaultValue": ""},
    "BoardSerial": {"Type": "String", "ReadOnly": True, "DefaultValue": "BS-0001"},
}
_TYPES = {"Enumeration": str, "Integer": int, "Boolean": bool, "String": str}


class State:
    """The attributes of one machine."""

    def __init__(self, front: Front) -> None:
        self._bmc = front.bmc
        self._now: Json = {name: entry["DefaultValue"] for name, entry in ATTRIBUTES.items()}
        self._later: Json = {}
        self._since = 0

    @property
    def now(self) -> Json:
        """What is in force."""
        self._settle()
        return self._now

    @property
    def later(self) -> Json:
        """What will be in force after the next start."""
        return self.now | self._later

    def change(self, wanted: Json) -> None:
        """Make values pending."""
        self._settle()
        self._later |= wanted
        self._since = self._bmc.starts

    def _settle(self) -> None:
        """A start puts what was pending into force; with the fault `settings_ignored` it drops it."""
        if self._later and self._bmc.starts > self._since:
            self._now |= {} if self._bmc.faults.settings_ignored else self._later
            self._later = {}


def bios(front: Front) -> Json:
    """The attributes in force."""
    settings: Json = {"@odata.type": "#Settings.v1_3_0.Settings", "SettingsObject": link(SETTINGS)}
    return resource(
        PATH,
        "Bios.v1_1_0.Bios",
        "BIOS Configuration",
        AttributeRegistry=REGISTRY,
        Attributes=dict(front.part(State).now),
        Actions=actions(PATH, "Bios.ResetBios"),
        **{"@Redfish.Settings": {**settings, "SupportedApplyTimes": ["OnReset"]}},
    )


def pending(front: Front) -> Json:
    """The attributes after the next start."""
    return resource(
        SETTINGS,
        "Bios.v1_1_0.Bios",
        "BIOS Configuration Pending Settings",
        AttributeRegistry=REGISTRY,
        Attributes=front.part(State).later,
    )


async def _patch(request: web.Request, front: Front) -> web.StreamResponse:
    check_match(request, pending(front))
    body = await read(request)
    given = body.get("Attributes")
    if not isinstance(given, dict) or set(body) - {"Attributes", "@Redfish.SettingsApplyTime"}:
        raise Refused(400, "PropertyValueTypeError", "Attributes", "Attributes")
    wanted = cast("Json", given)
    for name, value in wanted.items():
        _check(name, value)
    front.part(State).change(wanted)
    return answer(pending(front))


def _check(name: str, value: object) -> None:
    entry = ATTRIBUTES.get(name)
    if entry is None:
        raise Refused(400, "PropertyUnknown", name)
    if entry.get("ReadOnly"):
        raise Refused(400, "PropertyNotWritable", name)
    if type(value) is not _TYPES[str(entry["Type"])]:
        raise Refused(400, "PropertyValueTypeError", str(value), name)
    choices = entry.get("Value")
    if isinstance(choices, list) and value not in choices:
        raise Refused(400, "PropertyValueNotInList", str(value), name)


async def _reset(front: Front, body: Json) -> None:
    del body
    front.part(State).change({name: entry["DefaultValue"] for name, entry in ATTRIBUTES.items()})


def registry_file(front: Front) -> Json:
    """Where the registry is."""
    del front
    return resource(
        _FILE,
        "MessageRegistryFile.v1_1_0.MessageRegistryFile",
        "BIOS Attribute Registry File",
        Languages=["en"],
        Registry=REGISTRY,
        Location=[{"Language": "en", "Uri": _TEXT}],
    )


def registry(front: Front) -> Json:
    """What may be set."""
    del front
    entries: list[Json] = []
    for name, entry in ATTRIBUTES.items():
        values = cast("list[str]", entry.get("Value", []))
        listed = {"Value": [{"ValueName": one} for one in values]} if values else {}
        fixed = {"ReadOnly": bool(entry.get("ReadOnly")), "ResetRequired": True, "IsSystemUniqueProperty": False}
        entries.append({"AttributeName": name, "DisplayName": name, **fixed, **entry, **listed})
    return {
        "@odata.id": _TEXT,
        "@odata.type": "#AttributeRegistry.v1_3_0.AttributeRegistry",
        "Id": REGISTRY,
        "Name": "BIOS Attribute Registry",
        "Language": "en",
        "OwningEntity": "Ingot",
        "RegistryVersion": "1.0.0",
        "RegistryEntries": {"Attributes": entries},
    }


def routes() -> dict[str, Views]:
    """Path -> views."""
    return {
        PATH: shown(bios),
        SETTINGS: {**shown(pending), "PATCH": _patch},
        f"{PATH}/Actions/Bios.ResetBios": action(_reset),
        f"{ROOT}/Registries": shown(lambda _: collection(f"{ROOT}/Registries", "MessageRegistryFile", [_FILE])),
        _FILE: shown(registry_file),
        _TEXT: shown(registry),
    }
