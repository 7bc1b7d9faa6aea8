"""The guide's backup of a database server: what its own tools dump while ingot runs comes back whole and lives on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, func, select

from flows import stand
from ingot.domain import states
from ingot.services import provisioning
from ingot.store import schema, upgrade
from programs import system
from servers.databases import KINDS, Databases
from servers.server import PASSWORD, Server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]
CHANGING = {"conductors", "events"}
"""Signs of life, and what only tells of changes: they may differ a moment later."""


def commands(kind: str, server: Server, first: str, second: str) -> tuple[str, str]:
    """What docs/howto/backup.md says, for the server of this test: into a file, and from there into ``second``."""
    file = server.folder / "dump"
    if kind == "postgresql":
        at = f"--host={server.folder} --username=ingot"
        key = f"export PGPASSWORD={PASSWORD};"
        dump = f"{key} {system('pg_dump')} --format=custom --file={file} {at} {first}"
        return dump, f"{key} {system('pg_restore')} --clean --if-exists --no-owner {at} --dbname={second} {file}"
    at = f"--no-defaults --socket={server.folder}/socket --user=ingot -p{PASSWORD}"
    dump = f"{system('mariadb-dump')} {at} --single-transaction --triggers {first} > {file}"
    return dump, f"{system('mariadb')} {at} {second} < {file}"


def rows(connection: Connection) -> dict[str, list[tuple[Any, ...]]]:
    """All that is in the database, by table."""
    tables = [table for table in schema.metadata.sorted_tables if table.name not in CHANGING]
    return {table.name: sorted((tuple(row) for row in connection.execute(select(table))), key=repr) for table in tables}


def events(connection: Connection) -> int:
    return connection.execute(select(func.count()).select_from(schema.events)).scalar_one()


@pytest.mark.parametrize("kind", KINDS)
async def test_what_was_dumped_comes_back_and_lives_on(databases: Databases, tmp_path: Path, kind: str) -> None:
    server = databases.server(kind)
    urls = [databases.new(kind) for _ in range(2)]
    dump, restore = commands(kind, server, *(url.partition("?")[0].rpartition("/")[2] for url in urls))
    async with stand.site(tmp_path, database=urls[0]) as deps, stand.conductor(deps):
        uuid = await stand.add_node(deps, driver_info={"fake_password": "hush"})
        await provisioning.request(deps, uuid, "active", {})
        assert (await stand.ended(deps, uuid, 30)).reason is None
        before = await deps.store.read(rows)
        server.run("sh", "-c", dump)
    server.run("sh", "-c", restore)
    assert not upgrade.upgrade(urls[1]), "it is at this program's version"
    async with stand.site(tmp_path, database=urls[1]) as deps:
        assert await deps.store.read(rows) == before
        told = await deps.store.read(events)
        async with stand.conductor(deps):
            await provisioning.request(deps, uuid, "deleted", {})
            assert (await stand.ended(deps, uuid, 30)).reason is None
        assert (await stand.get_node(deps, uuid)).provision_state == states.State.AVAILABLE
        assert await deps.store.read(events) > told, "triggers come back, too"
