"""Which of a row's unique columns was taken, as an error that says so.

May not: query. Invariant: the column is read from the database's own complaint, so nothing races.
"""

from __future__ import annotations

import re

from sqlalchemy.exc import IntegrityError

from ingot.domain import errors

_WORDS = {"uuid": "UUID", "address": "MAC address"}


def conflict(error: IntegrityError, what: str, **unique: str | None) -> errors.Conflict:
    """``what``: the noun; ``unique``: column -> the value that was to be stored. The first is meant when none fits."""
    complaint = str(error.orig)
    named = [column for column in unique if re.search(rf"\b\w+\.{column}\b|\({column}\)", complaint)]
    column = (named or list(unique))[0]
    text = f"A {what} with {_WORDS.get(column, column)} {unique[column]} already exists."
    return errors.Conflict(text, hint="Choose another one.")
