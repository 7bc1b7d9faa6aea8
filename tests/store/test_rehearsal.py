"""A unit that is run without a connection: what it asks, and what it makes of the answer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, bindparam, create_engine, insert, select, text, update

from ingot.domain import errors
from ingot.store import quick, rehearsal
from ingot.store.quick import QuickConnection
from ingot.store.schema import users

ROW = {"name": "ann", "password_hash": "x", "role": "admin", "created_at": "now"}
BY_NAME = select(users).where(users.c.name == bindparam("ident"))
RENAMED = update(users).where(users.c.name == bindparam("ident")).values(role="member")


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[QuickConnection]:
    """One that knows the statements above: each was met twice."""
    with QuickConnection(create_engine(f"sqlite:///{tmp_path}/t.db")) as made:
        users.create(made)
        made.execute(insert(users), ROW)
        for _ in range(2):
            made.execute(BY_NAME, {"ident": "ann"}).all()
            made.execute(RENAMED, {"ident": "nobody"})
        yield made


def role(connection: Connection, name: str) -> str:
    row = connection.execute(BY_NAME, {"ident": name}).first()
    if row is None:
        raise errors.NotFound(f"{name} is not there")
    return row.role


def answered(connection: QuickConnection, work: Any, asked: quick.Asked) -> Any:
    """What ``work`` gives when ``connection`` has answered what it asked."""
    cursor = connection.connection.cursor().execute(asked.plan.sql, asked.lines[0])
    assert cursor is not None
    return rehearsal.told(work, connection.dialect, quick.Found(connection, cursor, asked.plan.row, asked.plan.sql))


def test_a_unit_gives_with_an_answer_what_it_gives_with_a_connection(connection: QuickConnection) -> None:
    for name in ("ann", "nobody"):

        def work(there: Connection, name: str = name) -> str:
            return role(there, name)

        asked = rehearsal.asked_by(work, connection.dialect)
        assert asked is not None
        assert asked.lines == [(name,)]
        if name == "ann":
            assert answered(connection, work, asked) == role(connection, "ann") == "admin"
        else:
            with pytest.raises(errors.NotFound, match="nobody is not there"):
                answered(connection, work, asked)


def test_a_unit_that_asks_again_is_told_so(connection: QuickConnection) -> None:
    def twice(there: Connection) -> list[str]:
        return [role(there, "ann"), role(there, "ann")]

    asked = rehearsal.asked_by(twice, connection.dialect)
    assert asked is not None
    with pytest.raises(rehearsal.AsksAgain):
        answered(connection, twice, asked)


def test_what_is_not_one_known_statement_that_reads_needs_a_connection(connection: QuickConnection) -> None:
    refused: list[Any] = [
        lambda there: there.execute(RENAMED, {"ident": "ann"}),
        lambda there: there.execute(BY_NAME, [{"ident": "ann"}, {"ident": "bob"}]),
        lambda there: there.exec_driver_sql("SELECT 1"),
        lambda there: "nothing asked",
    ]
    assert [rehearsal.asked_by(work, connection.dialect) for work in refused] == [None] * 4


def test_a_statement_that_is_only_rehearsed_does_not_become_known(connection: QuickConnection) -> None:
    statement = text("SELECT role FROM users").columns(users.c.role)
    for _ in range(3):
        assert rehearsal.asked_by(lambda there: there.execute(statement), connection.dialect) is None
    assert quick.plan(statement, None, connection.dialect) is None  # met here for the first time
    assert rehearsal.asked_by(lambda there: there.execute(statement), connection.dialect) is not None


def test_what_a_unit_raises_before_it_asks_is_raised(connection: QuickConnection) -> None:
    def refuse(_: Connection) -> None:
        raise errors.Invalid("no such name")

    with pytest.raises(errors.Invalid):
        rehearsal.asked_by(refuse, connection.dialect)
