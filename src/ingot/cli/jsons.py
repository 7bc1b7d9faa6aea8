"""Reading JSON whose shape an API promised but did not prove.

May not: raise. Invariant: what comes back has the type asked for, empty where the JSON had another.
"""

from __future__ import annotations

from typing import Any, cast

Json = dict[str, Any]


def table(value: object) -> Json:
    """``value`` if it is an object, else an empty one."""
    return cast("Json", value) if isinstance(value, dict) else {}


def tables(value: object) -> list[Json]:
    """The objects in the list ``value``; empty when it is none."""
    return [cast("Json", one) for one in items(value) if isinstance(one, dict)]


def items(value: object) -> list[Any]:
    """``value`` if it is a list, else an empty one."""
    return cast("list[Any]", value) if isinstance(value, list) else []


def number(value: object) -> float | None:
    """``value`` if it is a number, else None."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def text(value: object) -> str | None:
    """``value`` if it is text, else None."""
    return value if isinstance(value, str) else None
