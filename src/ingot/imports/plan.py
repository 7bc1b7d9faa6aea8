"""What an import would bring: every node judged, conflicts with what is here found, before anything is written.

May not: write. Invariant: what the plan says is what ``writing.py`` does; a node comes with all its parts or not.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
from sqlalchemy import Column, Connection, select

from ingot.imports.source import Row
from ingot.store import schema


class Stays(msgspec.Struct, frozen=True):
    """One thing that does not come, and why."""

    kind: str
    uuid: str
    name: str | None
    reason: str


class Coming(msgspec.Struct, frozen=True):
    """One node that comes: its number there, its uuid, and the columns that differ here."""

    number: int
    uuid: str
    changes: dict[str, Any]


class Plan(msgspec.Struct, kw_only=True):
    """``notes``: what changes on the way, for how many nodes. ``counts``: of each kind, how many are there and come.

    ``shared``: rows of ours, by table, that belong to no node. ``present``: nodes that are here already.
    """

    source: str
    version: str
    nodes: list[Coming] = []
    present: int = 0
    stays: list[Stays] = []
    notes: Counter[str] = msgspec.field(default_factory=Counter[str])
    states: Counter[str] = msgspec.field(default_factory=Counter[str])
    counts: dict[str, tuple[int, int]] = {}
    shared: dict[str, list[Row]] = {}

    def summary(self) -> dict[str, Any]:
        """The plan for programs: numbers, and all that stays behind."""
        return {
            "source": self.source,
            "version": self.version,
            "kinds": {kind: {"there": there, "come": come} for kind, (there, come) in self.counts.items()},
            "present": self.present,
            "states": dict(self.states),
            "changes": dict(self.notes),
            "stay behind": [msgspec.to_builtins(one) for one in self.stays],
        }


class Taken(msgspec.Struct, frozen=True):
    """What must be unique and is used here already: value -> uuid of its row."""

    nodes: set[str]
    names: dict[str, str]
    instances: dict[str, str]
    addresses: dict[str, str]
    shared: dict[str, dict[str, str]]
    """Table -> name (or uuid where rows have no names) -> uuid."""

    def conflict(self, found: Row, addresses: list[str]) -> str | None:
        """Why a node that is not here yet cannot come, None when nothing is in its way."""
        if found.get("name") in self.names:
            return f"The node {self.names[found['name']]} here has its name. Rename one of them."
        if found.get("instance_uuid") in self.instances:
            return f"The node {self.instances[found['instance_uuid']]} here has its instance. Correct one of them."
        for address in addresses:
            if address in self.addresses:
                return (
                    f"A port of the node {self.addresses[address]} here has its address {address}. Delete one of them."
                )
        return None


def taken(connection: Connection) -> Taken:
    """What is used here; a unit that reads."""

    def by(key: Column[Any], value: Column[Any]) -> dict[str, str]:
        return {row[0]: row[1] for row in connection.execute(select(key, value)) if row[0] is not None}

    tables = (schema.deploy_templates, schema.runbooks, schema.chassis, schema.inspection_rules, schema.allocations)
    addresses = by(schema.portgroups.c.address, schema.portgroups.c.node_uuid)
    return Taken(
        nodes=set(connection.execute(select(schema.nodes.c.uuid)).scalars()),
        names=by(schema.nodes.c.name, schema.nodes.c.uuid),
        instances=by(schema.nodes.c.instance_uuid, schema.nodes.c.uuid),
        addresses=addresses | by(schema.ports.c.address, schema.ports.c.node_uuid),
        shared={one.name: by(one.c.get("name", one.c.uuid), one.c.uuid) for one in tables},
    )


def add_shared(plan: Plan, here: Taken, kind: str, table: str, found: list[Row]) -> None:
    """Rows of ``table`` that belong to no node: new ones come, those with a name that is taken stay behind."""
    known = here.shared[table]
    coming = plan.shared.setdefault(table, [])
    uuids = set(known.values())
    before = len(coming)
    for row in found:
        name = row.get("name")
        if row["uuid"] in uuids:
            continue
        if name is not None and name in known:
            reason = f"{known[name]} here has its name. Rename one of them."
            plan.stays.append(Stays(kind, row["uuid"], name, reason))
            continue
        coming.append(row)
    plan.counts[kind] = (len(found), len(coming) - before)
