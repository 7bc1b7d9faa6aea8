"""From another service's rows to ours: one rule for each kind of column, whatever the table.

May not: decide what comes. Invariant: a row that is made here has every column that must not be empty.
"""

from __future__ import annotations

import datetime
from typing import Any

import msgspec
from sqlalchemy import Boolean, Column, Table

from ingot.store import rows

Row = dict[str, Any]

_LISTS = frozenset({"steps", "traits", "candidate_nodes", "allowable_values", "actions", "conditions"})
"""JSON columns that hold a list."""


def made(table: Table, found: Row, **more: Any) -> Row:
    """A row of our ``table`` from a row of theirs, columns of one name taken over; ``more`` wins. JSON is parsed."""
    values: Row = {}
    for each in table.c:
        if each.name in more:
            values[each.name] = more[each.name]
        elif each.name != "id":
            values[each.name] = value(each, found.get(each.name))
    return values


def value(into: Column[Any], found: Any) -> Any:
    """``found`` as the column ``into`` takes it, what is empty there included."""
    if into.name in rows.JSON_COLUMNS:
        return parsed(found, into.name, none=bool(into.nullable))
    if isinstance(into.type, Boolean):
        return _flag(into, found)
    if into.name.endswith("_at"):
        return time(found) or (rows.now() if not into.nullable else None)
    return "" if found is None and not into.nullable else found


def parsed(found: Any, name: str, *, none: bool = False) -> Any:
    """JSON text (or a value that the database has parsed already); nothing is an empty list or object."""
    if isinstance(found, str) and found:
        found = msgspec.json.decode(found)
    if found is None or found == "":
        return None if none else [] if name in _LISTS else {}
    return found


def time(found: Any) -> str | None:
    """A time that was kept in UTC without saying so, as ISO 8601 with offset, in the precision it has."""
    if found is None:
        return None
    moment = found if isinstance(found, datetime.datetime) else datetime.datetime.fromisoformat(str(found))
    return (moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).isoformat()


def _flag(into: Column[Any], found: Any) -> bool | None:
    if found is not None:
        return bool(found)
    default: Any = into.server_default
    return None if into.nullable else default is not None and str(default.arg) == "1"
