"""Every store function on a real database: what it stores, refuses and lists."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingot.domain import errors, ids, node, rule_actions, runs, states
from ingot.store import chassis, conductors, history, inspection_rules, journals, nodes, ports, seal, users
from ingot.store import claims as claim_store
from ingot.store import runs as run_store
from ingot.store.engine import Store
from ingot.store.node_filters import Filter
from ingot.store.paging import Page
from ingot.store.place import Place


@pytest.fixture
async def store(empty: Place) -> AsyncIterator[Store]:
    made = Store(empty)
    yield made
    made.close()


async def add(store: Store, **fields: Any) -> node.Node:
    return await store.run(nodes.create, node.Node(uuid=ids.new(), driver="fake-hardware", **fields), None)


async def add_port(store: Store, owner: node.Node, address: str, **fields: Any) -> node.Port:
    return await store.run(ports.create, node.Port(uuid=ids.new(), node_uuid=owner.uuid, address=address, **fields))


NUMBERS = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
LETTERS = st.characters(exclude_categories=("Cs",), exclude_characters="\0")
TEXT = st.none() | st.sampled_from(["null", "true", "1", "1.5", ""]) | st.text(LETTERS, max_size=20)
FIELDS = st.fixed_dictionaries(
    {
        "description": TEXT,
        "owner": TEXT,
        "extra": st.dictionaries(st.text(max_size=8), JSON, max_size=4),
        "automated_clean": st.none() | st.booleans(),
        "secure_boot": st.none() | st.booleans(),
        "maintenance": st.booleans(),
        "agent_heartbeat_at": st.none() | st.just(1.0),
        "traits": st.sets(st.sampled_from(["CUSTOM_A", "CUSTOM_B", "HW_X"])).map(lambda found: tuple(sorted(found))),
    }
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(fields=FIELDS)
async def test_a_node_read_back_equals_the_node_written(store: Store, fields: dict[str, Any]) -> None:
    value = node.Node(uuid=ids.new(), driver="d", **fields)
    made = await store.run(nodes.create, value, "sealed")
    for name in node.Node.__struct_fields__:
        if name != "created_at":
            assert getattr(made, name) == getattr(value, name), name
    assert await store.read(nodes.get_secrets, value.uuid) == ("sealed", None)


async def test_nodes_are_found_by_uuid_and_name_and_else_not(store: Store) -> None:
    made = await add(store, name="rack1-u1")
    assert await store.read(nodes.get, made.uuid) == await store.read(nodes.get, "rack1-u1") == made
    assert await store.read(nodes.find, "nobody") is None
    with pytest.raises(errors.NotFound, match="Node nobody could not be found"):
        await store.read(nodes.get, "nobody")


@pytest.mark.parametrize("column", ["uuid", "name", "instance_uuid"])
async def test_what_must_be_unique_is_refused_by_its_name(store: Store, column: str) -> None:
    taken = {"uuid": ids.new(), "name": "a", "instance_uuid": ids.new()}
    await store.run(nodes.create, node.Node(driver="d", **taken), None)
    fresh = {"uuid": ids.new(), "name": "b", "instance_uuid": ids.new(), column: taken[column]}
    told = {"uuid": "A node with UUID", "name": "A node with name", "instance_uuid": "Instance"}[column]
    with pytest.raises(errors.Conflict, match=f"{told} {taken[column]} (already exists|is already associated)"):
        await store.run(nodes.create, node.Node(driver="d", **fresh), None)
    if column == "name":
        other = await add(store, name="c")
        with pytest.raises(errors.Conflict, match="A node with name a already exists"):
            await store.run(nodes.change, other.uuid, name="a")


async def test_changing_and_removing(store: Store) -> None:
    made = await add(store)
    await store.run(nodes.change, made.uuid, extra={"a": [1]}, maintenance=True)
    found = await store.read(nodes.get, made.uuid)
    assert (found.extra, found.maintenance, found.updated_at is None) == ({"a": [1]}, True, False)
    assert not await store.run(nodes.change_if, made.uuid, {"power_state": "power on"}, power_state="power off")
    assert await store.run(nodes.change_if, made.uuid, {"power_state": None}, power_state="power off")
    await store.run(nodes.move, made.uuid, states.State.ENROLL, states.State.VERIFYING)
    with pytest.raises(errors.Conflict, match='left the provision state "enroll"'):
        await store.run(nodes.move, made.uuid, states.State.ENROLL, states.State.VERIFYING)
    assert await store.read(nodes.count) == 1
    await add_port(store, made, "52:54:00:00:00:01")
    await store.run(history.add, made.uuid, "x")
    await store.run(nodes.destroy, made.uuid)
    assert await store.read(ports.find, "52:54:00:00:00:01") is None
    for unit in (nodes.get_secrets, nodes.get):
        with pytest.raises(errors.NotFound):
            await store.read(unit, made.uuid)
    with pytest.raises(errors.NotFound):
        await store.run(nodes.change, made.uuid, name="x")


@pytest.mark.parametrize("sort_key", ["id", "uuid", "name", "resource_class", "maintenance", "created_at"])
@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("limit", [1, 2, 3, 7])
async def test_pages_put_together_are_the_whole_list(store: Store, sort_key: str, descending: bool, limit: int) -> None:
    """Equal sort keys and nulls included: nothing lost, nothing twice, one order."""
    classes = [None, "gold", "gold", "silver", None, "gold", "", None]
    for number, word in enumerate(classes):
        await add(store, resource_class=word, name=f"n{number}" if number % 3 else None, maintenance=number % 2 == 0)
    page = Page(limit=100, sort_key=sort_key, descending=descending)
    whole = [one.uuid for one in await store.read(nodes.list_all, Filter(), page)]
    assert len(whole) == len(classes)
    seen: list[str] = []
    for _ in range(len(classes) + 1):
        page = Page(limit=limit, marker=seen[-1] if seen else None, sort_key=sort_key, descending=descending)
        part = await store.read(nodes.list_rows, Filter(), page, ("uuid", "maintenance"))
        assert all(isinstance(row["maintenance"], bool) for row in part)
        seen += [row["uuid"] for row in part]
        if len(part) < limit:
            break
    assert seen == whole
    with pytest.raises(errors.NotFound, match=r"Node .* could not be found"):
        await store.read(nodes.list_all, Filter(), Page(marker=ids.new()))


async def test_each_filter_selects_what_it_says(store: Store) -> None:
    box = await store.run(chassis.create, node.Chassis(uuid=ids.new()))
    parent = await add(store, name="plain")
    fields: dict[str, Any] = {
        "instance_uuid": ids.new(), "maintenance": True, "provision_state": states.State.ACTIVE, "driver": "ipmi",
        "resource_class": "gold", "chassis_uuid": box.uuid, "fault": "power failure", "conductor_group": "east",
        "owner": "ada", "lessee": "bob", "retired": True, "instance_name": "web",
    }  # fmt: skip
    special = await store.run(
        nodes.create,
        node.Node(uuid=ids.new(), shard="s1", description="50%_off", reservation="host", **fields),
        None,
    )
    child = await add(store, parent_node=parent.uuid)

    async def listed(**where: Any) -> set[str]:
        return {one.uuid for one in await store.read(nodes.list_all, Filter(**where), Page())}

    for key, value in fields.items():
        assert await listed(**{key: value}) == {special.uuid}, key
    both = {parent.uuid, special.uuid}
    assert await listed() == both
    assert await listed(include_children=True) == {*both, child.uuid}
    assert await listed(parent_node=parent.uuid) == {child.uuid}
    assert await listed(associated=True) == await listed(project="bob") == await listed(project="ada") == {special.uuid}
    assert (
        await listed(associated=False) == await listed(sharded=False) == await listed(reserved=False) == {parent.uuid}
    )
    assert (
        await listed(shard=("s1", "s2")) == await listed(sharded=True) == await listed(reserved=True) == {special.uuid}
    )
    assert await listed(description_contains="0%_o") == {special.uuid}
    assert await listed(description_contains="0%o") == set()


async def test_whose_agent_called_from_an_address_last(store: Store) -> None:
    url = "http://192.0.2.7:9999"
    own, old, new = [await add(store) for _ in range(3)]
    for one, at in ((own, 40.0), (old, 20.0), (new, 30.0)):
        await store.run(nodes.change, one.uuid, agent_url=url, agent_heartbeat_at=at)
    assert await store.read(nodes.find_other_agent, own.uuid, url, 10.0) == (new.uuid, 30.0)
    assert await store.read(nodes.find_other_agent, own.uuid, url, 30.0) is None, "none since then"
    assert await store.read(nodes.find_other_agent, own.uuid, f"{url}9", 10.0) is None


async def test_a_node_outlives_its_parent(store: Store) -> None:
    parent = await add(store)
    child = await add(store, parent_node=parent.uuid)
    grandchild = await add(store, parent_node=child.uuid)
    assert await store.read(nodes.list_relatives, child.uuid) == [parent, grandchild]
    await store.run(nodes.destroy, parent.uuid)
    assert await store.read(nodes.list_relatives, child.uuid) == [grandchild]


async def test_traits(store: Store) -> None:
    made = await add(store, traits=("B", "A"))
    await add(store)
    assert made.traits == ("A", "B")
    await store.run(nodes.set_traits, made.uuid, ("C", "C"))
    assert (await store.read(nodes.get, made.uuid)).traits == ("C",)
    assert sorted(one.traits for one in await store.read(nodes.list_all, Filter(), Page())) == [(), ("C",)]


async def test_ports(store: Store) -> None:
    owner = await add(store, shard="s1", conductor_group="east")
    other = await add(store)
    first = await add_port(store, owner, "52:54:00:00:00:01", name="uplink", description="left card")
    second = await add_port(store, other, "52:54:00:00:00:02")
    for ident in (first.uuid, "uplink", "52:54:00:00:00:01"):
        assert await store.read(ports.get, ident) == first
    with pytest.raises(errors.Conflict, match="MAC address 52:54:00:00:00:01 already exists"):
        await add_port(store, other, "52:54:00:00:00:01")
    with pytest.raises(errors.Conflict):
        await store.run(ports.change, second.uuid, address="52:54:00:00:00:01")
    assert await store.read(ports.list_of_node, owner.uuid) == [first]
    assert await store.read(ports.list_page, Page(), shard=["s1"]) == [first]
    assert await store.read(ports.list_page, Page(), conductor_group=["east", "west"]) == [first]
    assert await store.read(ports.list_page, Page(), description_contains="left", node_uuid=None) == [first]
    assert await store.read(ports.list_page, Page(), address=second.address) == [second]
    found = await store.read(nodes.find_by_macs, [first.address, second.address, "00:00:00:00:00:00"])
    assert {one.uuid for one in found} == {owner.uuid, other.uuid}
    await store.run(ports.change, first.uuid, internal_info={"a": 1}, pxe_enabled=False)
    changed = await store.read(ports.get, first.uuid)
    assert (changed.internal_info, changed.pxe_enabled) == ({"a": 1}, False)
    await store.run(ports.destroy, first.uuid)
    for call in (store.read(ports.get, first.uuid), store.run(ports.destroy, first.uuid)):
        with pytest.raises(errors.NotFound):
            await call
    with pytest.raises(errors.NotFound):
        await store.run(ports.change, first.uuid, name="x")


async def test_chassis(store: Store) -> None:
    box = await store.run(chassis.create, node.Chassis(uuid=ids.new(), description="left rack", extra={"a": 1}))
    assert await store.read(chassis.get, box.uuid) == box
    with pytest.raises(errors.Conflict):
        await store.run(chassis.create, node.Chassis(uuid=box.uuid))
    await store.run(chassis.change, box.uuid, description="right rack")
    assert [one.description for one in await store.read(chassis.list_page, Page())] == ["right rack"]
    inside = await add(store, chassis_uuid=box.uuid)
    with pytest.raises(errors.Invalid, match="contains nodes"):
        await store.run(chassis.destroy, box.uuid)
    await store.run(nodes.destroy, inside.uuid)
    await store.run(chassis.destroy, box.uuid)
    for call in (store.read(chassis.get, box.uuid), store.run(chassis.destroy, box.uuid)):
        with pytest.raises(errors.NotFound):
            await call


async def test_a_node_is_read_again_where_it_changed(store: Store) -> None:
    made = await store.run(nodes.create, node.Node(uuid=ids.new(), driver="d"), "v1:x")
    known = await store.read(nodes.get, made.uuid)
    found, sealed = await store.read(nodes.get_again, known)
    assert found is known
    assert sealed == "v1:x"
    await store.run(nodes.change, made.uuid, owner="a")
    assert await store.read(nodes.get_again, known) == (await store.read(nodes.get, made.uuid), "v1:x")
    known = await store.read(nodes.get, made.uuid)
    traits = rule_actions.Findings({}, ("CUSTOM_A",), {}, None)
    await store.run(inspection_rules.keep, seal.Sealer(bytes(32)), made.uuid, traits)
    assert (await store.read(nodes.get_again, known))[0].traits == ("CUSTOM_A",)
    await store.run(nodes.destroy, made.uuid)
    with pytest.raises(errors.NotFound):
        await store.read(nodes.get_again, known)


async def test_a_node_is_changed_only_as_it_is_known(store: Store) -> None:
    made = await add(store)
    run = make_run(made)
    await store.run(run_store.open_run, run)
    await store.run(nodes.change, made.uuid, owner="a")
    known = await store.read(nodes.get, made.uuid)
    for seen, generation, done in ((made, 0, False), (known, 1, False), (known, 0, True), (known, 0, False)):
        assert await store.run(nodes.change_known, seen, run.id, generation, owner="b") is done
    found = await store.read(nodes.get, made.uuid)
    await store.run(run_store.request_abort, made.uuid, "why", 1.0)
    assert not await store.run(nodes.change_known, found, run.id, 0, owner="c")


async def test_inventory(store: Store) -> None:
    made = await add(store)
    with pytest.raises(errors.NotFound, match="inventory record for node"):
        await store.read(history.get_inventory, made.uuid)
    await store.run(history.set_inventory, made.uuid, {"cpu": 1}, {"a": 1})
    await store.run(history.set_inventory, made.uuid, {"cpu": 2}, {})
    assert await store.read(history.get_inventory, made.uuid) == ({"cpu": 2}, {})


async def test_users(store: Store) -> None:
    await store.run(users.put, users.User(name="ada", password_hash="h1"))
    await store.run(users.put, users.User(name="ada", password_hash="h2", role="reader"))
    found = await store.read(users.find, "ada")
    assert found is not None
    assert (found.password_hash, found.role) == ("h2", "reader")
    assert "h2" not in repr(found)
    assert [one.name for one in await store.read(users.list_all)] == ["ada"]
    await store.run(users.destroy, "ada")
    assert await store.read(users.find, "ada") is None
    with pytest.raises(errors.NotFound):
        await store.run(users.destroy, "ada")


async def test_conductors(store: Store) -> None:
    me = conductors.Conductor(hostname="h", boot_id="1", drivers=("ipmi",), seen_at=1.0)
    assert await store.run(conductors.register, me) is None
    assert await store.run(conductors.register, conductors.Conductor(hostname="h", boot_id="2")) == "1"
    assert not await store.run(conductors.beat, "h", "1", 5.0)
    assert await store.run(conductors.beat, "h", "2", 5.0, online=False)
    found = await store.read(conductors.get, "h")
    assert (found.seen_at, found.online, found.boot_id) == (5.0, False, "2")
    assert [one.hostname for one in await store.read(conductors.list_all)] == ["h"]
    with pytest.raises(errors.NotFound):
        await store.read(conductors.get, "x")


def make_run(owner: node.Node, started: float = 1.0, wake: float = 0.0) -> runs.Run:
    return runs.Run(
        id=ids.new(), node_uuid=owner.uuid, kind=runs.Kind.DEPLOY, started_at=started, wake_at=wake, deadline=99
    )


async def test_a_run_from_open_to_end(store: Store) -> None:
    owner = await add(store)
    run = make_run(owner)
    await store.run(run_store.open_run, run)
    with pytest.raises(errors.Locked, match='locked by the run "deploy"'):
        await store.run(run_store.open_run, make_run(owner))
    with pytest.raises(errors.NotFound):
        await store.run(run_store.open_run, make_run(node.Node(uuid=ids.new(), driver="d")))
    [lease] = await store.run(claim_store.claim, "host.example/1", 10.0, 5.0, 9)
    assert (await store.read(nodes.get, owner.uuid)).reservation == "host.example"
    assert await store.run(claim_store.claim, "other/1", 10.0, 5.0, 9) == []
    assert await store.read(claim_store.next_wake) == 15.0
    await store.run(journals.append, lease, runs.Entry(1, 0, runs.Mark.STARTED, 3.0, "why"))
    assert await store.read(journals.get, run.id) == [runs.Entry(1, 0, runs.Mark.STARTED, 3.0, "why")]
    await store.run(run_store.park, lease, runs.Wait("the call", 10.0, 100.0), 50.0)
    held = await store.read(run_store.get, run.id)
    assert (held.owner, held.wake_at, held.reason) == (None, 50.0, "the call")
    assert (await store.read(nodes.get, owner.uuid)).reservation is None
    assert await store.run(claim_store.claim, "host/1", 49.0, 5.0, 9) == []
    assert await store.run(run_store.wake, owner.uuid, 20.0)
    assert await store.read(claim_store.next_wake) == 20.0
    [lease] = await store.run(claim_store.claim, "host/1", 20.0, 5.0, 9)
    await store.run(run_store.finish, lease, runs.Status.SUCCEEDED, None, 30.0)
    assert await store.read(run_store.find_open, owner.uuid) is None
    assert await store.read(claim_store.next_wake) is None
    assert not await store.run(run_store.wake, owner.uuid, 1.0)
    assert not await store.run(run_store.request_abort, owner.uuid, "x", 1.0)
    second = make_run(owner, started=2.0)
    await store.run(run_store.open_run, second)
    assert [one.id for one in await store.read(run_store.list_of_node, owner.uuid)] == [second.id, run.id]
    last = await store.read(run_store.find_last, owner.uuid)
    assert last is not None
    assert last.id == second.id
    with pytest.raises(errors.NotFound):
        await store.read(run_store.get, "nothing")


async def test_claims_take_what_is_due_longest_first_and_each_once(store: Store) -> None:
    made = [make_run(await add(store), wake=float(number % 4)) for number in range(12)]
    for run in made:
        await store.run(run_store.open_run, run)
    taken = [await store.run(claim_store.claim, f"h{n}/1", 2.0, 5.0, 4) for n in range(3)]
    waking = {run.id: run.wake_at for run in made}
    order = [waking[lease.run_id] for lease in itertools.chain(*taken)]
    assert order == sorted(order)
    assert len(order) == len({lease.run_id for lease in itertools.chain(*taken)}) == 9
    assert max(order) == 2.0
    orphans = await store.run(claim_store.claim, "h9/1", 7.5, 5.0, 99)
    assert len(orphans) == 12
    assert {lease.generation for lease in orphans} == {1, 2}


# --- Sealed secrets ---


def test_what_is_sealed_opens_for_its_node_and_key_alone(tmp_path: Path) -> None:
    sealer = seal.Sealer(seal.open_keys(tmp_path / "secret.key"))
    text = sealer.seal("node-1", {"driver_info": {"password": "geheim"}})
    assert "geheim" not in text
    assert (
        seal.Sealer(seal.open_keys(tmp_path / "secret.key")).open("node-1", text)["driver_info"]["password"] == "geheim"
    )
    assert sealer.open("node-1", None) is None
    assert (tmp_path / "secret.key").stat().st_mode & 0o777 == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["secret.key"]
    for other, uuid in ((sealer, "node-2"), (seal.Sealer(bytes(32)), "node-1")):
        with pytest.raises(errors.Bug, match="cannot be opened"):
            other.open(uuid, text)


def test_a_key_file_that_holds_no_key_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "secret.key").write_bytes(b"")
    with pytest.raises(errors.Invalid, match=r"secret\.key holds no key"):
        seal.open_keys(tmp_path / "secret.key").keys()
