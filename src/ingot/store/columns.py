"""What the columns of every table are made of; the tables are in machines.py and schema.py.

Invariant: JSON is stored as compact text (so that reads can splice it unparsed); public times are ISO 8601 text, times
only the engine compares are epoch seconds.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, MetaData, String, Text

metadata = MetaData()

UUID = String(36)
TIME = String(40)
COUNT = BigInteger().with_variant(Integer, "sqlite")
"""Of rows that come for ever. SQLite's integers are always wide enough, and only its INTEGER counts by itself."""


def json(name: str) -> Column[str]:
    """A column of JSON text, ``{}`` unless told otherwise."""
    return Column(name, Text, nullable=False, server_default="{}")
