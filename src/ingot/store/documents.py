"""Rows as JSON documents, written by the database itself.

Why: a list of a thousand nodes is sixty thousand values. The database writes them as text several times faster than
Python makes objects of them, and without the interpreter's lock, so no other request waits meanwhile. May not: know a
table or a resource. Invariant: what comes out is valid JSON, whatever the columns hold.
"""

from __future__ import annotations

import functools
from typing import Any

import msgspec
from sqlalchemy import Boolean, Column, ColumnElement, Connection, Select, TextClause, literal_column, select, text

from ingot.store import rows


class Document(msgspec.Struct, frozen=True):
    """One kind of document. ``form``: its JSON text with %s for each value; ``values``: their SQL, parted by commas."""

    form: str
    values: str


class Listed(msgspec.Struct, frozen=True):
    """Documents of one page, parted by commas as inside a JSON array, and the uuids of their rows."""

    items: bytes
    uuids: list[str]


NOTHING = Listed(items=b"", uuids=[])


_ITEMS: ColumnElement[bytes | None] = literal_column("CAST(group_concat(document) AS BLOB)")
_PAIRS = 50
_UUIDS: ColumnElement[str] = literal_column("group_concat(uuid)")


def is_plain(column: Column[Any]) -> bool:
    """Whether the column holds text or a number, as it is; the others are JSON text and truth values."""
    return column.name not in rows.JSON_COLUMNS and not isinstance(column.type, Boolean)


def value(column: Column[Any]) -> str:
    """SQL of the JSON text of a column that is not plain."""
    name = f"{column.table.name}.{column.name}"
    if isinstance(column.type, Boolean):
        return f"CASE {name} WHEN 1 THEN 'true' WHEN 0 THEN 'false' ELSE 'null' END"
    return name


def members(columns: list[Column[Any]]) -> list[str]:
    """SQL of the members of an object for plain columns, each for as many as a function may have arguments for.

    Half the work of quoting one by one.
    """
    pairs = [f"'{column.name}', {column.table.name}.{column.name}" for column in columns]
    parts = (pairs[start : start + _PAIRS] for start in range(0, len(pairs), _PAIRS))
    return [f"trim(json_object({', '.join(part)}), '{{}}')" for part in parts]


def literal(found: object) -> str:
    """A constant as it stands in a form."""
    return msgspec.json.encode(found).decode().replace("%", "%%")


def find(connection: Connection, document: Document, table: str, column: str, ident: str) -> bytes | None:
    """The document of the one row of ``table`` whose ``column`` is ``ident``, or None."""
    statement = f"SELECT CAST(printf(?, {document.values}) AS BLOB) FROM {table} WHERE {table}.{column} = ?"  # noqa: S608 - names of the schema only
    row = connection.exec_driver_sql(statement, (document.form, ident)).first()
    return None if row is None else row[0]


@functools.lru_cache(64)
def rendering(document: Document) -> TextClause:
    """What a SELECT names to get the document of each row; give it to ``collect``."""
    values = document.values.replace(":", r"\:")
    return text(f"printf(:form, {values}) AS document").bindparams(form=document.form)


def collect(connection: Connection, statement: Select[Any]) -> Listed:
    """All documents of a statement that selects ``uuid`` and a ``rendering``, made in one step.

    The order of the statement holds: SQLite aggregates an ordered and limited subquery row by row.
    """
    page = statement.subquery()
    items, uuids = connection.execute(select(_ITEMS, _UUIDS).select_from(page)).one()
    return NOTHING if items is None else Listed(items=items, uuids=uuids.split(","))
