"""Rotating the sealing key: everything opens all the time, also after kills; the old key opens nothing at the end."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cli import program
from ingot.domain import errors
from ingot.services import keys
from ingot.store import rotation, seal, upgrade
from ingot.store.engine import Store

NODES = 300


def fill(folder: Path) -> seal.Sealer:
    """A database with sealed texts in every place that has them, in a column of its own and inside JSON."""
    upgrade.upgrade(folder / "ingot.db")
    seal.open_keys(folder / "secret.key")
    sealer = seal.Sealer(seal.KeyFile(folder / "secret.key"))
    with closing(sqlite3.connect(folder / "ingot.db")) as database:
        for number in range(NODES):
            uuid = f"{number:08d}-0000-0000-0000-000000000000"
            sealed = [sealer.seal(uuid, {"secret": number, "part": part}) for part in range(4)]
            node = {"uuid": uuid, "driver": "x", "provision_state": "active", "created_at": "t"}
            node |= {"secrets": sealed[0], "agent_token": sealed[1]}
            _insert(database, "nodes", node)
            plan = json.dumps([{"step": "a", "sealed": sealed[3]}, {"step": "b", "note": "v1:AAAA"}])
            run = {"id": uuid, "node_uuid": uuid, "kind": "deploy", "status": "open", "started_at": 0, "deadline": 0}
            _insert(database, "runs", {**run, "params": json.dumps({"sealed": sealed[2]}), "plan": plan})
        database.commit()
    return sealer


def _insert(database: sqlite3.Connection, table: str, values: dict[str, Any]) -> None:
    known = {row[1]: row for row in database.execute(f"PRAGMA table_info({table})")}
    for name, row in known.items():  # whatever else the schema wants
        if row[3] and row[4] is None and not row[5]:
            values.setdefault(name, "{}")
    columns = ", ".join(values)
    marks = ", ".join("?" * len(values))
    database.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", list(values.values()))


def texts(folder: Path) -> list[tuple[str, str]]:
    """(node, sealed text) of everything that is in the database."""
    with closing(sqlite3.connect(folder / "ingot.db", timeout=60)) as database:
        found = database.execute(
            "SELECT uuid, secrets, agent_token, params, plan FROM nodes JOIN runs ON runs.id = uuid"
        )
        return [
            (uuid, text)
            for uuid, secret, token, params, plan in found
            for text in (secret, token, json.loads(params)["sealed"], json.loads(plan)[0]["sealed"])
        ]


def opened(folder: Path, sealer: seal.Sealer) -> int:
    return sum("secret" in sealer.open(uuid, text) for uuid, text in texts(folder))


async def test_everything_is_sealed_anew_and_the_old_key_opens_nothing(tmp_path: Path) -> None:
    sealer = fill(tmp_path)
    old = seal.Sealer((tmp_path / "secret.key").read_bytes())
    before = texts(tmp_path)
    store = Store(tmp_path / "ingot.db")
    said: list[str] = []
    assert await keys.rotate(store, tmp_path / "secret.key", said.append, settle=0.1) == 2 * NODES
    store.close()
    assert opened(tmp_path, sealer) == 4 * NODES, "a process that runs needs no restart"
    assert len((tmp_path / "secret.key").read_bytes()) == 32
    assert (tmp_path / "secret.key").stat().st_mode & 0o077 == 0
    assert not set(before) & set(texts(tmp_path))
    for uuid, text in texts(tmp_path)[:8]:
        with pytest.raises(errors.Bug):
            old.open(uuid, text)
    with closing(sqlite3.connect(tmp_path / "ingot.db")) as database:
        assert database.execute("SELECT count(*) FROM runs WHERE plan LIKE '%v1:AAAA%'").fetchone() == (NODES,)


@pytest.mark.parametrize("table", ["deploy_templates", "runbooks", "volume_targets", "webhooks", "inspection_rules"])
async def test_what_has_secrets_of_its_own_is_sealed_anew(tmp_path: Path, table: str) -> None:
    sealer = fill(tmp_path)
    node, own = "00000000-0000-0000-0000-000000000000", "22222222-2222-2222-2222-222222222222"
    row = {
        "uuid": own,
        "secrets": sealer.seal(own, {"secret": 7}),
        "name": "n",
        "node_uuid": node,
        "boot_index": 0,
        "url": "http://x",
        "last_event": 0,
    }
    with closing(sqlite3.connect(tmp_path / "ingot.db")) as database:
        known = {column[1] for column in database.execute(f"PRAGMA table_info({table})")}
        _insert(database, table, {name: value for name, value in row.items() if name in known})
        database.commit()
    store = Store(tmp_path / "ingot.db")
    await keys.rotate(store, tmp_path / "secret.key", lambda _: None, settle=0.1)
    store.close()
    with closing(sqlite3.connect(tmp_path / "ingot.db")) as database:
        (text,) = database.execute(f"SELECT secrets FROM {table}").fetchone()
    assert text != row["secrets"]
    assert sealer.open(own, text) == {"secret": 7}


async def test_what_was_sealed_before_and_written_late_is_not_lost(tmp_path: Path) -> None:
    sealer = fill(tmp_path)
    uuid = f"{7:08d}-0000-0000-0000-000000000000"
    late = sealer.seal(uuid, {"secret": "late"})
    store = Store(tmp_path / "ingot.db")
    file = tmp_path / "secret.key"
    assert rotation.begin(file)
    assert not rotation.begin(file), "one that was cut goes on"
    fresh = seal.Sealer(seal.KeyFile(file))
    for table in rotation.tables():
        await store.run(rotation.reseal, table, await store.read(rotation.list_sealed, table), fresh)
    with closing(sqlite3.connect(tmp_path / "ingot.db")) as database:
        database.execute("UPDATE nodes SET secrets = ? WHERE uuid = ?", (late, uuid))
        database.commit()
    assert opened(tmp_path, sealer) == 4 * NODES
    assert await keys.rotate(store, file, lambda _: None, settle=0.1) == 1
    store.close()
    assert opened(tmp_path, seal.Sealer(file.read_bytes())) == 4 * NODES


async def test_only_one_rotation_at_a_time(tmp_path: Path) -> None:
    fill(tmp_path)
    with rotation.alone(tmp_path), pytest.raises(errors.Conflict, match="Another rotation"):
        store = Store(tmp_path / "ingot.db")
        try:
            await keys.rotate(store, tmp_path / "secret.key", lambda _: None)
        finally:
            store.close()
    assert len((tmp_path / "secret.key").read_bytes()) == 32


@pytest.mark.torture
def test_killed_at_any_moment_it_loses_nothing_and_goes_on(tmp_path: Path) -> None:
    sealer = fill(tmp_path)
    words = program.ingot_argv("db", "rotate-key", "--settle", "0.2", "--data-dir", str(tmp_path))
    first = (tmp_path / "secret.key").read_bytes()
    kills = 0
    for wait in (0.0, 0.01, 0.03, 0.06, 0.1, 0.15, 0.25):
        child = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=program.environment())
        assert child.stdout is not None
        child.stdout.readline()  # the new key is on disk
        try:
            child.wait(wait + random.uniform(0, 0.02))
        except subprocess.TimeoutExpired:
            os.kill(child.pid, signal.SIGKILL)
            kills += 1
        child.wait(30)
        child.stdout.close()
        assert opened(tmp_path, sealer) == 4 * NODES
        assert opened(tmp_path, seal.Sealer(seal.KeyFile(tmp_path / "secret.key"))) == 4 * NODES
    assert kills >= 3
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=program.environment(), timeout=60)
    assert done.returncode == 0, done.stderr
    last = (tmp_path / "secret.key").read_bytes()
    assert len(last) == 32
    assert last != first
    assert opened(tmp_path, seal.Sealer(last)) == 4 * NODES
    left = [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    assert left == [], "no key lies about under another name"
