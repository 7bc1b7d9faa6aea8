"""Inspection rules in the database, and what they found about a node. May not: decide.

Invariant: conditions and actions are sealed, bound to the rule's uuid: they may hold what nobody is to read.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from ingot.domain import errors, rule_actions, secrets
from ingot.domain.inspection_rules import Rule
from ingot.store import history, nodes, ports, rows, taken
from ingot.store.paging import Page, paged
from ingot.store.schema import inspection_rules as table
from ingot.store.seal import Sealer

_SEALED = ("driver_info", "instance_info")


def create(connection: Connection, sealer: Sealer, value: Rule) -> Rule:
    """Store a new rule. Raises errors.Conflict when its uuid is taken."""
    try:
        connection.execute(insert(table).values(**_row(sealer, value), created_at=rows.now()))
    except IntegrityError as error:
        raise taken.conflict(error, "rule", uuid=value.uuid) from error
    return get(connection, sealer, value.uuid)


def get(connection: Connection, sealer: Sealer, uuid: str) -> Rule:
    """The rule with this uuid. Raises errors.NotFound."""
    row = connection.execute(select(table).where(table.c.uuid == uuid)).first()
    if row is None:
        raise errors.NotFound(f"Rule {uuid} could not be found.", hint="List the inspection rules.")
    return _from(sealer, row)


def list_page(connection: Connection, sealer: Sealer, page: Page) -> list[Rule]:
    """One page of rules."""
    return [_from(sealer, row) for row in connection.execute(paged(connection, table, select(table), page))]


def list_all(connection: Connection, sealer: Sealer) -> list[Rule]:
    """Every rule, oldest first."""
    return [_from(sealer, row) for row in connection.execute(select(table).order_by(table.c.id))]


def change(connection: Connection, sealer: Sealer, value: Rule) -> None:
    """Replace a rule that exists."""
    values = {**_row(sealer, value), "updated_at": rows.now()}
    connection.execute(update(table).where(table.c.uuid == value.uuid).values(values))


def destroy(connection: Connection, uuid: str) -> None:
    """Remove a rule. Raises errors.NotFound."""
    if connection.execute(delete(table).where(table.c.uuid == uuid)).rowcount == 0:
        raise errors.NotFound(f"Rule {uuid} could not be found.", hint="List the inspection rules.")


def destroy_all(connection: Connection) -> None:
    """Remove every rule."""
    connection.execute(delete(table))


def keep(connection: Connection, sealer: Sealer, node_uuid: str, found: rule_actions.Findings) -> None:
    """Write what rules changed about a node; secrets among it are sealed.

    Raises errors.Conflict on a taken name.
    """
    columns = dict(found.node)
    touched = [name for name in _SEALED if name in columns]
    if touched:
        sealed, _ = nodes.get_secrets(connection, node_uuid)
        known: dict[str, Any] = sealer.open(node_uuid, sealed) or {}
        for name in touched:
            columns[name], hidden = secrets.split(columns[name], known.get(name, {}), instance=name == "instance_info")
            known[name] = hidden
        columns["secrets"] = sealer.seal(node_uuid, known)
    if columns or found.traits is not None:
        nodes.change(connection, node_uuid, **columns)
    if found.traits is not None:
        nodes.set_traits(connection, node_uuid, found.traits)
    for uuid, values in found.ports.items():
        ports.change(connection, uuid, **values)
    present = history.find_inventory(connection, node_uuid)
    if found.plugin_data is not None and present is not None:
        history.set_inventory(connection, node_uuid, present[1], found.plugin_data)


def _row(sealer: Sealer, value: Rule) -> dict[str, Any]:
    hidden = {"conditions": value.conditions, "actions": value.actions}
    shown = {name: getattr(value, name) for name in ("uuid", "description", "priority", "sensitive", "phase")}
    return {**shown, "secrets": sealer.seal(value.uuid, hidden)}


def _from(sealer: Sealer, row: Row[Any]) -> Rule:
    return rows.from_row(row, Rule, **sealer.open(row.uuid, row.secrets))
