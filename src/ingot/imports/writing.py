"""Carrying out a plan: rows sealed and written in small units, so that a service on the same database goes on.

May not: judge. Invariants: a node is written with all its parts in one unit; what was written is on record before
(``records.py``), so that it can be undone wherever it was cut.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import Connection, exc, insert

from ingot.deps import Deps
from ingot.domain import secrets
from ingot.imports import plan as plans
from ingot.imports.source import Row
from ingot.store import rows, schema, units
from ingot.store.seal import Sealer

BATCH = 100
"""Nodes in one unit: about a tenth of a second in which nobody else writes."""
Parts = Callable[[list[plans.Coming]], dict[str, list[Row]]]


async def write(deps: Deps, plan: plans.Plan, parts: Parts, tell: Callable[[int], None]) -> list[plans.Stays]:
    """Write what the plan brings; what did not fit after all. ``tell``: hears how many nodes are written."""
    await deps.store.run(_insert_all, deps.sealer, plan.shared)
    failed: list[plans.Stays] = []
    for start in range(0, len(plan.nodes), BATCH):
        batch = plan.nodes[start : start + BATCH]
        failed += await deps.store.run(_write_batch, deps.sealer, parts(batch))
        tell(start + len(batch))
    return failed


def _write_batch(connection: Connection, sealer: Sealer, found: dict[str, list[Row]]) -> list[plans.Stays]:
    """All nodes of the batch at once, or one by one when something is in the way of one of them."""
    _, failure = units.attempt(connection, lambda one: _insert_all(one, sealer, found), "batch")
    if failure is None:
        return []
    if not isinstance(failure, exc.IntegrityError):
        raise failure
    stays: list[plans.Stays] = []
    for node in found["nodes"]:
        own = {table: [row for row in values if _owner(row) == node["uuid"]] for table, values in found.items()}
        own["nodes"] = [node]
        _, failure = units.attempt(connection, lambda one, own=own: _insert_all(one, sealer, own), "node")
        if isinstance(failure, exc.IntegrityError):
            reason = f"Something of it is here already, under another node: {failure.orig}"
            stays.append(plans.Stays("node", node["uuid"], node["name"], reason))
        elif failure is not None:
            raise failure
    return stays


def _owner(row: Row) -> Any:
    return row.get("node_uuid")


def _insert_all(connection: Connection, sealer: Sealer, found: dict[str, list[Row]]) -> None:
    for name, values in found.items():
        made = (rows.encode(_sealed(name, row, sealer)) for row in values)
        for part in _chunks(made, BATCH):
            connection.execute(insert(schema.metadata.tables[name]), part)


def _chunks(values: Iterable[Row], size: int) -> Iterable[list[Row]]:
    walk = iter(values)
    while part := list(itertools.islice(walk, size)):
        yield part


def _sealed(table: str, row: Row, sealer: Sealer) -> Row:
    """The row with its secrets sealed in their own column, as the store of that table keeps them."""
    hidden: Row = {}
    if table == "nodes":
        row = {**row}
        for name in ("driver_info", "instance_info"):
            row[name], kept = secrets.split(row[name], {}, instance=name == "instance_info")
            if kept:
                hidden[name] = kept
    elif table in {"deploy_templates", "runbooks"}:
        shown, hidden = secrets.split({"steps": row["steps"]}, {})
        row = {**row, **shown}
    elif table == "volume_targets":
        shown, hidden = secrets.split(row["properties"], {})
        row = {**row, "properties": shown}
    elif table == "inspection_rules":
        hidden = {name: row[name] for name in ("conditions", "actions")}
        row = {name: value for name, value in row.items() if name not in hidden}
    return {**row, "secrets": sealer.seal(row["uuid"], hidden)} if hidden else row
