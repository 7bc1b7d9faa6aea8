"""The few words of SQL that SQLite, PostgreSQL and MariaDB say each in their own way: JSON, times, triggers.

Why by hand: documents and triggers are text that the database runs millions of times (docs/decisions/0014, 0015).
May not: know a table. Invariant: the same word means the same value in each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from sqlalchemy import ColumnElement
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.visitors import InternalTraversal
from sqlalchemy.types import String


class Speech:
    """SQLite's words. Arguments and results are SQL; ``json`` values are what an object may have as a member."""

    name = "sqlite"
    now = "(julianday('now') - 2440587.5) * 86400.0"
    """Epoch seconds; unixepoch('subsec') needs a newer SQLite than Debian 12 has."""

    def quote(self, text: str) -> str:
        """The JSON text of a text, null for NULL."""
        return f"json_quote({text})"

    def true_or_false(self, truth: str) -> str:
        """A truth value as json."""
        return f"json(CASE WHEN {truth} THEN 'true' ELSE 'false' END)"

    def embed(self, text: str) -> str:
        """JSON text as json."""
        return f"json({text})"

    def member(self, text: str, name: str) -> str:
        """A member of an object in JSON text, as json."""
        return f"json_extract({text}, '$.{name}')"

    def item_member(self, text: str, index: str, name: str) -> str:
        """A text member of an object in an array in JSON text, as text."""
        return f"json_extract({text}, '$[' || {index} || '].{name}')"

    def object(self, pairs: Mapping[str, str]) -> str:
        """The JSON text of an object of plain values and json; up to 50 pairs."""
        return f"json_object({_arguments(pairs)})"

    def members(self, pairs: Mapping[str, str]) -> str:
        """The same without the braces."""
        return f"trim({self.object(pairs)}, '{{}}')"

    def array(self, column: str, source: str) -> str:
        """The JSON text of an array of a text column, in order; ``source``: FROM and WHERE."""
        return f"(SELECT json_group_array({column}) FROM (SELECT {column} {source} ORDER BY {column}))"

    def join(self, *texts: str) -> str:
        """Texts put together."""
        return " || ".join(texts)

    def with_members(self, text: str, pairs: Mapping[str, str]) -> str:
        """JSON text of an object with members set."""
        return f"json_set({text}, {_paths(pairs)})"

    def moment(self, seconds: str) -> str:
        """Epoch seconds (NULL: 0) as ISO 8601 with microseconds, UTC, without an offset."""
        return f"strftime('%Y-%m-%dT%H:%M:%f000', ifnull({seconds}, 0), 'unixepoch')"

    def differ(self, one: str, other: str) -> str:
        """Whether two values are not the same, NULL being a value."""
        return f"{one} IS NOT {other}"

    def column(self, row: str, name: str) -> str:
        """A column of a row, whatever word its name is."""
        return f'{row}."{name}"'


class PostgreSQL(Speech):
    """PostgreSQL's words. Nothing here goes by jsonb: it cannot hold NUL, which JSON can."""

    name = "postgresql"
    now = "extract(epoch from clock_timestamp())"

    def quote(self, text: str) -> str:
        return f"coalesce(to_json({text})::text, 'null')"

    def true_or_false(self, truth: str) -> str:
        return truth

    def embed(self, text: str) -> str:
        return f"({text})::json"

    def member(self, text: str, name: str) -> str:
        return f"({text}::json -> '{name}')"

    def item_member(self, text: str, index: str, name: str) -> str:
        return f"({text}::json -> {index} ->> '{name}')"

    def object(self, pairs: Mapping[str, str]) -> str:
        return f"json_build_object({_arguments(pairs)})::text"

    def members(self, pairs: Mapping[str, str]) -> str:
        return f"trim(both '{{}}' from {self.object(pairs)})"

    def array(self, column: str, source: str) -> str:
        return f"(SELECT coalesce(json_agg({column} ORDER BY {column})::text, '[]') {source})"

    def with_members(self, text: str, pairs: Mapping[str, str]) -> str:
        # The last one of two members of the same name is the one that readers take.
        more = self.members(pairs)
        return f"(CASE {text} WHEN '{{}}' THEN '{{' ELSE left({text}, -1) || ',' END || {more} || '}}')"

    def moment(self, seconds: str) -> str:
        at = f"to_timestamp(coalesce({seconds}, 0)) AT TIME ZONE 'UTC'"
        return f"""to_char({at}, 'YYYY-MM-DD"T"HH24:MI:SS.US')"""

    def differ(self, one: str, other: str) -> str:
        return f"{one} IS DISTINCT FROM {other}"


class MariaDB(Speech):
    """MariaDB's words."""

    name = "mariadb"
    now = "UNIX_TIMESTAMP(NOW(6))"

    def quote(self, text: str) -> str:
        return f"IFNULL(JSON_QUOTE({text}), 'null')"

    def true_or_false(self, truth: str) -> str:
        return f"JSON_EXTRACT(IF({truth}, 'true', 'false'), '$')"

    def embed(self, text: str) -> str:
        return f"JSON_EXTRACT({text}, '$')"

    def member(self, text: str, name: str) -> str:
        return f"JSON_EXTRACT({text}, '$.{name}')"

    def item_member(self, text: str, index: str, name: str) -> str:
        return f"JSON_VALUE({text}, CONCAT('$[', {index}, '].{name}'))"

    def object(self, pairs: Mapping[str, str]) -> str:
        return f"JSON_OBJECT({_arguments(pairs)})"

    def members(self, pairs: Mapping[str, str]) -> str:
        return f"TRIM(LEADING '{{' FROM TRIM(TRAILING '}}' FROM {self.object(pairs)}))"

    def array(self, column: str, source: str) -> str:
        return f"(SELECT IFNULL(JSON_ARRAYAGG({column} ORDER BY {column}), '[]') {source})"

    def join(self, *texts: str) -> str:
        return f"CONCAT({', '.join(texts)})"

    def with_members(self, text: str, pairs: Mapping[str, str]) -> str:
        return f"JSON_SET({text}, {_paths(pairs)})"

    def moment(self, seconds: str) -> str:
        return f"DATE_FORMAT(FROM_UNIXTIME(IFNULL({seconds}, 0)), '%Y-%m-%dT%H:%i:%s.%f')"

    def differ(self, one: str, other: str) -> str:
        return f"NOT ({one} <=> {other})"

    def column(self, row: str, name: str) -> str:
        return f"{row}.`{name}`"


_ALL = {speech.name: speech for speech in (Speech(), PostgreSQL(), MariaDB())}


def of(dialect: str) -> Speech:
    """The words of the database that SQLAlchemy calls so."""
    return _ALL["mariadb" if dialect == "mysql" else dialect]


class Sql(msgspec.Struct, frozen=True):
    """The same SQL in each way to say it."""

    sqlite: str
    postgresql: str
    mariadb: str


def each(said: Callable[[Speech], str]) -> Sql:
    """``said`` in the words of each."""
    return Sql(**{name: said(speech) for name, speech in _ALL.items()})


class Said(ColumnElement[str]):
    """``Sql`` as an expression of a text."""

    inherit_cache = True
    type = String()
    _traverse_internals = [("sql", InternalTraversal.dp_plain_obj)]  # noqa: RUF012 - as SQLAlchemy has it

    def __init__(self, sql: Sql) -> None:
        self.sql = sql


def _arguments(pairs: Mapping[str, str]) -> str:
    return ", ".join(f"'{name}', {value}" for name, value in pairs.items())


def _paths(pairs: Mapping[str, str]) -> str:
    return ", ".join(f"'$.{name}', {value}" for name, value in pairs.items())


@compiles(Said)
def _say(element: Said, compiler: Any, **_: Any) -> str:  # pyright: ignore[reportUnusedFunction] # called by SQLAlchemy
    return compiler.post_process_text(getattr(element.sql, of(compiler.dialect.name).name))
