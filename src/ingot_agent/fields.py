"""Take typed values out of free-form JSON objects.

May not: raise for a wrong kind of value. Invariant: what is absent or of another kind is None, "" or empty.
"""

from __future__ import annotations

from typing import Any, cast


def as_object(value: object) -> dict[str, Any] | None:
    """Give a JSON object as such, None for anything else."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def find_object(values: dict[str, Any], name: str) -> dict[str, Any] | None:
    """Give the object of that name, None when there is none."""
    return as_object(values.get(name))


def objects(values: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """Give the objects of a list, leaving out whatever else it holds."""
    value = values.get(name)
    entries = cast("list[object]", value) if isinstance(value, list) else []
    return [one for one in (as_object(entry) for entry in entries) if one is not None]


def text(values: dict[str, Any], name: str) -> str:
    """Give a text, "" when there is none."""
    value = values.get(name)
    return value if isinstance(value, str) else ""


def texts(values: dict[str, Any], name: str) -> list[str]:
    """Give the texts of a list, leaving out whatever else it holds."""
    value = values.get(name)
    entries = cast("list[object]", value) if isinstance(value, list) else []
    return [entry for entry in entries if isinstance(entry, str)]
