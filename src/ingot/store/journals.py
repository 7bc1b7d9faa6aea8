"""The journals of runs: lines that say where each stands (``domain.runs.fold``).

What a crash means: a step between its ``started`` and its ``succeeded`` was cut, and its resume rule decides.
May not: judge a line. Invariant: a line is written by the holder of the run's lease alone, and never changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, bindparam, insert, select

from ingot.domain import errors, node, runs
from ingot.store.runs import OF_LEASE, Lease, named
from ingot.store.schema import nodes as nodes_table
from ingot.store.schema import run_events as table
from ingot.store.schema import runs as runs_table

_COLUMNS = ("run_id", "seq", "step", "event", "detail", "at")
_ADD = insert(table)
# The value of each column, as a row for each run that the lease still holds: one or none.
_LINE = select(*(bindparam(f"of_{name}", type_=table.c[name].type) for name in _COLUMNS)).where(*OF_LEASE)
_ADD_HELD = insert(table).from_select(list(_COLUMNS), _LINE.select_from(runs_table))
_SAME = (
    runs_table.c.abort_requested.is_(False),
    nodes_table.c.uuid == runs_table.c.node_uuid,
    nodes_table.c.updated_at == bindparam("seen_at"),
)
_ADD_KNOWN = insert(table).from_select(list(_COLUMNS), _LINE.select_from(runs_table, nodes_table).where(*_SAME))
_OF_RUN = select(table).where(table.c.run_id == bindparam("of_run")).order_by(table.c.seq)
_OF_RUNS = (
    select(table).where(table.c.run_id.in_(bindparam("of_runs", expanding=True))).order_by(table.c.run_id, table.c.seq)
)


def append(connection: Connection, lease: Lease, first: runs.Entry, *more: runs.Entry) -> None:
    """Write lines. Raises errors.LostLease when another conductor has the run."""
    line = {f"of_{name}": value for name, value in _line(lease, first).items()}
    if connection.execute(_ADD_HELD, {**line, **named(lease)}).rowcount != 1:
        raise errors.LostLease()
    add(connection, lease, more)


def add(connection: Connection, lease: Lease, entries: Sequence[runs.Entry]) -> None:
    """``append`` in a unit that has asked for the lease already."""
    if entries:
        connection.execute(_ADD, [_line(lease, each) for each in entries])


def append_known(connection: Connection, lease: Lease, known: node.Node, entries: Sequence[runs.Entry]) -> bool:
    """``append`` where, too, the run shall not stop and nobody has changed its node since ``known`` was read.

    Whether it was done; see ``nodes.change_known``.
    """
    line = {f"of_{name}": value for name, value in _line(lease, entries[0]).items()}
    if connection.execute(_ADD_KNOWN, {**line, **named(lease), "seen_at": known.updated_at}).rowcount != 1:
        return False
    add(connection, lease, entries[1:])
    return True


def _line(lease: Lease, entry: runs.Entry) -> dict[str, Any]:
    told = {"seq": entry.seq, "step": entry.step, "event": entry.mark, "detail": entry.detail, "at": entry.at}
    return {"run_id": lease.run_id, **told}


def get(connection: Connection, run_id: str) -> list[runs.Entry]:
    """The journal of a run in order."""
    return [_entry(row) for row in connection.execute(_OF_RUN, {"of_run": run_id})]


def of_runs(connection: Connection, run_ids: list[str]) -> dict[str, list[runs.Entry]]:
    """The journal of each of these runs, in order; those without a line are absent."""
    found: dict[str, list[runs.Entry]] = {}
    for row in connection.execute(_OF_RUNS, {"of_runs": run_ids}):
        found.setdefault(row.run_id, []).append(_entry(row))
    return found


def _entry(row: Row[Any]) -> runs.Entry:
    return runs.Entry(row.seq, row.step, runs.Mark(row.event), row.at, row.detail)
