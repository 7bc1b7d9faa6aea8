"""What ramdisks logged, kept with the run. May not: look into a bundle. Invariant: at most ``KEEP`` bundles a node."""

from __future__ import annotations

from sqlalchemy import Connection, delete, func, insert, select

from ingot.domain import errors
from ingot.store import runs as run_store
from ingot.store.schema import run_logs as table

KEEP = 5


def put(connection: Connection, lease: run_store.Lease, bundle: bytes, now: float) -> None:
    """Keep a run's bundle (a tar.gz) in place of an earlier one, and drop the node's oldest over KEEP."""
    run_store.check(connection, lease)
    connection.execute(delete(table).where(table.c.run_id == lease.run_id))
    values = {"run_id": lease.run_id, "node_uuid": lease.node_uuid, "collected_at": now, "bundle": bundle}
    connection.execute(insert(table).values(values))
    mine = select(table.c.run_id).where(table.c.node_uuid == lease.node_uuid).order_by(table.c.collected_at.desc())
    old = list(connection.execute(mine.offset(KEEP)).scalars())
    if old:
        connection.execute(delete(table).where(table.c.run_id.in_(old)))


def get(connection: Connection, node_uuid: str, run_id: str | None) -> tuple[str, float, bytes]:
    """(run, time, bundle) of one run of a node, None: of the newest that has one. Raises NotFound."""
    wanted = select(table.c.run_id, table.c.collected_at, table.c.bundle).where(table.c.node_uuid == node_uuid)
    if run_id is not None:
        wanted = wanted.where(table.c.run_id == run_id)
    row = connection.execute(wanted.order_by(table.c.collected_at.desc()).limit(1)).first()
    if row is None:
        hint = "They are collected when a run fails while its agent answers (setting deploy_logs_collect)."
        raise errors.NotFound("No ramdisk logs of this node's runs are kept.", hint=hint)
    return row.run_id, row.collected_at, bytes(row.bundle)


def sizes(connection: Connection, node_uuid: str) -> dict[str, int]:
    """Bytes of each kept bundle of a node, by run."""
    found = select(table.c.run_id, func.length(table.c.bundle)).where(table.c.node_uuid == node_uuid)
    return {row[0]: row[1] for row in connection.execute(found)}
