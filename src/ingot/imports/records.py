"""What an import brought, on file, and taking it away again.

One JSON file for each import in the data directory's folder ``imports``, written before the first row. May not: remove
what has changed since, or keep anything by which a secret could be guessed. Invariant: undoing never touches hardware;
it forgets rows.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import hashlib
import hmac
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection, Table, delete, select

from ingot.deps import Deps
from ingot.domain import errors, node, typed
from ingot.imports import plan as plans
from ingot.store import schema, seal

FOLDER = "imports"
_KEY_FILE = "prints.key"
_PART = 100
_OPERATORS = (
    *("name", "driver", "driver_info", "properties", "extra", "instance_info", "owner", "lessee", "description"),
    *("resource_class", "conductor_group", "protected", "retired", "shard", "parent_node"),
    *(f"{kind}_interface" for kind in node.INTERFACES),
)
"""Columns of a node that change by an operator's request alone."""


class Record(msgspec.Struct, kw_only=True):
    """One import. ``nodes``: uuid -> provision state it came in; ``shared``: table -> uuids; ``prints``: uuid -> print
    of what an operator may change, empty while it is being written and in records of older versions."""

    name: str
    kind: str
    source: str
    at: str
    nodes: dict[str, str]
    shared: dict[str, list[str]]
    prints: dict[str, str] = {}


class Undone(msgspec.Struct, kw_only=True):
    """What undoing removed or, before it is done, would: numbers by table; ``kept``: node -> why it stays."""

    removed: dict[str, int] = {}
    kept: dict[str, str] = {}


def keep(data: Path, kind: str, plan: plans.Plan) -> Record:
    """Write the record of an import that is about to begin. Raises errors.IngotError."""
    now = datetime.datetime.now(datetime.UTC)
    record = Record(
        name=f"{now:%Y%m%dT%H%M%S}-{kind}",
        kind=kind,
        source=plan.source,
        at=now.isoformat(timespec="seconds"),
        nodes={one.uuid: str(one.changes["provision_state"]) for one in plan.nodes},
        shared={table: [row["uuid"] for row in found] for table, found in plan.shared.items()},
    )
    folder = data / FOLDER
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        _write(data, record)
    except OSError as error:
        text = f"What is about to come cannot be recorded in {folder}: {error.strerror}"
        raise errors.IngotError(text, hint="Nothing was imported. Check space and rights.") from error
    return record


async def take_prints(deps: Deps, record: Record) -> None:
    """Note what the nodes are like now that they are here, so that undoing leaves those that somebody changed."""
    uuids = list(record.nodes)
    with contextlib.suppress(OSError):  # a full disk: then undoing goes by the states alone
        look = _Look(deps)
        for start in range(0, len(uuids), _PART):
            record.prints |= await deps.store.read(look.prints, uuids[start : start + _PART])
        await asyncio.to_thread(_write, deps.settings.data, record)


def _write(data: Path, record: Record) -> None:
    seal.replace_file(data / FOLDER / f"{record.name}.json", msgspec.json.encode(record))


class _Look:
    """Takes prints: digests of nodes' fields and ports as far as nobody but an operator changes them while they rest.

    Secrets are opened for it, because a new key seals them anew, and the digest has a key of its own, because who
    reads a record shall not try passwords on it.
    """

    def __init__(self, deps: Deps) -> None:
        folder = deps.settings.data / FOLDER
        self._sealer = deps.sealer
        self._key = seal.open_keys(folder / _KEY_FILE).keys()[0]

    def prints(self, connection: Connection, uuids: list[str]) -> dict[str, str]:
        """The print of each of these nodes that is there, by uuid. Raises errors.Bug where secrets do not open."""
        nodes, ports = schema.nodes.c, schema.ports.c
        made = {uuid: hmac.new(self._key, digestmod=hashlib.sha256) for uuid in uuids}
        own = select(nodes.uuid, nodes.secrets, *(nodes[name] for name in _OPERATORS)).where(nodes.uuid.in_(uuids))
        present = [tuple(row) for row in connection.execute(own)]
        for uuid, sealed, *fields in present:
            made[uuid].update(repr(fields).encode())
            made[uuid].update(msgspec.json.encode(self._sealer.open(uuid, sealed), order="deterministic"))
        cards = select(ports.node_uuid, ports.address, ports.name, ports.extra, ports.local_link_connection)
        for row in connection.execute(cards.where(ports.node_uuid.in_(uuids)).order_by(ports.id)):
            made[row[0]].update(repr(tuple(row)[1:]).encode())
        return {uuid: made[uuid].hexdigest() for uuid, *_ in present}


def all_of(data: Path) -> list[Record]:
    """Every record, oldest first."""
    try:  # not glob: newer Pythons' passes over folders that may not be read
        paths = sorted(path for path in (data / FOLDER).iterdir() if path.suffix == ".json")
    except FileNotFoundError:
        return []
    return [typed.decode(path.read_bytes(), Record) for path in paths]


def get(data: Path, name: str | None) -> Record:
    """The record of this name, or the newest. Raises errors.NotFound."""
    found = [one for one in all_of(data) if name in (None, one.name)]
    if not found:
        text = f"There is no import {name}" if name else "Nothing was imported into this data directory"
        raise errors.NotFound(text, hint='"ingot import list" shows what was.')
    return found[-1]


async def undo(deps: Deps, record: Record, *, really: bool) -> Undone:
    """Remove the rows of an import that are as they came; ``really`` False only tells what would go.

    Nodes that have been worked on since stay, and what they need stays with them.
    """
    done = Undone()
    unit = _remove if really else _keep
    look = _Look(deps)
    uuids = list(record.nodes)
    for start in range(0, len(uuids), _PART):
        part = {uuid: record.nodes[uuid] for uuid in uuids[start : start + _PART]}
        kept, count = await deps.store.run(_nodes, part, record.prints, look, unit)
        done.kept |= kept
        done.removed["nodes"] = done.removed.get("nodes", 0) + count
    boxes = await deps.store.read(_boxes_in_use, record.nodes.keys() - done.kept.keys())
    for name, uuids in record.shared.items():
        free = [uuid for uuid in uuids if uuid not in boxes]
        done.removed[name] = await deps.store.run(_shared, schema.metadata.tables[name], free, unit)
    if really and not done.kept:
        (deps.settings.data / FOLDER / f"{record.name}.json").unlink(missing_ok=True)
    return done


def _keep(connection: Connection, table: Table, uuids: list[str]) -> None:
    """Remove nothing."""


def _remove(connection: Connection, table: Table, uuids: list[str]) -> None:
    connection.execute(delete(table).where(table.c.uuid.in_(uuids)))


def _nodes(
    connection: Connection, part: dict[str, str], prints: dict[str, str], look: _Look, unit: Any
) -> tuple[dict[str, str], int]:
    nodes, runs = schema.nodes, schema.runs
    found = connection.execute(select(nodes.c.uuid, nodes.c.provision_state).where(nodes.c.uuid.in_(part))).all()
    busy = set(connection.execute(select(runs.c.node_uuid).where(runs.c.node_uuid.in_(part))).scalars())
    kept = {
        row.uuid: f'it was worked on since it came ("{part[row.uuid]}", now "{row.provision_state}")'
        for row in found
        if row.uuid in busy or row.provision_state != part[row.uuid]
    }
    now = look.prints(connection, [row.uuid for row in found])
    for uuid in now.keys() - kept.keys():
        if prints.get(uuid, now[uuid]) != now[uuid]:
            kept[uuid] = "it was changed by hand since it came"
    gone = [row.uuid for row in found if row.uuid not in kept]
    unit(connection, nodes, gone)
    return kept, len(gone)


def _boxes_in_use(connection: Connection, going: set[str]) -> set[str]:
    """Chassis that hold another node than those that go."""
    found = connection.execute(select(schema.nodes.c.uuid, schema.nodes.c.chassis_uuid))
    return {row.chassis_uuid for row in found if row.chassis_uuid and row.uuid not in going}


def _shared(connection: Connection, table: Table, uuids: list[str], unit: Any) -> int:
    """Rows that belong to no node."""
    present = list(connection.execute(select(table.c.uuid).where(table.c.uuid.in_(uuids))).scalars())
    unit(connection, table, present)
    return len(present)
