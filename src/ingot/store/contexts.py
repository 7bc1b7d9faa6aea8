"""What a node's drivers are given of it: its row, its ports, its secrets; for many nodes in three statements.

May not: open a secret.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection, bindparam

from ingot.domain import errors, node
from ingot.store import nodes, portgroups, ports, rows
from ingot.store import runs as run_store
from ingot.store.schema import nodes as nodes_table
from ingot.store.schema import runs


class Loaded(NamedTuple):
    """A node as stored, its secrets and its agent's token sealed."""

    node: node.Node
    ports: list[node.Port]
    portgroups: list[node.Portgroup]
    sealed: str | None
    token: str | None


class Held(NamedTuple):
    """A node whose run a lease holds, its agent's token sealed; ``asked``: that the run shall stop, and why.

    ``until``: the run's deadline, which is later once a hold has ended.
    """

    node: node.Node
    token: str | None
    asked: bool
    reason: str | None
    until: float


_OF_RUN = (runs.c.abort_requested.label("asked"), runs.c.reason.label("because"), runs.c.deadline.label("until"))
_HELD = nodes.WHOLE.add_columns(*_OF_RUN).where(
    nodes_table.c.uuid == runs.c.node_uuid,
    runs.c.id == bindparam("of_run"),
    runs.c.generation == bindparam("of_generation"),
)


def get_held(connection: Connection, lease: run_store.Lease) -> Held:
    """The node of a run that ``lease`` is still the right to work on. Raises errors.LostLease."""
    row = connection.execute(_HELD, {"of_run": lease.run_id, "of_generation": lease.generation}).first()
    if row is None:
        raise errors.LostLease()
    return Held(rows.from_row(row, node.Node), row.agent_token, bool(row.asked), row.because, row.until)


def get(connection: Connection, ident: str) -> Loaded:
    """Of the node with this uuid or name. Raises errors.NotFound."""
    found, sealed, token = nodes.get_sealed(connection, ident)
    cards, groups = ports.list_of_node(connection, found.uuid), portgroups.list_of_node(connection, found.uuid)
    return Loaded(found, cards, groups, sealed, token)


def of_nodes(connection: Connection, uuids: list[str]) -> dict[str, Loaded]:
    """Of many nodes by uuid; nodes that are gone are absent."""
    cards, groups = ports.of_nodes(connection, uuids), portgroups.of_nodes(connection, uuids)
    return {
        found.uuid: Loaded(found, cards.get(found.uuid, []), groups.get(found.uuid, []), sealed, token)
        for found, sealed, token in nodes.list_sealed(connection, uuids)
    }
