"""Which of a row's unique columns was taken, as an error that says so.

May not: query. Invariant: the column is read from the database's own complaint, so nothing races.
"""

from __future__ import annotations

from sqlalchemy.exc import IntegrityError

from ingot.domain import errors
from ingot.store import rows

_WORDS = {"uuid": "UUID", "address": "MAC address"}


def conflict(error: IntegrityError, what: str, **unique: str | None) -> errors.Conflict:
    """``what``: the noun; ``unique``: column -> the value that was to be stored. The first is meant when none fits."""
    told = rows.taken(error)
    column = told if told in unique else next(iter(unique))
    text = f"A {what} with {_WORDS.get(column, column)} {unique[column]} already exists."
    return errors.Conflict(text, hint="Choose another one.")
