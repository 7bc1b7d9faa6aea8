"""Which nodes a list shows, as conditions of SQL.

May not: run statements. Invariant: what an index can find is asked so that each database sees it.
"""

from __future__ import annotations

import msgspec
from sqlalchemy import ColumnElement, func, literal_column, or_

from ingot.store.schema import nodes
from ingot.store.speech import Said, Sql


class LookedAfter(msgspec.Struct, frozen=True):
    """The nodes of one conductor: of its group and its slots (domain/hashring.py); None: any."""

    group: str | None = None
    slots: tuple[str, ...] | None = None


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which nodes a list shows; None means any. ``project``: owner or lessee.

    ``parent_node``: whose children; None: nodes that are nobody's. ``include_children`` does away with either.
    """

    associated: bool | None = None
    instance_uuid: str | None = None
    maintenance: bool | None = None
    console_enabled: bool | None = None
    provision_state: str | None = None
    driver: str | None = None
    resource_class: str | None = None
    chassis_uuid: str | None = None
    fault: str | None = None
    conductor_group: str | None = None
    owner: str | None = None
    lessee: str | None = None
    project: str | None = None
    shard: tuple[str, ...] | None = None
    sharded: bool | None = None
    retired: bool | None = None
    description_contains: str | None = None
    instance_name: str | None = None
    parent_node: str | None = None
    include_children: bool = False
    reserved: bool | None = None
    looked_after: LookedAfter | None = None


_EXACT = (
    "instance_uuid",
    "maintenance",
    "console_enabled",
    "provision_state",
    "driver",
    "resource_class",
    "chassis_uuid",
    "fault",
    "conductor_group",
    "owner",
    "lessee",
    "retired",
    "instance_name",
)

# The plus keeps SQLite from taking the parents' index, where nearly all nodes are, for one that selects.
_PARENT = "nodes.parent_node"
_NOBODYS: ColumnElement[bool] = Said(Sql(f"+{_PARENT}", _PARENT, _PARENT)).is_(None)


def conditions(where: Filter) -> list[ColumnElement[bool]]:
    """The filter as SQL conditions."""
    found: list[ColumnElement[bool]] = [
        nodes.c[name] == getattr(where, name) for name in _EXACT if getattr(where, name) is not None
    ]
    if where.conductor_group:
        found.append(nodes.c.conductor_group != literal_column("''"))  # so it is seen that the index has them all
    if where.associated is not None:
        found.append(nodes.c.instance_uuid.is_not(None) if where.associated else nodes.c.instance_uuid.is_(None))
    if where.project is not None:
        found.append(or_(nodes.c.owner == where.project, nodes.c.lessee == where.project))
    if where.shard is not None:
        found.append(nodes.c.shard.in_(where.shard))
    if where.sharded is not None:
        found.append(nodes.c.shard.is_not(None) if where.sharded else nodes.c.shard.is_(None))
    if where.description_contains is not None:
        found.append(nodes.c.description.contains(where.description_contains, autoescape=True))
    if where.reserved is not None:
        found.append(nodes.c.reservation.is_not(None) if where.reserved else nodes.c.reservation.is_(None))
    if where.looked_after is not None:
        found += _looked_after(where.looked_after)
    if not where.include_children:
        found.append(_NOBODYS if where.parent_node is None else nodes.c.parent_node == where.parent_node)
    return found


def _looked_after(which: LookedAfter) -> list[ColumnElement[bool]]:
    by_group = [] if which.group is None else [func.lower(nodes.c.conductor_group) == which.group]
    by_slot = [] if which.slots is None else [func.substr(nodes.c.uuid, 35).in_(which.slots)]
    return by_group + by_slot
