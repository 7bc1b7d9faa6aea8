"""What the columns of every table are made of; the tables are in machines.py and schema.py.

Invariant: JSON is stored as compact text (so that reads can splice it unparsed); public times are ISO 8601 text, times
only the engine compares are epoch seconds.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Column, ForeignKey, Integer, MetaData, String, Text

metadata = MetaData()

UUID = String(36)
TIME = String(40)
COUNT = BigInteger().with_variant(Integer, "sqlite")
"""Of rows that come for ever. SQLite's integers are always wide enough, and only its INTEGER counts by itself."""


def json(name: str) -> Column[str]:
    """A column of JSON text, ``{}`` unless told otherwise."""
    return Column(name, Text, nullable=False, server_default="{}")


def identity() -> tuple[Column[Any], ...]:
    """What a record is found by: a number in the order of making, and its UUID."""
    return Column("id", Integer, primary_key=True, autoincrement=True), Column(
        "uuid", UUID, nullable=False, unique=True
    )


def of_node() -> Column[str]:
    """The node that the record is part of, and goes with."""
    return Column("node_uuid", UUID, ForeignKey("nodes.uuid", ondelete="CASCADE"), nullable=False, index=True)


def times() -> tuple[Column[str], ...]:
    """When the record was made and last changed."""
    return Column("created_at", TIME, nullable=False), Column("updated_at", TIME)
