"""Importing the tables of Nova's old bare-metal driver, in both shapes they had."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from cli import program
from flows import stand
from ingot.cli.client import Client
from ingot_rack import fleet as fleets
from ingot_rack.hardware import PowerAction

# Columns by nova/virt/baremetal/db/sqlalchemy/models.py of 2012 and of 2014.
_OLD = """CREATE TABLE bm_nodes (id INTEGER PRIMARY KEY, created_at DATETIME, updated_at DATETIME, deleted BOOLEAN,
 service_host TEXT, instance_uuid TEXT, cpus INTEGER, memory_mb INTEGER, local_gb INTEGER, pm_address TEXT,
 pm_user TEXT, pm_password TEXT, prov_mac_address TEXT, registration_status TEXT, task_state TEXT, prov_vlan_id INTEGER,
 terminal_port INTEGER)"""
_NEW = """CREATE TABLE bm_nodes (id INTEGER PRIMARY KEY, created_at DATETIME, updated_at DATETIME, deleted BOOLEAN,
 uuid TEXT, service_host TEXT, instance_uuid TEXT, instance_name TEXT, cpus INTEGER, memory_mb INTEGER,
 local_gb INTEGER, pm_address TEXT, pm_user TEXT, pm_password TEXT, task_state TEXT, terminal_port INTEGER,
 image_path TEXT, pxe_config_path TEXT, deploy_key TEXT, root_mb INTEGER, swap_mb INTEGER, ephemeral_mb INTEGER)"""
_CARDS = """CREATE TABLE bm_interfaces (id INTEGER PRIMARY KEY, deleted BOOLEAN, bm_node_id INTEGER, address TEXT,
 datapath_id TEXT, port_no INTEGER, vif_uuid TEXT)"""
_INSTANCE = "30000000-0000-4000-8000-00000000000{}"
_UUID = "10000000-0000-4000-8000-00000000000{}"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Node 1 is free, 2 runs an instance, 3 is being deployed, 4 was deleted, 5 has no BMC."""
    path = tmp_path / "nova_bm.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(_NEW)
        connection.execute(_CARDS)
        for number, task in ((1, None), (2, "active"), (3, "deploying"), (4, None), (5, None)):
            values: dict[str, Any] = {"id": number, "uuid": _UUID.format(number), "deleted": number == 4}
            values |= {"cpus": 8, "memory_mb": 4096, "local_gb": 40, "pm_user": "root", "pm_password": "hush-hush"}
            values |= {"pm_address": None if number == 5 else f"10.0.0.{number}", "task_state": task}
            values |= {"instance_uuid": _INSTANCE.format(number) if task else None, "created_at": "2014-05-06 07:08:09"}
            values |= {"instance_name": f"vm{number}" if task else None, "terminal_port": 8000 + number}
            _insert(connection, "bm_nodes", values)
            for card in range(2):
                address = f"52:54:00:00:0{card}:0{number}".upper()
                _insert(connection, "bm_interfaces", {"bm_node_id": number, "address": address, "deleted": False})
    return path


def _insert(connection: sqlite3.Connection, table: str, values: dict[str, Any]) -> None:
    marks = ", ".join("?" * len(values))
    connection.execute(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})", tuple(values.values()))


def bring(data: Path, database: Path, *words: str) -> dict[str, Any]:
    where = ("--database", f"sqlite:///{database}", "--data-dir", str(data))
    result = program.run_here("import", "nova-baremetal", *where, *words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def rows(data: Path, statement: str) -> list[Any]:
    with closing(sqlite3.connect(data / "ingot.db")) as connection:
        return connection.execute(statement).fetchall()


def test_nodes_come_with_their_cards_and_sealed_passwords(tmp_path: Path, database: Path) -> None:
    told = bring(tmp_path, database, "--apply")
    assert told["kinds"] == {"nodes": {"there": 4, "come": 2}, "ports": {"there": 8, "come": 4}}
    assert {one["uuid"]: one["reason"].split(".")[0] for one in told["stay behind"]} == {
        _UUID.format(3): 'The node is being worked on ("deploying")',
        _UUID.format(5): "It has no address of a BMC",
    }
    found = rows(
        tmp_path, "SELECT uuid, provision_state, instance_uuid, driver, power_interface, created_at FROM nodes"
    )
    assert found == [
        (_UUID.format(1), "enroll", None, "ipmi", "ipmitool", "2014-05-06T07:08:09+00:00"),
        (_UUID.format(2), "active", _INSTANCE.format(2), "ipmi", "ipmitool", "2014-05-06T07:08:09+00:00"),
    ]
    [(info, properties)] = rows(tmp_path, f"SELECT driver_info, properties FROM nodes WHERE uuid = '{_UUID.format(2)}'")
    assert json.loads(info) == {
        "ipmi_address": "10.0.0.2",
        "ipmi_username": "root",
        "ipmi_password": "******",
        "ipmi_terminal_port": 8002,
    }
    assert json.loads(properties) == {"cpus": 8, "memory_mb": 4096, "local_gb": 40}
    assert {row[0] for row in rows(tmp_path, "SELECT address FROM ports")} == {
        f"52:54:00:00:0{card}:0{number}" for card in range(2) for number in (1, 2)
    }
    assert b"hush-hush" not in b"".join(path.read_bytes() for path in tmp_path.glob("ingot.db*"))
    again = bring(tmp_path, database, "--apply", "--interrupted")
    assert (again["present"], again["kinds"]["nodes"]["come"]) == (2, 1)
    assert rows(tmp_path, "SELECT provision_state FROM nodes ORDER BY id")[-1] == ("deploy failed",)


def test_a_plan_comes_first_and_what_came_can_go_again(tmp_path: Path, database: Path) -> None:
    assert bring(tmp_path, database)["kinds"]["nodes"]["come"] == 2
    assert rows(tmp_path, "SELECT count(*) FROM nodes") == [(0,)]
    bring(tmp_path, database, "--apply")
    undo = ("import", "undo", "--data-dir", str(tmp_path))
    assert "Would go" in program.run_here(*undo).stdout
    assert rows(tmp_path, "SELECT count(*) FROM nodes") == [(2,)]
    assert program.run_here(*undo, "--apply").exit_code == 0
    assert [rows(tmp_path, f"SELECT count(*) FROM {table}") for table in ("nodes", "ports")] == [[(0,)], [(0,)]]


@pytest.mark.skipif(os.geteuid() != 0, reason="these tables know no port but IPMI's own")
async def test_a_machine_that_is_on_stays_on_while_the_service_works(tmp_path: Path, database: Path) -> None:
    fleet = fleets.Fleet(fleets.Plan(ipmi=2, ipmi_port=623, first="127.71.0.1", password="hush-hush", user="root"))
    await fleet.start()
    try:
        with closing(sqlite3.connect(database)) as connection, connection:
            for number, address in enumerate(fleet.addresses.values(), 1):
                connection.execute("UPDATE bm_nodes SET pm_address = ? WHERE id = ?", (address, number))
        for machine in fleet.machines.values():
            await machine.set_power(PowerAction.ON)
        data = tmp_path / "data"
        await asyncio.to_thread(bring, data, database, "--apply")
        with ExitStack() as stack:
            serving = program.serving(data, "--noauth", "--set", "power_sync_interval=1")
            client = Client(await asyncio.to_thread(stack.enter_context, serving), timeout=20)

            async def seen() -> bool:
                found = await asyncio.to_thread(client.get, f"/v1/nodes/{_UUID.format(2)}")
                return found["power_state"] == "power on"

            await stand.until(seen, 30)
            await asyncio.to_thread(stack.close)
        assert [machine.history for machine in fleet.machines.values()] == [[PowerAction.ON]] * 2
    finally:
        await fleet.close()


def test_the_first_shape_has_no_uuids_and_keeps_theirs(tmp_path: Path) -> None:
    path = tmp_path / "old.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(_OLD)
        connection.execute(_CARDS)
        values = {"id": 7, "service_host": "h", "pm_address": "10.0.0.7", "prov_mac_address": "52:54:00:AA:00:07"}
        _insert(connection, "bm_nodes", values)
        _insert(connection, "bm_interfaces", {"bm_node_id": 7, "address": "52:54:00:aa:00:08"})
    assert bring(tmp_path, path, "--apply")["kinds"]["ports"]["come"] == 2
    assert bring(tmp_path, path)["present"] == 1


def test_what_is_no_such_database_is_refused(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "other.db")) as connection, connection:
        connection.execute("CREATE TABLE things (id INTEGER)")
    where = ("--database", f"sqlite:///{tmp_path}/other.db", "--data-dir", str(tmp_path))
    result = program.run_here("import", "nova-baremetal", *where)
    assert result.exit_code != 0
    assert "no tables bm_nodes" in result.stderr


def test_a_failure_on_this_side_is_not_blamed_on_the_other_database(tmp_path: Path, database: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "imports").write_text("no folder")
    where = ("--database", f"sqlite:///{database}", "--data-dir", str(data), "--apply")
    result = program.run_here("import", "nova-baremetal", *where)
    assert result.exit_code == 1
    assert "cannot be read" not in result.stderr
    assert f"cannot be recorded in {data}/imports: File exists. Nothing was imported." in result.stderr
    assert rows(data, "SELECT count(*) FROM nodes") == [(0,)]
