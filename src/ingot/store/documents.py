"""Rows as JSON documents, written by the database itself.

Why: a list of a thousand nodes is sixty thousand values. The database writes them as text several times faster than
Python makes objects of them, and without the interpreter's lock, so no other request waits meanwhile. May not: know a
table or a resource. Invariant: what comes out is valid JSON, whatever the columns hold.
"""

from __future__ import annotations

import functools
import itertools
from typing import Any

import msgspec
from sqlalchemy import (
    BindParameter,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    LargeBinary,
    Select,
    String,
    TextClause,
    TextualSelect,
    bindparam,
    literal_column,
    select,
    text,
)
from sqlalchemy.types import TypeEngine

from ingot.store import rows, speech
from ingot.store.speech import Sql, each


class Document(msgspec.Struct, frozen=True):
    """One kind of document. ``form``: its JSON text with %s for each value; ``values``: their SQL."""

    form: str
    values: tuple[Sql, ...]


class Listed(msgspec.Struct, frozen=True):
    """Documents of one page, parted by commas as inside a JSON array, and the uuids of their rows."""

    items: bytes
    uuids: list[str]


NOTHING = Listed(items=b"", uuids=[])


_ITEMS: ColumnElement[bytes | None] = literal_column("CAST(group_concat(document) AS BLOB)")
_PAIRS = 50
_BETWEEN = "\x1f"
"""A letter that JSON text never has."""
_UUIDS: ColumnElement[str] = literal_column("group_concat(uuid)")


def is_plain(column: Column[Any]) -> bool:
    """Whether the column holds text or a number, as it is; the others are JSON text and truth values."""
    return column.name not in rows.JSON_COLUMNS and not isinstance(column.type, Boolean)


def value(column: Column[Any]) -> Sql:
    """SQL of the JSON text of a column that is not plain."""
    name = f"{column.table.name}.{column.name}"
    if isinstance(column.type, Boolean):
        return each(lambda _: f"CASE WHEN {name} THEN 'true' WHEN NOT {name} THEN 'false' ELSE 'null' END")
    return each(lambda _: name)


def members(columns: list[Column[Any]]) -> list[Sql]:
    """SQL of the members of an object for plain columns, each for as many as a function may have arguments for.

    Half the work of quoting one by one.
    """
    pairs = [(column.name, f"{column.table.name}.{column.name}") for column in columns]
    parts = (dict(pairs[start : start + _PAIRS]) for start in range(0, len(pairs), _PAIRS))
    return [_members(part) for part in parts]


def _members(pairs: dict[str, str]) -> Sql:
    return each(lambda said: said.members(pairs))


def literal(found: object) -> str:
    """A constant as it stands in a form."""
    return msgspec.json.encode(found).decode().replace("%", "%%")


def read(document: Document, row: Any) -> bytes:
    """The document, of the row that ``statement`` finds."""
    found: bytes | str = row[0]
    if isinstance(found, bytes):
        return found
    return (document.form % tuple(found.split(_BETWEEN))).encode()


@functools.lru_cache(64)
def statement(document: Document, table: str, column: str, dialect: str) -> TextualSelect:
    """What finds the one row of ``table`` whose ``column`` is ``ident``: its document where there is printf.

    Elsewhere its values, ``_BETWEEN`` them, and the key.

    For the form's pieces would be twenty parameters, which cost a driver for a server more than all else of a read.
    """
    key = f"{table}.{column}"
    if dialect == "sqlite":
        shown, more = f"CAST({_printed(document)} AS BLOB) AS document", bindparam("form", document.form, String)
        kinds: dict[str, TypeEngine[Any]] = {"document": LargeBinary()}
    else:
        values = [getattr(sql, speech.of(dialect).name).replace(":", r"\:") for sql in document.values]
        shown = f"concat_ws(:between, {', '.join(values)}) AS document, {key}"
        more = bindparam("between", _BETWEEN, String)
        kinds = {"document": String(), column: String()}
    sql = f"SELECT {shown} FROM {table} WHERE {key} = :ident"  # noqa: S608 - names of the schema only
    return text(sql).bindparams(bindparam("ident", type_=String), more).columns(**kinds)


@functools.lru_cache(64)
def rendering(document: Document, dialect: str) -> TextClause:
    """What a SELECT names to get the document of each row; give it to ``collect``."""
    if dialect == "sqlite":
        return text(f"{_printed(document)} AS document").bindparams(form=document.form)
    shown, pieces = _spliced(document, dialect)
    return text(f"{shown} AS document").bindparams(*pieces)


def _printed(document: Document) -> str:
    """The document in SQLite's words, its form as a parameter."""
    values = ", ".join(sql.sqlite for sql in document.values).replace(":", r"\:")
    return f"printf(:form, {values})"


def _spliced(document: Document, dialect: str) -> tuple[str, list[BindParameter[str]]]:
    """The document as texts put together, where there is no printf, and the parameters of its form."""
    said = speech.of(dialect)
    pieces = [piece.replace("%%", "%") for piece in document.form.split("%s")]
    values = [getattr(sql, said.name).replace(":", r"\:") for sql in document.values]
    shown = [f":p{number}" for number in range(len(pieces))]
    parts = [part for pair in itertools.zip_longest(shown, values) for part in pair if part is not None]
    return said.join(*parts), [bindparam(f"p{number}", piece, String) for number, piece in enumerate(pieces)]


def collect(connection: Connection, statement: Select[Any]) -> Listed:
    """All documents of a statement that selects ``uuid`` and a ``rendering``.

    On SQLite in one step, in the statement's order: it aggregates an ordered and limited subquery row by row.
    """
    if connection.dialect.name != "sqlite":
        found = connection.execute(statement).all()
        uuids, items = zip(*found, strict=True) if found else ((), ())
        return Listed(items=",".join(items).encode(), uuids=list(uuids))
    page = statement.subquery()
    items, uuids = connection.execute(select(_ITEMS, _UUIDS).select_from(page)).one()
    return NOTHING if items is None else Listed(items=items, uuids=uuids.split(","))
