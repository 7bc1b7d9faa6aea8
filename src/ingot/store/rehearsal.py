"""A unit of one statement without a connection: stopped where it asks, and run again with the answer.

Why: who looks up a row awaits the driver, which a unit cannot; a greenlet that could costs more than the statement
(docs/decisions/0034). That a unit may be run twice is promised already. May not: know a table or a driver.
Invariant: what it gives is what it gives with a connection.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any, cast

from sqlalchemy import Connection, Dialect, Executable

from ingot.store import quick
from ingot.store.quick import Asked, Found, Values
from ingot.store.units import Work


class AsksAgain(BaseException):
    """The unit asks for something that it has no answer to, so it needs a connection."""


class _Stage:
    """What the unit has for a connection."""

    def __init__(self, dialect: Dialect, answer: Found | None = None) -> None:
        self.dialect = dialect
        self.asked: Asked | None = None
        self._answer = answer

    def execute(self, statement: Executable, parameters: Values | Sequence[Values] | None = None) -> Found:
        answer, self._answer = self._answer, None
        if answer is None:
            self.asked = quick.plan(statement, parameters, self.dialect, meet=False)
            raise AsksAgain
        return answer

    def exec_driver_sql(self, _statement: str, _parameters: tuple[Any, ...] = ()) -> Found:
        raise AsksAgain


def asked_by(work: Work, dialect: Dialect) -> Asked | None:
    """The first statement of a unit with its values, None unless it is known and reads. Raises what the unit raises."""
    stage = _Stage(dialect)
    with contextlib.suppress(AsksAgain):
        work(cast("Connection", stage))
    return stage.asked if stage.asked is not None and stage.asked.whole and stage.asked.plan.reads else None


def told(work: Work, dialect: Dialect, answer: Found) -> Any:
    """What the unit makes of the answer. Raises what it raises, and AsksAgain."""
    return work(cast("Connection", _Stage(dialect, answer)))
