"""Units of different nodes side by side on one connection, so that the same statement of many is one message.

Why: a message to a server and its answer cost ten times what a statement within costs, and units are alike: all begin
with the node's row. Each unit runs in a lane, a greenlet that stops where it asks; what most lanes wait for is asked
next. Docs: docs/decisions/0032. May not: know a table. Invariant: what comes out is what the units one after another
would have given; where that is not sure, nothing of it is kept.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Sequence
from typing import Any, cast

import msgspec
from sqlalchemy import Connection, CursorResult, Dialect, Executable
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.sql.expression import SelectBase

from ingot.store import plans, units
from ingot.store.plans import Asked, Values
from ingot.store.quick import QuickConnection
from ingot.store.units import Outcome, Unit, Work


class _Stopped(BaseException):
    """Thrown into a lane that is not to go on."""


class _Request(msgspec.Struct, frozen=True, eq=False):
    """What a lane waits for. ``asked``: None where SQLAlchemy has to run the statement."""

    asked: Asked | None
    statement: Executable
    parameters: Values | Sequence[Values] | None

    @property
    def kind(self) -> Hashable:
        """Requests of the same kind may be one message."""
        return id(self) if self.asked is None else (id(self.asked.plan), self.asked.whole)


class Lane:
    """What units in it have for a connection."""

    has_savepoints = False

    def __init__(self, connection: QuickConnection, works: Sequence[Work]) -> None:
        self.dialect: Dialect = connection.dialect
        self.outcomes: list[Outcome] = []
        self.void = False
        """Whether something has to be taken back."""
        self._connection, self._works = connection, works
        self._touched = False
        import greenlet  # one of the libraries for servers: who connects to one says how to get them

        self._run = greenlet.greenlet(self._run_all)
        self._run.gr_context = greenlet.getcurrent().gr_context

    @property
    def invalidated(self) -> bool:
        """As SQLAlchemy's."""
        return self._connection.invalidated

    def go_on(self, found: Any) -> _Request | None:
        """Give a lane what it waits for; what it asks next, None at its end. Raises what no unit may raise."""
        return self._run.switch(found)

    def stop(self) -> None:
        """End it where it is."""
        if self._run:  # it has begun and is not over
            self._run.throw(_Stopped)

    def execute(self, statement: Executable, parameters: Values | Sequence[Values] | None = None) -> CursorResult[Any]:
        """As a connection's, when its turn comes."""
        if not isinstance(statement, SelectBase):
            self._touched = True
        above = self._run.parent
        assert above is not None
        return above.switch(_Request(plans.plan(statement, parameters, self.dialect), statement, parameters))

    def exec_driver_sql(self, _statement: str, _parameters: tuple[Any, ...] = ()) -> CursorResult[Any]:
        """Not in a lane: who has savepoints of its own runs alone."""
        self.void = True
        raise _Stopped

    def _run_all(self, _: Any) -> None:
        for work in self._works:
            self._touched = False
            try:
                outcome = work(cast("Connection", self)), None
            except _Stopped:
                return
            except Exception as error:  # noqa: BLE001 - handed to who waits
                self.void = self._touched
                outcome = None, error
            self.outcomes.append(outcome)
            if self.void:
                return


def side_by_side(connection: QuickConnection, works: Sequence[Sequence[Work]]) -> list[list[Outcome]] | None:
    """The outcomes of works that do not touch what the others touch; those within a sequence one after another.

    None where something has to be taken back. Raises what a statement raises: then nobody knows whose it was.
    """
    lanes = [Lane(connection, own) for own in works]
    waiting: dict[Hashable, list[tuple[Lane, _Request]]] = {}
    ready: list[tuple[Lane, Any]] = [(lane, None) for lane in lanes]
    try:
        while ready:
            for lane, found in ready:
                request = lane.go_on(found)
                if lane.void:
                    return None
                if request is not None:
                    waiting.setdefault(request.kind, []).append((lane, request))
            ready = _answered(connection, waiting)
    finally:
        for lane in lanes:
            lane.stop()
    return [lane.outcomes for lane in lanes]


def _answered(
    connection: QuickConnection, waiting: dict[Hashable, list[tuple[Lane, _Request]]]
) -> list[tuple[Lane, Any]]:
    """Ask what most wait for, so that the others catch up with each other meanwhile."""
    if not waiting:
        return []
    together = waiting.pop(max(waiting, key=lambda kind: len(waiting[kind])))
    asked = [request.asked for _, request in together if request.asked is not None]
    if asked:
        return list(zip((lane for lane, _ in together), connection.execute_each(asked), strict=True))
    return [(lane, connection.long_way(one.statement, one.parameters)) for lane, one in together]


def straight(connection: QuickConnection, group: Sequence[Unit]) -> list[Outcome] | None:
    """The outcomes without savepoints, None where something has to be taken back.

    Units that follow each other and belong to a node each run side by side, those of one node one after another.
    """
    outcomes: list[Outcome] = []
    for of_nodes, stretch in itertools.groupby(group, lambda unit: unit.node is not None):
        part = list(stretch)
        found = _of_nodes(connection, part) if of_nodes else units.one_by_one(connection, part)
        if found is None:
            return None
        outcomes += found
    return outcomes


def _of_nodes(connection: QuickConnection, part: list[Unit]) -> list[Outcome] | None:
    places: dict[str | None, list[int]] = {}
    for at, unit in enumerate(part):
        places.setdefault(unit.node, []).append(at)
    if len(places) == 1:
        return units.one_by_one(connection, part)
    try:
        found = side_by_side(connection, [[part[at].work for at in own] for own in places.values()])
    except (SQLAlchemyError, OSError, UnicodeEncodeError):  # the last is a driver's, of a text that it did not send
        if connection.invalidated:
            raise
        return None
    if found is None:
        return None
    by_place = dict(zip(itertools.chain(*places.values()), itertools.chain(*found), strict=True))
    return [by_place[at] for at in range(len(part))]
