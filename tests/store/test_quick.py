"""The short way to SQLite gives what SQLAlchemy's own gives: rows, counts and errors."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import Connection, bindparam, exc, insert, select, update

from ingot.store import plans, rows, schema
from ingot.store.plans import SHAPES
from ingot.store.quick import Found, QuickConnection

THREE = range(3)
"""A statement goes SQLAlchemy's way the first time, is compiled the second and known the third."""


@pytest.fixture
def both(tmp_path: Path) -> Iterator[tuple[Connection, Connection]]:
    """A connection of the short way and one of SQLAlchemy's own to the same tables."""
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path / 'a.db'}", isolation_level="AUTOCOMMIT")
    schema.metadata.create_all(engine)
    with QuickConnection(engine) as quick, engine.connect() as plain:
        yield quick, plain
    engine.dispose()


def make(connection: Connection, number: int, **more: Any) -> None:
    values = {"uuid": f"u{number}", "name": f"n{number}", "driver": "fake-hardware", "provision_state": "enroll"}
    connection.execute(_INSERT, {**values, "created_at": "now", **more})


_INSERT = insert(schema.nodes)
_BY_NAME = select(schema.nodes).where(schema.nodes.c.name == bindparam("ident"))


def test_a_row_is_the_same_each_time_and_as_sqlalchemy_has_it(both: tuple[Connection, Connection]) -> None:
    quick, plain = both
    for number in THREE:
        make(quick, number, maintenance=number == 1, retired=True, description=None)
    for number in THREE:
        asked = {"ident": f"n{number}"}
        wanted, found = plain.execute(_BY_NAME, asked).first(), quick.execute(_BY_NAME, asked).first()
        assert wanted is not None
        assert found is not None
        assert rows.as_dict(found) == rows.as_dict(wanted)
        assert found.maintenance is (number == 1)
        assert tuple(found) == tuple(wanted)


def test_values_within_a_statement_stay_its_own(both: tuple[Connection, Connection]) -> None:
    quick, _ = both
    for number in THREE:
        make(quick, number)
    for number in THREE:
        change = update(schema.nodes).where(schema.nodes.c.name == f"n{number}").values(description=f"of {number}")
        assert [quick.execute(change).rowcount for _ in THREE] == [1, 1, 1]
        seen = select(schema.nodes.c.description).where(schema.nodes.c.name == f"n{number}")
        assert [quick.execute(seen).scalar() for _ in THREE] == [f"of {number}"] * 3


def test_other_names_of_values_are_another_statement(both: tuple[Connection, Connection]) -> None:
    quick, _ = both
    make(quick, 0)
    change = update(schema.nodes).where(schema.nodes.c.name == bindparam("ident"))
    for value in ("a", "b", "c"):
        quick.execute(change, {"description": value, "ident": "n0"})
        quick.execute(change, {"owner": value, "lessee": None, "ident": "n0"})
        found = quick.execute(_BY_NAME, {"ident": "n0"}).first()
        assert found is not None
        assert (found.description, found.owner, found.lessee) == (value, value, None)


def test_errors_are_sqlalchemys_and_name_the_column(both: tuple[Connection, Connection]) -> None:
    quick, _ = both
    make(quick, 0)
    for _ in THREE:
        with pytest.raises(exc.IntegrityError) as caught:
            make(quick, 0, uuid="another")
        assert rows.taken(caught.value) == "name"
        assert "fake-hardware" not in str(caught.value)
    for _ in THREE:
        with pytest.raises(exc.StatementError):
            quick.execute(_BY_NAME, {})
    with pytest.raises(exc.OperationalError):
        quick.exec_driver_sql("SELECT nothing FROM nowhere")


def test_a_connection_that_was_closed_is_not_used_any_more(both: tuple[Connection, Connection]) -> None:
    quick, _ = both
    make(quick, 0)
    for _ in THREE:
        quick.execute(_BY_NAME, {"ident": "n0"})
    quick.close()
    with pytest.raises(exc.ResourceClosedError):
        quick.execute(_BY_NAME, {"ident": "n0"})
    with pytest.raises(exc.ResourceClosedError):
        quick.exec_driver_sql("SELECT 1")


def test_a_statement_that_is_only_looked_at_is_not_met_by_that(both: tuple[Connection, Connection]) -> None:
    quick, _ = both
    make(quick, 0)
    fresh, asked = select(schema.nodes.c.uuid).where(schema.nodes.c.name == bindparam("ident")), {"ident": "n0"}

    def known() -> bool:
        return plans.plan(fresh, asked, quick.dialect, meet=False) is not None

    assert [known() for _ in THREE] == [False] * 3
    assert quick.execute(fresh, asked).scalar() == "u0"
    assert known(), "it was run once"
    assert quick.execute(fresh, asked).scalar() == "u0"


def test_any_number_of_shapes_is_answered_and_few_are_kept(both: tuple[Connection, Connection]) -> None:
    quick, _ = both
    make(quick, 0)
    change = update(schema.nodes).where(schema.nodes.c.name == bindparam("ident"))
    fields = ("description", "owner", "lessee", "shard", "fault", "protected_reason")
    short = 0
    for number, names in enumerate(itertools.permutations(fields)):
        done: object = quick.execute(change, {**dict.fromkeys(names, f"{number}"), "ident": "n0"})
        short += isinstance(done, Found)
        found = quick.execute(_BY_NAME, {"ident": "n0"}).first()
        assert found is not None
        assert (found.owner, found.fault) == (f"{number}", f"{number}")
    assert short == SHAPES


def test_lists_of_any_length_and_many_rows_are_taken(both: tuple[Connection, Connection]) -> None:
    quick, _ = both
    for number in THREE:
        make(quick, number)
    among = select(schema.nodes.c.name).where(schema.nodes.c.name.in_(bindparam("names", expanding=True)))
    traits = insert(schema.node_traits)
    for number in THREE:
        names = [f"n{each}" for each in range(number + 1)]
        assert sorted(quick.execute(among, {"names": names}).scalars()) == names
        quick.execute(traits, [{"node_uuid": f"u{number}", "trait": trait} for trait in ("A", "B")])
    assert len(quick.execute(select(schema.node_traits)).all()) == 6


def test_a_result_counts_its_rows(both: tuple[Connection, Connection]) -> None:
    quick, plain = both
    make(quick, 0)
    every = select(schema.nodes.c.uuid, schema.nodes.c.name).order_by(schema.nodes.c.id)
    for _ in THREE:
        assert tuple(quick.execute(every).one()) == ("u0", "n0")
        assert quick.execute(every).scalar_one() == "u0"
        assert [row.name for row in quick.execute(every)] == ["n0"]
    make(quick, 1)
    with pytest.raises(exc.MultipleResultsFound):
        quick.execute(every).one()
    quick.exec_driver_sql("DELETE FROM nodes")
    with pytest.raises(exc.NoResultFound):
        quick.execute(every).one()
    assert quick.execute(every).first() is None
    assert plain.execute(every).first() is None
