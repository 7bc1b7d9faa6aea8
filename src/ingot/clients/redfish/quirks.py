"""What BMCs of a maker want differently, read from ``quirks.toml``.

Why: a table can be read, counted and dropped again; conditions spread over the code cannot.
Invariant: each entry names its hardware and its source. What a BMC tells by its own answers (a parameter that it
refuses or misses, an action that it lacks) needs no entry: the client follows the answer.
"""

from __future__ import annotations

import functools
import tomllib
from pathlib import Path

import msgspec

from ingot.domain import typed

FILE = Path(__file__).with_suffix(".toml")


class Quirks(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Departures from the standard; all False for a faithful BMC.

    ``usb_cd``: boots virtual media only from UsbCd, although Cd is on offer; ``whole_boot``: wants target, duration
    and mode in every change of Boot; ``boot_unread``: does not show an override
    that it holds; ``source``: which hardware, and who says so.
    """

    usb_cd: bool = False
    whole_boot: bool = False
    boot_unread: bool = False
    source: str = ""


NONE = Quirks()


@functools.cache
def load() -> dict[str, Quirks]:
    """Every entry by maker."""
    return typed.convert(tomllib.loads(FILE.read_text()), dict[str, Quirks])


def find(manufacturer: object) -> Quirks:
    """The quirks of a ComputerSystem's ``Manufacturer`` value, of any type; none for an unknown one."""
    if not isinstance(manufacturer, str):
        return NONE
    return load().get(manufacturer.lower().replace(" ", ""), NONE)
