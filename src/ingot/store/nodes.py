"""Nodes in the database: each function is one or part of one unit of work on a given connection.

May not: decide (rules live in domain and services). Invariant: no function here lets a secret leave in clear;
sealed text goes in and out as it is.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from sqlalchemy import (
    Connection,
    Select,
    Update,
    bindparam,
    delete,
    exists,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from ingot.domain import errors, ids, node, states
from ingot.store import documents, node_filters, rows, taken
from ingot.store.lookups import Question, answers
from ingot.store.paging import Page, paged
from ingot.store.schema import node_traits, nodes, ports, runs
from ingot.store.speech import Said, Speech, Sql, each

_TRAITS = each(lambda said: said.array("trait", "FROM node_traits WHERE node_uuid = nodes.uuid"))
WHOLE = select(nodes, Said(_TRAITS).label("traits"))
"""Every column of a node, and its traits."""
_BY_UUID = WHOLE.where(nodes.c.uuid == bindparam("ident"))
_BY_NAME = WHOLE.where(nodes.c.name == bindparam("ident"))
_AMONG = WHOLE.where(nodes.c.uuid.in_(bindparam("idents", expanding=True)))
_STATE = select(nodes.c.provision_state).where(nodes.c.uuid == bindparam("ident"))
_MARK = select(nodes.c.updated_at, nodes.c.secrets).where(nodes.c.uuid == bindparam("ident"))
_SECRETS = select(nodes.c.secrets, nodes.c.agent_token).where(nodes.c.uuid == bindparam("ident"))


def create(connection: Connection, value: node.Node, secrets: str | None) -> node.Node:
    """Store a new node. Raises errors.Conflict when uuid, name or instance_uuid is taken."""
    created_at = rows.now()
    row = rows.to_row(value, nodes, secrets=secrets, created_at=created_at)
    try:
        connection.execute(insert(nodes), row)
    except IntegrityError as error:
        raise _taken(error, value.uuid, value.name, value.instance_uuid) from error
    if value.traits:
        set_traits(connection, value.uuid, value.traits)
    return msgspec.structs.replace(value, created_at=created_at, traits=tuple(sorted(set(value.traits))))


def _whole(_: str, ident: str) -> Question:
    return _BY_UUID if ids.is_uuid(ident) else _BY_NAME, {"ident": ident}


@answers(_whole)
def find(row: Any, _ident: str) -> node.Node | None:
    """The node with this uuid or name, or None."""
    return None if row is None else rows.from_row(row, node.Node)


@answers(_whole)
def get(row: Any, ident: str) -> node.Node:
    """The node with this uuid or name. Raises errors.NotFound."""
    return rows.from_row(_there(row, ident), node.Node)


def _there(row: Any, ident: str) -> Any:
    if row is None:
        raise errors.NotFound(f"Node {ident} could not be found.")
    return row


def get_again(connection: Connection, known: node.Node) -> tuple[node.Node, str | None]:
    """``known`` where nobody has changed the node since it was read, else as it is now; with its sealed secrets.

    Its lock, and what power sync saw of it, may be newer: they do not touch ``updated_at``. Raises errors.NotFound.
    """
    row = connection.execute(_MARK, {"ident": known.uuid}).first()
    if row is None or row.updated_at != known.updated_at:
        return get_sealed(connection, known.uuid)[:2]
    return known, row.secrets


def find_by_macs(connection: Connection, addresses: list[str]) -> list[node.Node]:
    """Every node that has a port with one of these MAC addresses."""
    found = connection.execute(select(ports.c.node_uuid).where(ports.c.address.in_(addresses)).distinct())
    return [get(connection, uuid) for uuid in found.scalars()]


def find_other_agent(connection: Connection, uuid: str, url: str, since: float) -> tuple[str, float] | None:
    """(uuid, time) of another node than ``uuid`` whose agent called from ``url`` later than ``since`` (epoch s)."""
    heard = nodes.c.agent_heartbeat_at
    statement = select(nodes.c.uuid, heard).where(nodes.c.agent_url == url, nodes.c.uuid != uuid, heard > since)
    row = connection.execute(statement.order_by(heard.desc()).limit(1)).first()
    return None if row is None else (row.uuid, row.agent_heartbeat_at)


def list_documents(
    connection: Connection, where: node_filters.Filter, page: Page, document: documents.Document
) -> documents.Listed:
    """One page of nodes as JSON."""
    found = [nodes.c.uuid, documents.rendering(document, connection.dialect.name)]
    statement = select(*found).where(*node_filters.conditions(where))
    return documents.collect(connection, paged(connection, nodes, statement, page))


def _document(dialect: str, ident: str, document: documents.Document) -> Question:
    return documents.statement(document, "nodes", "uuid" if ids.is_uuid(ident) else "name", dialect), {"ident": ident}


@answers(_document)
def get_document(row: Any, ident: str, document: documents.Document) -> bytes:
    """One node by uuid or name as JSON. Raises errors.NotFound."""
    return documents.read(document, _there(row, ident))


def _with_agent(said: Speech) -> str:
    """The stored facts with what is known of a node's agent beside them; its token only as asterisks."""
    told = {
        "agent_url": "agent_url",
        "agent_version": "agent_version",
        "agent_last_heartbeat": said.moment("agent_heartbeat_at"),
    }
    stored = "driver_internal_info"
    known = f"CASE WHEN agent_url IS NULL THEN {stored} ELSE {said.with_members(stored, told)} END"
    secret = said.with_members(f"({known})", {"agent_secret_token": "'******'"})
    return f"CASE WHEN agent_token IS NULL THEN {known} ELSE {secret} END"


_DERIVED = {"driver_internal_info": each(_with_agent), "traits": _TRAITS}
_FORMED = tuple(column.name for column in nodes.c if not documents.is_plain(column))


def members(names: Iterable[str], replaced: Mapping[str, Sql]) -> tuple[list[str], list[Sql]]:
    """What a node's document has of the stored ones among ``names``: parts of its form, and their SQL.

    ``replaced``: SQL of the JSON text that stands for a field's own.
    """
    special = {**{name: documents.value(nodes.c[name]) for name in _FORMED}, **_DERIVED, **replaced}
    own = {name: special[name] for name in names if name in special}
    plain = documents.members([nodes.c[name] for name in names if name in nodes.c and name not in own])
    return [*(f'"{name}":%s' for name in own), *("%s" for _ in plain)], [*own.values(), *plain]


def list_children(connection: Connection, uuid: str) -> list[str]:
    """The uuids of a node's children, oldest first."""
    statement = select(nodes.c.uuid).where(nodes.c.parent_node == uuid).order_by(nodes.c.id)
    return [row.uuid for row in connection.execute(statement)]


def list_relatives(connection: Connection, uuid: str) -> list[node.Node]:
    """The parent and the children of a node, but for those pairs of which the child has a power supply of its own."""
    own = get(connection, uuid)
    below = (get(connection, one) for one in list_children(connection, uuid))
    children = [child for child in below if not _has_own_supply(child)]
    parent = find(connection, own.parent_node) if own.parent_node is not None else None  # it may have been deleted
    return children if parent is None or _has_own_supply(own) else [parent, *children]


def _has_own_supply(found: node.Node) -> bool:
    return bool(found.driver_info.get("has_dedicated_power_supply"))


def list_rows(
    connection: Connection, where: node_filters.Filter, page: Page, columns: tuple[str, ...]
) -> list[dict[str, Any]]:
    """Rows as dicts of ``columns`` (JSON columns as unparsed text, booleans as bool), one page of them."""
    statement = paged(connection, nodes, _selection(columns).where(*node_filters.conditions(where)), page)
    return [dict(zip(columns, row, strict=True)) for row in connection.execute(statement)]


def _columns(_: str, ident: str, columns: tuple[str, ...]) -> Question:
    return _selection_of(columns, "uuid" if ids.is_uuid(ident) else "name"), {"ident": ident}


@answers(_columns)
def get_row(row: Any, ident: str, columns: tuple[str, ...]) -> dict[str, Any]:
    """One node by uuid or name in the form of ``list_rows``. Raises errors.NotFound."""
    return dict(zip(columns, _there(row, ident), strict=True))


@functools.cache
def _selection(columns: tuple[str, ...]) -> Select[Any]:
    return select(*(nodes.c[name] for name in columns))


@functools.cache
def _selection_of(columns: tuple[str, ...], key: str) -> Select[Any]:
    return _selection(columns).where(nodes.c[key] == bindparam("ident"))


def list_all(connection: Connection, where: node_filters.Filter, page: Page) -> list[node.Node]:
    """One page of whole nodes."""
    statement = paged(connection, nodes, WHOLE.where(*node_filters.conditions(where)), page)
    return [rows.from_row(row, node.Node) for row in connection.execute(statement)]


def count(connection: Connection) -> int:
    """How many nodes there are."""
    return connection.execute(select(func.count()).select_from(nodes)).scalar_one()


def count_shards(connection: Connection) -> list[tuple[str | None, int]]:
    """Every shard (None: no shard) with the number of its nodes, the fullest first."""
    number = func.count(nodes.c.id)
    statement = select(nodes.c.shard, number).group_by(nodes.c.shard).order_by(number.desc(), nodes.c.shard)
    return [(row[0], row[1]) for row in connection.execute(statement)]


_CHANGE = update(nodes).where(nodes.c.uuid == bindparam("is_uuid"))
_HOLDS = (runs.c.id == bindparam("of_run"), runs.c.generation == bindparam("held"))
_CHANGE_HELD = _CHANGE.where(exists().where(*_HOLDS))
_CHANGE_KNOWN = _CHANGE.where(
    nodes.c.updated_at == bindparam("seen_at"), exists().where(*_HOLDS, runs.c.abort_requested.is_(False))
)


def change(connection: Connection, uuid: str, /, **values: Any) -> None:
    """Set columns of one node and touch ``updated_at``. Raises NotFound, or Conflict on a taken name."""
    if not _change(connection, _CHANGE, uuid, values, {}):
        raise errors.NotFound(f"Node {uuid} could not be found.")


def change_held(connection: Connection, uuid: str, run_id: str, generation: int, /, **values: Any) -> bool:
    """``change`` where the run is still of this generation; whether it was done."""
    return _change(connection, _CHANGE_HELD, uuid, values, {"of_run": run_id, "held": generation})


def change_known(connection: Connection, known: node.Node, run_id: str, generation: int, /, **values: Any) -> bool:
    """``change_held`` where, too, the run shall not stop and nobody has changed the node since ``known`` was read.

    Who changes a node whose run is held touches ``updated_at``; ``values`` have to, too.
    """
    held = {"of_run": run_id, "held": generation, "seen_at": known.updated_at}
    return _change(connection, _CHANGE_KNOWN, known.uuid, values, held)


def _change(
    connection: Connection, statement: Update, uuid: str, values: dict[str, Any], where: dict[str, Any]
) -> bool:
    values.setdefault("updated_at", rows.now())
    try:
        done = connection.execute(statement, {**rows.encode(values), "is_uuid": uuid, **where})
    except IntegrityError as error:
        raise _taken(error, uuid, values.get("name"), values.get("instance_uuid")) from error
    return done.rowcount == 1


def keep_internal(connection: Connection, uuid: str, values: dict[str, Any]) -> node.Node:
    """Set keys of driver_internal_info, None removes one; the node as it is then."""
    found = get(connection, uuid)
    merged = {**found.driver_internal_info, **values}
    info = {key: value for key, value in merged.items() if value is not None}
    change(connection, uuid, driver_internal_info=info)
    return msgspec.structs.replace(found, driver_internal_info=info)


def change_if(connection: Connection, uuid: str, expected: dict[str, Any], /, **values: Any) -> bool:
    """Set columns only where ``expected`` columns still hold these values; whether it was done."""
    seen = {f"is_{key}": value for key, value in expected.items() if value is not None}
    statement = _change_where(tuple((key, value is None) for key, value in expected.items()))
    return connection.execute(statement, {**rows.encode(values), **seen, "is_uuid": uuid}).rowcount == 1


@functools.cache
def _change_where(expected: tuple[tuple[str, bool], ...]) -> Update:
    """``expected``: columns, and whether each has to be null."""
    return _CHANGE.where(
        *(nodes.c[key].is_(None) if empty else nodes.c[key] == bindparam(f"is_{key}") for key, empty in expected)
    )


def move(connection: Connection, uuid: str, seen: states.State, after: states.State, /, **values: Any) -> None:
    """Change the provision state seen to another one, with other columns. Raises Conflict if it is not so any more."""
    fixed = {"provision_state": after, "provision_updated_at": rows.now(), "updated_at": rows.now(), **values}
    if not change_if(connection, uuid, {"provision_state": seen}, **fixed):
        raise errors.Conflict(f'Node {uuid} left the provision state "{seen}" meanwhile.')


def destroy(connection: Connection, uuid: str) -> None:
    """Remove a node with its ports, traits, history, inventory and runs."""
    connection.execute(delete(nodes).where(nodes.c.uuid == uuid))


def get_secrets(connection: Connection, uuid: str) -> tuple[str | None, str | None]:
    """The sealed secrets and the sealed agent token of a node. Raises NotFound."""
    row = connection.execute(_SECRETS, {"ident": uuid}).first()
    if row is None:
        raise errors.NotFound(f"Node {uuid} could not be found.")
    return row.secrets, row.agent_token


def get_state(connection: Connection, uuid: str) -> states.State:
    """The provision state of a node. Raises NotFound."""
    found = connection.execute(_STATE, {"ident": uuid}).scalar()
    if found is None:
        raise errors.NotFound(f"Node {uuid} could not be found.")
    return states.State(found)


def find_sealed(connection: Connection) -> tuple[str, str] | None:
    """The uuid and the sealed secrets of some node that has any, or None."""
    row = connection.execute(select(nodes.c.uuid, nodes.c.secrets).where(nodes.c.secrets.is_not(None)).limit(1)).first()
    return None if row is None else (row.uuid, row.secrets)


def list_sealed(connection: Connection, uuids: list[str]) -> list[tuple[node.Node, str | None, str | None]]:
    """Whole nodes, each with its sealed secrets and the sealed agent token; those that are gone are absent."""
    found = connection.execute(_AMONG, {"idents": uuids})
    return [(rows.from_row(row, node.Node), row.secrets, row.agent_token) for row in found]


@answers(_whole)
def get_sealed(row: Any, ident: str) -> tuple[node.Node, str | None, str | None]:
    """The node with this uuid or name as ``list_sealed`` gives it. Raises errors.NotFound."""
    return rows.from_row(_there(row, ident), node.Node), row.secrets, row.agent_token


def find_token_told(connection: Connection, uuid: str) -> str | None:
    """The address that was told the agent's token and has not proved it yet."""
    return connection.execute(select(nodes.c.agent_token_told).where(nodes.c.uuid == uuid)).scalar()


def set_traits(connection: Connection, uuid: str, traits: tuple[str, ...]) -> None:
    """Replace all traits of a node."""
    connection.execute(delete(node_traits).where(node_traits.c.node_uuid == uuid))
    if traits:
        connection.execute(insert(node_traits), [{"node_uuid": uuid, "trait": trait} for trait in sorted(set(traits))])


def _taken(error: IntegrityError, uuid: str, name: str | None, instance: str | None) -> errors.Conflict:
    if rows.taken(error) == "instance_uuid":
        return errors.Conflict(
            f"Instance {instance} is already associated with a node, it cannot be associated with this other node "
            f"{uuid}",
            hint="Take it from that one first.",
        )
    return taken.conflict(error, "node", uuid=uuid, name=name)
