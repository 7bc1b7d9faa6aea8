"""The guide's backup of a database server: what its own tools dump while ingot runs comes back whole and lives on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, func, select

from cli.program import environment, ingot_argv, wait_for
from flows import stand
from ingot.domain import states
from ingot.services import provisioning
from ingot.store import schema, upgrade, users
from ingot.store.engine import Store
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


WRAPPER = """#!/bin/sh
tr '\\0' '\\n' </proc/$$/cmdline >{notes}/command
env >{notes}/environment
date +%s.%N >{notes}/begun
{program} "$@"
code=$?
date +%s.%N >{notes}/ended
exit $code
"""
"""Stands in the way of the server's program, and notes how it was started, and when."""
DUMPERS = {"postgresql": "pg_dump", "mariadb": "mariadb-dump"}
CLIENTS = {"postgresql": "postgresql-client", "mariadb": "mariadb-client"}
EARLIER = 40000
"""Rows that make a dump last so long that pairs are committed meanwhile."""


class Site:
    """A settings file that names a database, and a PATH on which the server's program is what a test wants."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.path = folder, os.environ["PATH"]
        (folder / "ingot.toml").write_text(f'database = "{url}"\ndata_dir = "{folder}/data"\n')

    def put(self, name: str, script: str) -> None:
        """A program of this name that is found first."""
        (self.folder / "bin").mkdir(exist_ok=True)
        program = self.folder / "bin" / name
        program.write_text(script)
        program.chmod(0o755)
        self.path = f"{program.parent}:{os.environ['PATH']}"

    def start(self, *words: str) -> subprocess.Popen[str]:
        """`ingot db ...` as a program."""
        argv = ingot_argv("db", *words, "--config", str(self.folder / "ingot.toml"))
        env = {**environment(), "PATH": self.path}
        return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)

    def db(self, *words: str) -> subprocess.CompletedProcess[str]:
        """What it said, after its end."""
        with self.start(*words) as child:
            try:
                said, complained = child.communicate(timeout=100)
            finally:
                child.kill()
        return subprocess.CompletedProcess(words, child.returncode, said, complained)


def put_pair(connection: Connection, name: str) -> None:
    """Two rows of one unit, in the tables that programs dump first and last."""
    connection.execute(schema.chassis.insert().values(uuid=name, created_at="now"))
    users.put(connection, users.User(name=name, password_hash="x"))


def put_earlier(connection: Connection) -> None:
    rows = [
        {"uuid": f"earlier-{at}", "description": secrets.token_hex(120), "created_at": "now"} for at in range(EARLIER)
    ]
    connection.execute(schema.chassis.insert(), rows)


def pairs(connection: Connection) -> tuple[set[str], set[str]]:
    chassis = {one.uuid for one in connection.execute(select(schema.chassis)) if not one.uuid.startswith("earlier")}
    return chassis, {one.name for one in users.list_all(connection)}


async def write_pairs(store: Store, times: list[float]) -> None:
    while True:
        await store.run(put_pair, f"pair-{len(times)}")
        times.append(time.time())


async def back_up(site: Site, store: Store, target: Path) -> tuple[subprocess.CompletedProcess[str], list[float]]:
    """Back up while pairs are written; what it said, and when each pair was on disk."""
    times: list[float] = []
    writing = asyncio.create_task(write_pairs(store, times))
    done = await asyncio.to_thread(site.db, "backup", str(target))
    writing.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await writing
    return done, times


def restore(line: str, first: str, second: str) -> None:
    """What the backup said how to restore it, into another database, and without a terminal to ask for the password."""
    words = (
        line.replace(" --password", "")
        .replace(f"dbname={first} ", f"dbname={second} ")
        .replace(f" {first} <", f" {second} <")
    )
    assert words != line
    env = {**os.environ, "PGPASSWORD": PASSWORD, "MYSQL_PWD": PASSWORD}
    done = subprocess.run(["sh", "-c", words], capture_output=True, text=True, env=env, timeout=100, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kind", KINDS)
async def test_a_backup_beside_a_writer_has_both_rows_of_a_pair_or_none(
    databases: Databases, tmp_path: Path, kind: str
) -> None:
    urls = [databases.new(kind) for _ in range(2)]
    upgrade.upgrade(urls[0])
    site, target = Site(tmp_path, urls[0]), tmp_path / "copy"
    site.put(DUMPERS[kind], WRAPPER.format(notes=tmp_path, program=system(DUMPERS[kind])))
    store = Store(urls[0])
    try:
        await store.run(put_earlier)
        done, times = await back_up(site, store, target)
    finally:
        store.close()
    assert done.returncode == 0, done.stderr
    begun, ended = (float((tmp_path / name).read_text()) for name in ("begun", "ended"))
    assert [one for one in times if begun < one < ended], "pairs are committed during the dump"
    assert target.stat().st_mode & 0o777 == 0o600
    assert not list(tmp_path.glob("*.partial"))
    assert PASSWORD in (tmp_path / "environment").read_text(), "it needs the password"
    assert PASSWORD not in (tmp_path / "command").read_text() + done.stdout + done.stderr
    names = [url.partition("?")[0].rpartition("/")[2] for url in urls]
    restore(done.stderr.splitlines()[-1], *names)
    checked = Site(tmp_path, urls[1]).db("check")
    assert checked.returncode == 0, checked.stderr
    store = Store(urls[1])
    try:
        chassis, people = await store.read(pairs)
    finally:
        store.close()
    assert chassis == people
    assert len([one for one in times if one < begun]) <= len(people) <= len(times) + 1, (
        "what was on disk before is there"
    )
    again = site.db("backup", str(target))
    assert (again.returncode, "exists already" in again.stderr) == (1, True)


@pytest.mark.parametrize("kind", KINDS)
def test_without_the_servers_program_its_package_is_named(databases: Databases, tmp_path: Path, kind: str) -> None:
    site = Site(tmp_path, databases.empty(kind))
    site.path = str(tmp_path)
    done = site.db("backup", str(tmp_path / "copy"))
    assert done.returncode == 1
    assert f"program {DUMPERS[kind]}, which is not installed" in done.stderr
    assert f"apt-get install --no-install-recommends {CLIENTS[kind]}" in done.stderr
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_a_failed_dump_leaves_its_reason_and_no_file(databases: Databases, tmp_path: Path, kind: str) -> None:
    site = Site(tmp_path, databases.empty(kind))
    site.put(DUMPERS[kind], '#!/bin/sh\necho half\necho "no more room, $PGPASSWORD$MYSQL_PWD" >&2\nexit 3\n')
    done = site.db("backup", str(tmp_path / "copy"))
    assert done.returncode == 1
    assert f"{DUMPERS[kind]}: no more room, ***" in done.stderr
    assert PASSWORD not in done.stdout + done.stderr
    assert sorted(one.name for one in tmp_path.iterdir()) == ["bin", "data", "ingot.toml"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_database_that_is_not_ingots_is_not_backed_up(databases: Databases, tmp_path: Path, kind: str) -> None:
    done = Site(tmp_path, databases.new(kind)).db("backup", str(tmp_path / "copy"))
    assert (done.returncode, "has no tables of ingot" in done.stderr) == (1, True)
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_backup_that_is_told_to_stop_leaves_neither_program_nor_file(
    databases: Databases, tmp_path: Path, number: signal.Signals
) -> None:
    site, noted = Site(tmp_path, databases.empty("postgresql")), tmp_path / "pid"
    site.put("pg_dump", f"#!/bin/sh\necho half\necho $$ >{noted}.new\nmv {noted}.new {noted}\nexec sleep 90\n")
    with site.start("backup", str(tmp_path / "copy")) as child:
        try:
            wait_for(noted.exists, 60)
            assert list(tmp_path.glob("copy.*.partial"))
            child.send_signal(number)
            assert child.wait(20) == 128 + number
        finally:
            child.kill()
    assert not list(tmp_path.glob("copy*"))
    assert not Path(f"/proc/{noted.read_text().strip()}").exists()
