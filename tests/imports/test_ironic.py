"""Importing a database that upstream Ironic itself made: both services then answer every question alike."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cli import program
from flows import stand
from imports import copies, filling
from ingot.cli import client as api
from ingot.domain.states import TABLE, Kind, State
from ingot.store import seal
from ingot_rack import fleet, hardware
from servers.databases import Databases
from upstream import alone, compare, sides

pytestmark = [pytest.mark.slow, pytest.mark.peer, pytest.mark.timeout(240)]
_HERE = ("--set", "power_sync_interval=0", "--set", "drivers=fake-hardware", "--set", "hostname=here")
# Links of two resources have another form here (tests/upstream/differences.py), and a URL with a password is masked.
_INTENDED = re.compile(r"\.links|\.driver_info\.url$")


class Made(NamedTuple):
    """Upstream's service, running and full; its database."""

    side: sides.Side
    database: Path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    folder = tmp_path_factory.mktemp("upstream")
    with (
        alone.serving(folder, program.free_port(), {}) as port,
        closing(sides.Side("upstream", port)) as side,
    ):
        filling.fill(side, folder / "ironic.sqlite")
        yield Made(side, folder / "ironic.sqlite")


Change = Callable[..., Path]


@pytest.fixture
def changed(made: Made, tmp_path: Path) -> Change:
    """Gives a copy of upstream's database after these statements."""

    def change(*statements: str) -> Path:
        path = tmp_path / "changed.sqlite"
        path.unlink(missing_ok=True)
        with closing(sqlite3.connect(made.database)) as source, closing(sqlite3.connect(path)) as copy:
            source.backup(copy)
            with copy:
                for statement in statements:
                    copy.execute(statement)
        return path

    return change


def bring(data: Path, database: Path | str, *words: str) -> dict[str, Any]:
    url = f"sqlite:///{database}" if isinstance(database, Path) else database
    where = (
        "--database",
        url,
        "--data-dir",
        str(data),
        *(() if "--set" in words else ("--set", "drivers=fake-hardware")),
    )
    result = program.run_here("import", "ironic", *where, *words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def rows(data: Path, statement: str) -> list[Any]:
    with closing(sqlite3.connect(data / "ingot.db")) as connection:
        return connection.execute(statement).fetchall()


def nodes(data: Path) -> dict[str, str]:
    return dict(rows(data, "SELECT name, provision_state FROM nodes"))


def differences(made: Made, data: Path, *words: str) -> list[str]:
    """Serve what was imported, ask both sides everything; what they do not answer alike."""
    differ: list[str] = []
    with program.serving(data, "--noauth", *_HERE, *words) as url, closing(sides.Side("ingot", _port(url))) as ours:
        for call in filling.questions():
            found: list[tuple[str, Any, Any]] = []
            left, right = made.side.send(call), ours.send(call)
            compare.diff("status", left.status, right.status, found)
            if left.status < 300:
                number = float if "history" in call.path else int  # whole seconds there, parts of them here
                compare.diff("body", *(json.loads(one.raw, parse_int=number) for one in (left, right)), found)
            shown = [(path, compare.shorten([one, other])) for path, one, other in found if not _INTENDED.search(path)]
            differ += [f"{call}: {path}: {text}" for path, text in shown]
    return differ


def test_both_answer_alike_after_the_import(made: Made, tmp_path: Path) -> None:
    told = bring(tmp_path, made.database, "--apply")
    assert told["kinds"]["nodes"] == {"there": filling.NODES, "come": filling.NODES}
    assert told["stay behind"] == []
    differ = differences(made, tmp_path)
    assert not differ, "\n".join(differ)
    assert rows(tmp_path, "SELECT count(*) FROM runs") == [(0,)], "nothing may be done to a machine that came"


@pytest.mark.parametrize("kind", ["mariadb", pytest.param("postgresql", marks=pytest.mark.long)])
def test_a_database_on_a_server_gives_the_same(made: Made, tmp_path: Path, databases: Databases, kind: str) -> None:
    url = databases.new(kind)
    copies.copy(made.database, url)
    told = bring(tmp_path, url, "--apply")
    assert told["kinds"]["nodes"]["come"] == filling.NODES
    # MariaDB keeps whole seconds.
    differ = [one for one in differences(made, tmp_path) if kind == "postgresql" or not re.search(r"_at: ", one)]
    assert not differ, "\n".join(differ)


@pytest.mark.parametrize("kind", ["postgresql", pytest.param("mariadb", marks=pytest.mark.long)])
def test_what_came_into_a_database_on_a_server_is_the_same(
    made: Made, tmp_path: Path, databases: Databases, kind: str
) -> None:
    into = ("--set", f"database={databases.new(kind)}")
    words = ("--set", "drivers=fake-hardware", *into)
    assert bring(tmp_path, made.database, *words, "--apply")["kinds"]["nodes"]["come"] == filling.NODES
    assert bring(tmp_path, made.database, *words)["present"] == filling.NODES
    assert not (tmp_path / "ingot.db").exists()
    differ = differences(made, tmp_path, *into)
    assert not differ, "\n".join(differ)
    undone = program.run_here("import", "undo", "--data-dir", str(tmp_path), *into, "--apply")
    assert undone.exit_code == 0, undone.output
    assert bring(tmp_path, made.database, *words)["kinds"]["nodes"]["come"] == filling.NODES


@pytest.fixture(scope="module")
def databases() -> Iterator[Databases]:
    made = Databases()
    yield made
    made.remove()


def _port(url: str) -> int:
    return int(url.rpartition(":")[2])


def reached_by(few: fleet.Fleet) -> list[str]:
    """Statements that make n0, n1 and n2 machines of a fleet, deployed and, as Ironic remembers them, switched off."""
    generic = {"deploy": "direct", "inspect": "agent", "network": "noop", "bios": "no-bios", "boot": "ipxe"}
    statements: list[str] = []
    for number, one in enumerate(few.nodes()):
        own = "ipmitool" if one["driver"] == "ipmi" else "redfish"
        interfaces = {**generic, "power": own, "management": own}
        columns = {f"{name}_interface": value for name, value in interfaces.items()}
        columns |= {"driver": one["driver"], "driver_info": json.dumps(one["driver_info"])}
        columns |= {"power_state": "power off", "provision_state": "active"}
        told = ", ".join(f"{name} = '{value}'" for name, value in columns.items())
        statements.append(f"UPDATE nodes SET {told}, maintenance = 0, console_enabled = 0 WHERE name = 'n{number}'")
    return statements


async def test_no_machine_that_is_on_is_touched(changed: Change, tmp_path: Path) -> None:
    """Nor switched to the power that the other service remembers, as Ironic would do."""
    few = fleet.Fleet(fleet.Plan(ipmi=2, redfish=1, first="127.51.0.1"))
    await few.start()
    try:
        for machine in few.machines.values():
            await machine.set_power(hardware.PowerAction.ON)
        given = [(one.boot, one.media, tuple(one.history)) for one in few.machines.values()]
        data, drivers = tmp_path / "data", ("--set", "drivers=fake-hardware,ipmi,redfish")
        told = await asyncio.to_thread(bring, data, changed(*reached_by(few)), *drivers, "--apply")
        assert told["stay behind"] == []
        await serve_and_look(few, data, *drivers)
        assert [(one.boot, one.media, tuple(one.history)) for one in few.machines.values()] == given
        assert rows(data, "SELECT count(*) FROM runs") == [(0,)]
    finally:
        await few.close()


async def serve_and_look(few: fleet.Fleet, data: Path, *words: str) -> None:
    """Serve what came until all of the fleet's power is known, and BMCs of each kind were asked again after that."""
    with contextlib.ExitStack() as stack:
        serving = program.serving(data, "--noauth", "--set", "power_sync_interval=1", *words)
        client = api.Client(await asyncio.to_thread(stack.enter_context, serving), timeout=10)

        async def known() -> bool:
            found = await asyncio.to_thread(client.get, "/v1/nodes/detail")
            powers = {one["name"]: one["power_state"] for one in found["nodes"]}
            return {powers[f"n{number}"] for number in range(len(few.machines))} == {"power on"}

        await stand.until(known, 30)
        before = few.messages()
        await stand.until(lambda: all(count > before[kind] for kind, count in few.messages().items()), 30)
        await asyncio.to_thread(stack.close)


def test_secrets_are_sealed_and_whole(made: Made, tmp_path: Path) -> None:
    bring(tmp_path, made.database, "--apply")
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert [word for word in filling.SECRETS if word.encode() in written] == []
    sealer = seal.Sealer(seal.open_keys(tmp_path / seal.KEY_FILE))
    [(uuid, sealed)] = rows(tmp_path, "SELECT uuid, secrets FROM nodes WHERE name = 'n2'")
    opened = sealer.open(uuid, sealed)
    assert opened["driver_info"] == {"fake_password": filling.SECRETS[0], "url": "https://u:pw@h/p"}
    assert opened["instance_info"]["configdrive"] == filling.SECRETS[1]
    for table, secret in (("deploy_templates", 2), ("volume_targets", 3), ("inspection_rules", 4)):
        [(uuid, sealed)] = rows(tmp_path, f"SELECT uuid, secrets FROM {table}")
        assert filling.SECRETS[secret] in json.dumps(sealer.open(uuid, sealed))


def test_a_plan_writes_nothing_and_a_second_import_brings_nothing(made: Made, tmp_path: Path) -> None:
    assert bring(tmp_path, made.database)["kinds"]["nodes"]["come"] == filling.NODES
    assert nodes(tmp_path) == {}
    assert bring(tmp_path, made.database, "--apply")["applied"]
    again = bring(tmp_path, made.database, "--apply")
    assert again["present"] == filling.NODES
    assert again["applied"] is None
    assert {kind: found["come"] for kind, found in again["kinds"].items() if found["come"]} == {}


def test_undo_forgets_all_but_what_was_worked_on(made: Made, tmp_path: Path) -> None:
    bring(tmp_path, made.database, "--apply")
    undo = ("import", "undo", "--data-dir", str(tmp_path))
    told = program.run_here(*undo).stdout
    assert ("Would go" in told, "1  chassis" in told) == (True, True)
    assert len(nodes(tmp_path)) == filling.NODES
    with closing(sqlite3.connect(tmp_path / "ingot.db")) as connection, connection:
        connection.execute("UPDATE nodes SET provision_state = 'active' WHERE name = 'n1'")
        connection.execute("UPDATE nodes SET power_state = 'power on'")  # as power sync does
        before = connection.execute("SELECT extra, name FROM nodes WHERE name != 'n1' ORDER BY name").fetchone()
        connection.execute("""UPDATE nodes SET extra = '{"by": "hand"}' WHERE name = ?""", before[1:])
    result = program.run_here(*undo, "--apply")
    assert (result.exit_code, set(nodes(tmp_path))) == (1, {"n1", before[1]}), result.output
    assert "was worked on since it came" in result.stdout
    assert "was changed by hand since it came" in result.stdout
    with closing(sqlite3.connect(tmp_path / "ingot.db")) as connection, connection:
        connection.execute("UPDATE nodes SET provision_state = 'available' WHERE name = 'n1'")
        connection.execute("UPDATE nodes SET extra = ? WHERE name = ?", before)
    assert program.run_here(*undo, "--apply").exit_code == 0
    tables = (
        "nodes",
        "ports",
        "chassis",
        "allocations",
        "deploy_templates",
        "runbooks",
        "inspection_rules",
        "node_bios",
    )
    assert {table: rows(tmp_path, f"SELECT count(*) FROM {table}")[0][0] for table in tables} == dict.fromkeys(
        tables, 0
    )
    assert program.run_here(*undo).exit_code == 1


def test_undo_after_the_key_was_replaced_still_knows_what_was_changed(made: Made, tmp_path: Path) -> None:
    bring(tmp_path, made.database, "--apply")
    where = ("--data-dir", str(tmp_path))
    rotated = program.run_here("db", "rotate-key", "--settle", "0", *where)
    assert rotated.exit_code == 0, rotated.output
    [(uuid, sealed)] = rows(tmp_path, "SELECT uuid, secrets FROM nodes WHERE name = 'n2'")
    sealer = seal.Sealer(seal.open_keys(tmp_path / seal.KEY_FILE))
    other = sealer.seal(uuid, {**sealer.open(uuid, sealed), "driver_info": {"fake_password": "another"}})
    with closing(sqlite3.connect(tmp_path / "ingot.db")) as connection, connection:
        connection.execute("UPDATE nodes SET secrets = ? WHERE uuid = ?", (other, uuid))
    result = program.run_here("import", "undo", "--apply", *where)
    assert (result.exit_code, set(nodes(tmp_path))) == (1, {"n2"}), result.output
    assert f"node {uuid} stays: it was changed by hand since it came" in result.stdout


_MOVING = [state for state, row in TABLE.items() if row.kind in {Kind.TRANSIENT, Kind.WAIT, Kind.HOLD}]


def test_a_node_that_is_worked_on_stays_or_comes_as_failed(changed: Change, tmp_path: Path) -> None:
    for state in _MOVING:
        database = changed(f"UPDATE nodes SET provision_state = '{state}' WHERE name = 'n0'")
        [stays] = bring(tmp_path, database)["stay behind"]
        assert (stays["name"], f'"{state}"' in stays["reason"]) == ("n0", True)
        told = bring(tmp_path, database, "--interrupted")
        assert told["stay behind"] == []
        [became] = [text for text in told["changes"] if text.startswith(f'"{state}" becomes')]
        after = State(became.split('"')[3])
        assert TABLE[after].kind in {Kind.FAILED, Kind.STABLE}
    locked = changed("UPDATE nodes SET reservation = 'host1' WHERE name = 'n2'")
    [stays, allocation] = bring(tmp_path, locked)["stay behind"]
    assert "is locked by host1" in stays["reason"]
    assert allocation["kind"] == "allocation"
    bring(
        tmp_path,
        changed("UPDATE nodes SET provision_state = 'deploying' WHERE name = 'n0'"),
        "--interrupted",
        "--apply",
    )
    assert nodes(tmp_path)["n0"] == "deploy failed"
    [(error,)] = rows(tmp_path, "SELECT last_error FROM nodes WHERE name = 'n0'")
    assert "Nothing has been done to it since" in error


def test_what_does_not_fit_stays_behind_with_a_reason(made: Made, changed: Change, tmp_path: Path) -> None:
    database = changed(
        "UPDATE nodes SET driver = 'acme' WHERE name = 'n0'",
        "UPDATE nodes SET network_interface = 'neutron' WHERE name = 'n1'",
        "UPDATE nodes SET vendor_interface = 'acme' WHERE name = 'n2'",
        "UPDATE nodes SET provision_state = 'odd' WHERE name = 'n3'",
        "UPDATE inspection_rules SET scope = 'rack4'",
    )
    told = bring(tmp_path, database)
    reasons = {one["name"]: one["reason"] for one in told["stay behind"]}
    assert "no driver acme" in reasons["n0"]
    assert "no network interface neutron" in reasons["n1"]
    assert 'no state "odd"' in reasons["n3"]
    assert "parent" in reasons["n4"]
    assert "scope rack4" in reasons["rule"]
    assert "vendor interface acme becomes no-vendor" in told["changes"]
    chosen = ("--replace", "driver:acme=fake-hardware", "--replace", "network:neutron=noop")
    assert {one["name"] for one in bring(tmp_path, database, *chosen)["stay behind"]} == {"n3", "n4", "rule"}
    other = changed("UPDATE nodes SET uuid = '10000001-0000-4000-8000-000000000000' WHERE name = 'n5'")
    bring(tmp_path, made.database, "--apply")
    [stays] = bring(tmp_path, other)["stay behind"]
    assert "has its name" in stays["reason"]


def test_an_older_database_comes_as_far_as_it_goes(changed: Change, tmp_path: Path) -> None:
    columns = ("health", "disable_power_off", "instance_name", "service_step", "firmware_interface", "secure_boot")
    statements = [f"ALTER TABLE nodes DROP COLUMN {name}" for name in columns]
    tables = (
        "runbook_traits",
        "runbook_steps",
        "runbooks",
        "inspection_rules",
        "firmware_information",
        "node_inventory",
    )
    told = bring(tmp_path, changed(*statements, *(f"DROP TABLE {name}" for name in tables)), "--apply")
    assert told["stay behind"] == []
    assert len(nodes(tmp_path)) == filling.NODES
    assert rows(tmp_path, "SELECT DISTINCT firmware_interface, disable_power_off FROM nodes WHERE name = 'n1'") == [
        ("no-firmware", 0)
    ]


def test_what_is_no_database_of_ironic_is_refused(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "other.db")) as connection, connection:
        connection.execute("CREATE TABLE things (id INTEGER)")

    def sentence(url: str) -> str:
        result = program.run_here("import", "ironic", "--database", url, "--data-dir", str(tmp_path))
        assert result.exit_code != 0
        return result.stderr

    assert "is no database of Ironic" in sentence(f"sqlite:///{tmp_path}/other.db")
    assert "cannot be read" in sentence(f"sqlite:///{tmp_path}/none.db")
    assert "no URL of a database" in sentence("nonsense")
    assert "cannot read oracle" in sentence("oracle://a/b")
    assert "hush" not in sentence("mysql://u:hush@127.0.0.1:1/ironic")
