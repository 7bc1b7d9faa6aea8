"""Nodes as JSON by the database: equal to what the values are, whatever text they hold, and read without waiting."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, select

from ingot.domain import errors, ids, node
from ingot.store import documents, node_filters, nodes, schema, upgrade
from ingot.store.engine import Store
from ingot.store.node_filters import Filter
from ingot.store.paging import Page, paged
from ingot.store.place import Place

TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)))
NAMES = ("uuid", "name", "description", "properties", "maintenance", "secure_boot", "traits", "driver_internal_info")


@pytest.fixture
async def file(tmp_path: Path) -> AsyncIterator[Store]:
    upgrade.upgrade(tmp_path / "ingot.db")
    made = Store(tmp_path / "ingot.db", patience=0.3)
    yield made
    made.close()


@pytest.fixture
async def store(empty: Place) -> AsyncIterator[Store]:
    made = Store(empty)
    yield made
    made.close()


def document(names: tuple[str, ...] = NAMES, **constants: Any) -> documents.Document:
    form, values = nodes.members(names, {})
    form += [f'"{key}":{documents.literal(constant)}' for key, constant in constants.items()]
    return documents.Document(form="{" + ",".join(form) + "}", values=tuple(values))


async def add(store: Store, **fields: Any) -> node.Node:
    return await store.run(nodes.create, node.Node(uuid=ids.new(), driver="fake-hardware", **fields), None)


@given(TEXTS, TEXTS, TEXTS)
@example("".join(map(chr, range(1, 33))), "\x1f", "100 %s")
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_text_comes_out_as_it_went_in(store: Store, description: str, key: str, constant: str) -> None:
    made = await add(store, description=description, properties={key: [description, 1.5, None, True]})
    found = json.loads(await store.peek(nodes.get_document, made.uuid, document(ours=constant)))
    assert found["description"] == description
    assert found["properties"] == {key: [description, 1.5, None, True]}
    assert found["ours"] == constant
    assert (found["name"], found["maintenance"], found["secure_boot"], found["traits"]) == (None, False, None, [])


async def test_who_reads_together_gets_what_each_gets_alone(store: Store) -> None:
    names = [f"n{number}" for number in range(40)]
    for name in names:
        await add(store, name=name)
    asked = [*names, "n1", "N2", "n3 ", "nobody", "%s"]

    async def told(name: str) -> str | bytes:
        try:
            return await store.peek(nodes.get_document, name, document())
        except errors.NotFound as error:
            return error.message

    async def told_of_all(name: str) -> node.Node | str:
        try:
            return await store.peek(nodes.get, name)
        except errors.NotFound as error:
            return error.message

    for tell in (told, told_of_all):
        alone = [await tell(name) for name in asked]
        assert len(set(map(str, alone))) >= len(names)
        assert await asyncio.gather(*(tell(name) for name in asked)) == alone


async def test_a_list_is_the_documents_in_order(store: Store) -> None:
    made = [await add(store, name=f"n{9 - i}", traits=("CUSTOM_B", "CUSTOM_A"), maintenance=i == 3) for i in range(10)]
    listed = await store.read(nodes.list_documents, Filter(), Page(limit=8, sort_key="name"), document())
    found = json.loads(b"[" + listed.items + b"]")
    assert [one["name"] for one in found] == [f"n{i}" for i in range(8)]
    assert [one["uuid"] for one in found] == listed.uuids
    assert listed.uuids == [one.uuid for one in reversed(made)][:8]
    assert found[0]["traits"] == ["CUSTOM_A", "CUSTOM_B"]
    assert [one["maintenance"] for one in found] == [one["name"] == "n6" for one in found]
    one = await store.read(nodes.get_document, found[2]["uuid"], document())
    assert json.loads(one) == found[2]
    after = Page(sort_key="name", marker=listed.uuids[-1])
    rest = await store.read(nodes.list_documents, Filter(), after, document())
    assert json.loads(b"[" + rest.items + b"]")[0]["name"] == "n8"
    assert await store.read(nodes.list_documents, Filter(driver="none"), Page(), document()) == documents.NOTHING


async def test_an_agent_shows_among_the_internal_facts(store: Store) -> None:
    made = await add(store, driver_internal_info={"kept": 1})
    known = {"agent_url": "https://192.0.2.7:9999", "agent_version": None, "agent_heartbeat_at": 1_700_000_000.25}
    await store.run(nodes.change, made.uuid, **known, agent_token="sealed")
    found = json.loads(await store.peek(nodes.get_document, made.uuid, document(("driver_internal_info",))))
    assert found["driver_internal_info"] == {
        "kept": 1,
        "agent_url": "https://192.0.2.7:9999",
        "agent_version": None,
        "agent_last_heartbeat": "2023-11-14T22:13:20.250000",
        "agent_secret_token": "******",
    }


async def test_a_peek_sees_what_was_written(store: Store) -> None:
    with pytest.raises(errors.NotFound, match="Node nobody"):
        await store.peek(nodes.get_document, "nobody", document())
    await add(store, name="n1")
    assert json.loads(await store.peek(nodes.get_document, "n1", document()))["name"] == "n1"
    await store.run(nodes.change, (await store.read(nodes.get, "n1")).uuid, name="n2")
    assert json.loads(await store.peek(nodes.get_document, "n2", document()))["name"] == "n2"


async def test_a_peek_never_holds_up_the_loop(file: Store) -> None:
    await add(file, name="n2")
    file.close()
    # A database that another process holds as its own: only that process's end lets anybody read.
    holder = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('PRAGMA locking_mode=EXCLUSIVE');"
        " c.execute('BEGIN IMMEDIATE'); c.execute('DELETE FROM users'); c.execute('COMMIT');"
        " print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", holder, str(file.where)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        late = Store(file.where, patience=0.3)
        with pytest.raises(errors.StoreDown, match="locked"):
            await late.peek(nodes.get_document, "n2", document())
        other.communicate(timeout=10)
    assert json.loads(await late.peek(nodes.get_document, "n2", document()))["name"] == "n2"
    late.close()


async def test_every_column_of_a_node_has_a_json_form(store: Store) -> None:
    made = await add(store, name="n1")
    names = tuple(column.name for column in schema.nodes.c)
    found = json.loads(await store.peek(nodes.get_document, made.uuid, document((*names, "conductor"))))
    assert set(found) == set(names)
    assert (type(found["id"]), found["name"], found["boot_interface"]) == (int, "n1", None)


@pytest.mark.parametrize(
    ("where", "page", "index"),
    [
        (Filter(), Page(), "nodes"),
        (Filter(provision_state="active"), Page(), "ix_nodes_provision_state"),
        (Filter(owner="ada"), Page(), "ix_nodes_owner"),
        (Filter(project="ada"), Page(), "ix_nodes_lessee"),
        (Filter(), Page(sort_key="name"), "sqlite_autoindex_nodes_2"),
        (Filter(), Page(sort_key="provision_state", descending=True), "ix_nodes_provision_state"),
    ],
)
async def test_a_list_reads_by_the_index_that_selects_most(file: Store, where: Filter, page: Page, index: str) -> None:
    def plan(connection: Connection) -> list[str]:
        statement = paged(
            connection, schema.nodes, select(schema.nodes.c.uuid).where(*node_filters.conditions(where)), page
        )
        compiled = statement.compile(connection, compile_kwargs={"literal_binds": True})
        return [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}")]

    found = await file.read(plan)
    assert not [line for line in found if "TEMP B-TREE" in line and not where.project]
    assert any(index in line.split() for line in found), found
