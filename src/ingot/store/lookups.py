"""Units that look up one row: what is asked and what is made of the row, apart.

Why: who looks up a row on a server awaits the driver, which a plain function with a connection cannot
(docs/decisions/0034). May not: know a table or a driver. Invariant: with a connection or without, the same is given.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar, TypeVarTuple

from sqlalchemy import Connection, Executable

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
Question = tuple[Executable, Mapping[str, Any]]
"""A statement and its values."""


class LookUp(Generic[T, *Ts]):
    """A unit like any other where there is a connection.

    ``ask`` gives the question in the words of a dialect, ``tell`` makes of the row, or None, what the caller wants;
    both are given what the caller gave.
    """

    def __init__(self, ask: Callable[[str, *Ts], Question], tell: Callable[[Any, *Ts], T]) -> None:
        functools.update_wrapper(self, tell)
        self.ask, self.tell = ask, tell

    def __call__(self, connection: Connection, *args: *Ts) -> T:
        """What it gives on this connection."""
        statement, values = self.ask(connection.dialect.name, *args)
        return self.tell(connection.execute(statement, values).first(), *args)


def answers(ask: Callable[[str, *Ts], Question]) -> Callable[[Callable[[Any, *Ts], T]], LookUp[T, *Ts]]:
    """Make a look-up of a function that takes the row and what the caller gave."""
    return lambda tell: LookUp(ask, tell)
