"""The event log (SEL) of a BMC. Invariant: entries are numbered upwards for as long as the BMC lives."""

from __future__ import annotations

import datetime

from ingot_rack.redfish.tree import MANAGER, OK, Front, actions, collection, link, missing, resource
from ingot_rack.redfish.views import Views, action, shown
from ingot_rack.redfish.wire import Json

SERVICES = f"{MANAGER}/LogServices"
SEL = f"{SERVICES}/SEL"
_ENTRIES = f"{SEL}/Entries"


class Log:
    """The entries of one BMC."""

    def __init__(self, front: Front) -> None:
        del front
        self.entries: list[Json] = []
        self._count = 0
        self.add("OK", "System Event", "The event log was started.")

    def add(self, severity: str, sensor: str, message: str) -> None:
        """Write a line."""
        self._count += 1
        at = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        self.entries.append(
            resource(
                f"{_ENTRIES}/{self._count}",
                "LogEntry.v1_8_0.LogEntry",
                f"Entry {self._count}",
                EntryType="SEL",
                Created=at,
                Severity=severity,
                SensorType=sensor,
                MessageId="PlatformEvent.1.0.Event",
                Message=message,
            )
        )


def service(front: Front) -> Json:
    """The log service."""
    del front
    return resource(
        SEL,
        "LogService.v1_2_0.LogService",
        "System Event Log",
        LogEntryType="SEL",
        OverWritePolicy="WrapsWhenFull",
        ServiceEnabled=True,
        Status=OK,
        Entries=link(_ENTRIES),
        Actions=actions(SEL, "LogService.ClearLog"),
    )


def entries(front: Front) -> Json:
    """All lines, in full as most BMCs give them."""
    found = front.part(Log).entries
    return {**collection(_ENTRIES, "LogEntry", []), "Members@odata.count": len(found), "Members": found}


async def _clear(front: Front, body: Json) -> None:
    del body
    front.part(Log).entries.clear()


def numbered(path: str, front: Front) -> Views | None:
    """The views of one entry, None for any other path."""
    if not path.startswith(f"{_ENTRIES}/"):
        return None
    found = next((one for one in front.part(Log).entries if one["@odata.id"] == path), None)
    if found is None:
        raise missing(path)
    return shown(lambda _: found)


def routes() -> dict[str, Views]:
    """Path -> views."""
    return {
        SERVICES: shown(lambda _: collection(SERVICES, "LogService", [SEL])),
        SEL: shown(service),
        _ENTRIES: shown(entries),
        f"{SEL}/Actions/LogService.ClearLog": action(_clear),
    }
