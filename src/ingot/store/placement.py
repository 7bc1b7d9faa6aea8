"""Finding a free node for an allocation and giving it to it: the hot statements, compiled once each.

May not: decide what is to be done when there is none. Invariant: a node is taken by one conditional update that
holds only while nobody has it, so whoever comes second gets nothing.
"""

from __future__ import annotations

import functools
import random
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Select, bindparam, exists, func, or_, select, update
from sqlalchemy.exc import IntegrityError

from ingot.domain import allocation, errors, states
from ingot.domain import traits as trait_rules
from ingot.store import rows
from ingot.store.schema import allocations, node_traits, nodes

_TAKE = (
    update(nodes)
    .where(
        nodes.c.uuid == bindparam("at"),
        or_(nodes.c.instance_uuid.is_(None), nodes.c.instance_uuid == bindparam("instance_uuid")),
    )
    .values({name: bindparam(name) for name in ("instance_uuid", "allocation_uuid", "instance_info", "updated_at")})
)
_SETTLE = (
    update(allocations)
    .where(allocations.c.uuid == bindparam("at"))
    .values({name: bindparam(name) for name in ("node_uuid", "state", "last_error", "updated_at")})
)
_LAST = select(func.max(nodes.c.id))


class Found(msgspec.Struct, frozen=True):
    """A node that would do. ``instance_info``: its JSON text."""

    uuid: str
    instance_info: str


def last_id(connection: Connection) -> int:
    """The id of the newest node."""
    return connection.execute(_LAST).scalar() or 0


def find_free(connection: Connection, wanted: allocation.Allocation, last: int, *, traits: bool = True) -> Found | None:
    """A free node as ``wanted``, or None: the one of its name if that will do, else any one, by chance.

    By chance, so that a node that fails its tenants is not the first to be given away each time.
    ``last``: about the id of the newest node; ``traits`` False: whatever traits it has.
    """
    known: dict[str, Any] = {"resource_class": wanted.resource_class}
    if wanted.owner:
        known["owner"] = wanted.owner
    if wanted.candidate_nodes:
        known["candidates"] = list(dict.fromkeys(wanted.candidate_nodes))
    asked = sorted(set(wanted.traits)) if traits else []
    if len(asked) > trait_rules.MOST:
        return None
    known.update({f"trait{number}": trait for number, trait in enumerate(asked)})
    shape = (len(asked), bool(wanted.owner), bool(wanted.candidate_nodes))
    if wanted.name:
        found = _first(connection, _statement(*shape, "name"), {**known, "name": wanted.name})
        if found is not None:
            return found
    pivot = random.randint(0, last)  # noqa: S311  chance, not a secret
    known["pivot"] = pivot
    found = _first(connection, _statement(*shape, "from"), known)
    return found or _first(connection, _statement(*shape, "before"), known)


def take(connection: Connection, wanted: allocation.Allocation, node_uuid: str, instance_info: str) -> bool:
    """Give the node to the allocation, both rows at once; False when another instance has it.

    Raises errors.Conflict when another node serves the instance of this uuid.
    """
    now = rows.now()
    info: dict[str, Any] = {**msgspec.json.decode(instance_info), "traits": wanted.traits}
    given = {"instance_uuid": wanted.uuid, "allocation_uuid": wanted.uuid, "updated_at": now}
    text = msgspec.json.encode(info).decode()
    try:
        taken = connection.execute(_TAKE, {"at": node_uuid, "instance_info": text, **given}).rowcount
    except IntegrityError as error:
        raise errors.Conflict(
            f"Instance {wanted.uuid} is already associated with a node, it cannot be associated with this other node "
            f"{node_uuid}",
            hint="",
        ) from error
    if taken != 1:
        return False
    settle(connection, wanted.uuid, allocation.State.ACTIVE, node_uuid, None)
    return True


def settle(
    connection: Connection, uuid: str, state: allocation.State, node_uuid: str | None, last_error: str | None
) -> None:
    """Write how the search for an allocation's node ended."""
    ended = {"node_uuid": node_uuid, "state": state.value, "last_error": last_error, "updated_at": rows.now()}
    connection.execute(_SETTLE, {"at": uuid, **ended})


def _first(connection: Connection, statement: Select[str, str], known: dict[str, Any]) -> Found | None:
    row = connection.execute(statement, known).first()
    return None if row is None else Found(row[0], row[1])


@functools.cache
def _statement(traits: int, owned: bool, listed: bool, which: str) -> Select[str, str]:
    """Free nodes of a class; ``which``: "name" the one of a name, "from" those from an id on, "before" all others."""
    where: list[ColumnElement[bool]] = [
        nodes.c.resource_class == bindparam("resource_class"),
        nodes.c.provision_state == states.State.AVAILABLE.value,
        nodes.c.maintenance.is_(False),
        nodes.c.instance_uuid.is_(None),
        nodes.c.power_state.is_not(None),
        nodes.c.parent_node.is_(None),
    ]
    if owned:
        where.append(or_(nodes.c.owner == bindparam("owner"), nodes.c.lessee == bindparam("owner")))
    if listed:
        where.append(nodes.c.uuid.in_(bindparam("candidates", expanding=True)))
    for number in range(traits):
        its = node_traits.c.node_uuid == nodes.c.uuid
        where.append(exists().where(its, node_traits.c.trait == bindparam(f"trait{number}")))
    if which == "name":
        where.append(nodes.c.name == bindparam("name"))
    elif which == "from":
        where.append(nodes.c.id >= bindparam("pivot"))
    else:
        where.append(nodes.c.id < bindparam("pivot"))
    return select(nodes.c.uuid, nodes.c.instance_info).where(*where).order_by(nodes.c.id).limit(1)
