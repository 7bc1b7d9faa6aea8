"""Between rows and domain values: which columns are JSON, and how a Struct becomes a row and back.

May not: run statements. Invariant: a value read back equals the value written.
"""

from __future__ import annotations

import functools
import re
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Row, Table
from sqlalchemy.exc import IntegrityError
from sqlalchemy.types import Boolean

from ingot.domain import typed

T = TypeVar("T", bound=msgspec.Struct)

JSON_COLUMNS = frozenset(
    {
        "driver_info",
        "driver_internal_info",
        "instance_info",
        "properties",
        "extra",
        "network_data",
        "clean_step",
        "deploy_step",
        "service_step",
        "raid_config",
        "target_raid_config",
        "internal_info",
        "local_link_connection",
        "params",
        "plan",
        "memo",
        "wait",
        "progress",
        "inventory",
        "plugin_data",
        "drivers",
        "steps",
        "kinds",
        "traits",
        "candidate_nodes",
        "allowable_values",
    }
)


def now() -> str:
    """The present time as the wire shows it: ISO 8601 with microseconds and offset."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def encode(values: dict[str, Any]) -> dict[str, Any]:
    """Column values as the database takes them: JSON columns as compact text."""
    return {
        key: msgspec.json.encode(value).decode() if key in JSON_COLUMNS and value is not None else value
        for key, value in values.items()
    }


def to_row(value: msgspec.Struct, table: Table, **more: Any) -> dict[str, Any]:
    """A Struct as a row of ``table``; fields without a column are left out."""
    fields = {name: getattr(value, name) for name in value.__struct_fields__ if name in table.c}
    return encode({**fields, **more})


def from_row(row: Row[Any], kind: type[T], **more: Any) -> T:
    """A row as a ``kind``; columns that ``kind`` does not have are left out."""
    plain, texts = _places(kind, row._fields)  # pyright: ignore[reportPrivateUsage]  # as in as_dict
    values: dict[str, Any] = {key: row[at] for key, at in plain}
    for key, at in texts:
        text = row[at]
        values[key] = None if text is None else {} if text == "{}" else msgspec.json.decode(text)
    return typed.convert({**values, **more} if more else values, kind, strict=False)


@functools.cache
def _places(
    kind: type[msgspec.Struct], names: tuple[str, ...]
) -> tuple[tuple[tuple[str, int], ...], tuple[tuple[str, int], ...]]:
    """Where in a row with these names the fields of ``kind`` are: those taken as they are, those that are JSON."""
    places = {name: at for at, name in enumerate(names)}
    found = [(name, places[name]) for name in kind.__struct_fields__ if name in places]
    texts = tuple((name, at) for name, at in found if name in JSON_COLUMNS)
    return tuple(one for one in found if one not in texts), texts


_TAKEN = (r"UNIQUE constraint failed: \w+\.(\w+)", r"Key \((\w+)", r"for key '(?:\w+\.)?(\w+)'\W*\Z")


def taken(error: IntegrityError) -> str:
    """The (first) column whose value another row has already, in the words of each database; empty if it is none."""
    said = f"{getattr(error.orig, 'detail', None) or ''} {error.orig}"
    found = (re.search(pattern, said) for pattern in _TAKEN)
    return next((one[1] for one in found if one is not None), "")


def as_dict(row: Row[Any]) -> dict[str, Any]:
    """A row by column name."""
    return row._asdict()  # pyright: ignore[reportPrivateUsage] # public in SQLAlchemy, named so beside column names


def booleans(table: Table) -> frozenset[str]:
    """The columns of ``table`` that SQLite gives back as 0 and 1."""
    return frozenset(column.name for column in table.c if isinstance(column.type, Boolean))
