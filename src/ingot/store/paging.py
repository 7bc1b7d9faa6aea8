"""One page of a table: order by (sort key, id) and start after the marker, so that nothing is lost or repeated."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Select, Table, literal, or_, select

from ingot.domain import errors


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Which part of a list, in which order. ``marker``: uuid of the last item already seen."""

    limit: int = 1000
    marker: str | None = None
    sort_key: str = "id"
    descending: bool = False


def paged(connection: Connection, table: Table, statement: Select[Any], page: Page) -> Select[Any]:
    """``statement`` on ``table`` (which has id and uuid) cut to a page. Raises NotFound for an unknown marker."""
    key: ColumnElement[Any] = table.c[page.sort_key]
    row_id: ColumnElement[Any] = table.c.id
    if page.marker is not None:
        statement = statement.where(_after(connection, table, page))
    order = (key.desc(), row_id.desc()) if page.descending else (key.asc(), row_id.asc())
    if connection.dialect.name == "postgresql" and table.c[page.sort_key].nullable:
        order = (order[0].nulls_last() if page.descending else order[0].nulls_first(), order[1])
    return statement.order_by(*order).limit(page.limit)


def _after(connection: Connection, table: Table, page: Page) -> ColumnElement[bool]:
    key: ColumnElement[Any] = table.c[page.sort_key]
    row_id: ColumnElement[Any] = table.c.id
    marker = connection.execute(select(row_id, key.label("key")).where(table.c.uuid == page.marker)).first()
    if marker is None:
        raise errors.NotFound(f"{_noun(table)} {page.marker} could not be found.", hint="It was given as the marker.")
    ids_after = row_id < marker.id if page.descending else row_id > marker.id
    if page.sort_key == "id":
        return ids_after
    if marker.key is None:
        # Nulls sort first ascending and last descending (SQLite, MariaDB; PostgreSQL is told to).
        same = key.is_(None) & ids_after
        return same if page.descending else or_(same, key.is_not(None))
    seen = literal(marker.key, key.type)  # SQL knows no "> true", only a parameter that is true
    if page.descending:
        return or_((key < seen) | key.is_(None), (key == seen) & ids_after)
    return (key >= seen) & or_(key > seen, ids_after)  # so an index on the key begins at the marker


def _noun(table: Table) -> str:
    """What people call a row."""
    name = {"inspection_rules": "rules", "node_history": "node_history_record"}.get(table.name, table.name)
    return name.replace("_", " ").removesuffix("s" if name != "chassis" else "").capitalize()
