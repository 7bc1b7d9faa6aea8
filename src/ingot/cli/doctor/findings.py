"""What the doctor says: one finding per thing looked at, with a cure where something is wrong.

May not: look at anything. Invariant: whatever is not fine has a cure.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Level(StrEnum):
    """How bad it is: ``bad`` keeps something from working, ``odd`` may."""

    FINE = "fine"
    ODD = "odd"
    BAD = "bad"


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at."""

    check: str
    level: Level
    text: str
    cure: str = ""


def fine(check: str, text: str) -> Finding:
    """It is as it should be."""
    return Finding(check, Level.FINE, text)


def odd(check: str, text: str, cure: str) -> Finding:
    """It may be meant so."""
    return Finding(check, Level.ODD, text, cure)


def bad(check: str, text: str, cure: str) -> Finding:
    """It has to be cured."""
    return Finding(check, Level.BAD, text, cure)
