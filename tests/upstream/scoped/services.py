"""Everything read and asked for by programs of the cloud, where those of one project are elevated, and by others."""

from __future__ import annotations

from collections.abc import Mapping

from upstream.call import Call, by, flat
from upstream.scoped import changing, looking, place

PROJECT = "third"
"""The project whose programs are elevated."""
_CALLERS = (f"{PROJECT} service", f"{PROJECT} admin", "owner service", "system service")


def calls(projects: Mapping[str, str]) -> list[Call]:
    """The scenario: all look before one changes anything, for what changed is another scenario's matter."""
    asked = (looking.asked(projects), changing.asked(projects))
    return flat(place.made(projects), *(by(who, part) for part in asked for who in _CALLERS))
