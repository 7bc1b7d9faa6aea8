"""Lookup, heartbeat and inventory: one token once, clear refusals, and a woken run."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from flows import stand
from ingot.deps import Deps
from ingot.domain import errors, states
from ingot.services import heartbeat, provisioning
from ingot.store import history, nodes, ports
from ingot.store import runs as run_store

S = states.State
URL = "https://192.0.2.1:9999"


@pytest.fixture
async def deps(tmp_path: Path) -> AsyncIterator[Deps]:
    async with stand.site(tmp_path) as made:
        yield made


async def token_of(deps: Deps, uuid: str) -> str:
    return (await heartbeat.lookup(deps, [], uuid))[1]


async def test_the_token_is_given_out_once(deps: Deps) -> None:
    uuid = await stand.add_node(deps, S.CLEAN_WAIT)
    [port] = await deps.store.read(ports.list_of_node, uuid)
    found, token = await heartbeat.lookup(deps, [port.address.upper(), "00:00:00:00:00:01"], None)
    assert found.uuid == uuid
    assert len(token) >= 32
    assert await token_of(deps, uuid) == "******"


@pytest.mark.parametrize("state", [state for state in S if state not in states.LOOKUP_ALLOWED])
async def test_no_token_for_a_machine_that_nobody_expects(deps: Deps, state: states.State) -> None:
    uuid = await stand.add_node(deps, state)
    with pytest.raises(errors.NotFound, match="Resource could not be found"):
        await token_of(deps, uuid)
    assert (await deps.store.read(nodes.get_secrets, uuid))[1] is None


async def test_strangers_learn_nothing(deps: Deps) -> None:
    first, second = [await stand.add_node(deps, S.CLEAN_WAIT) for _ in range(2)]
    both = [(await deps.store.read(ports.list_of_node, uuid))[0].address for uuid in (first, second)]
    for addresses, node_uuid in (([], "no-such-node"), (["00:00:00:00:00:01"], None), (both, None)):
        with pytest.raises(errors.NotFound, match="Resource could not be found"):
            await heartbeat.lookup(deps, addresses, node_uuid)
    with pytest.raises(errors.Invalid, match="Either the addresses or the node_uuid"):
        await heartbeat.lookup(deps, [], None)


async def test_a_heartbeat_is_stored_and_wakes_the_run_and_rings(deps: Deps) -> None:
    uuid = await stand.add_node(deps)
    await provisioning.request(deps, uuid, "active", {})
    await deps.store.run(push_back, uuid)
    token = await token_of(deps, uuid)
    rings: list[str] = []
    deps.bus.listen(rings.append)
    body = {"callback_url": URL, "agent_token": token, "agent_version": "1", "agent_verify_ca": "PEM"}
    await heartbeat.beat(deps, uuid, body)
    node = await stand.get_node(deps, uuid)
    assert (node.agent_url, node.agent_version, node.agent_verify_ca) == (URL, "1", "PEM")
    assert node.agent_heartbeat_at == pytest.approx(deps.clock(), abs=5)
    run = await deps.store.read(run_store.find_open, uuid)
    assert run is not None
    assert run.wake_at <= deps.clock()
    assert rings == [uuid]


def push_back(connection: stand.Any, uuid: str) -> None:
    run_store.wake(connection, uuid, run_store.FAR)


@pytest.mark.parametrize("given", ["wrong", "", None, "ключ", 7])
async def test_a_wrong_token_is_refused_and_noted_once(deps: Deps, given: object) -> None:
    uuid = await stand.add_node(deps, S.CLEAN_WAIT)
    await token_of(deps, uuid)
    rings: list[str] = []
    deps.bus.listen(rings.append)
    for _ in range(3):
        with pytest.raises(errors.Invalid, match="gent token") as refused:
            await heartbeat.beat(deps, uuid, {"callback_url": URL, "agent_token": given})
        assert "Reboot the ramdisk" in refused.value.sentence()
    assert await stand.events(deps, uuid) == ["A heartbeat with a wrong agent token was refused."]
    assert (await stand.get_node(deps, uuid)).agent_url is None
    assert rings == []


async def test_a_new_boot_has_a_new_token_and_the_old_one_is_refused(deps: Deps) -> None:
    """What every boot does before it switches the machine on (``Journal.set_agent_token(None)``)."""
    uuid = await stand.add_node(deps, S.CLEAN_WAIT)
    old = await token_of(deps, uuid)
    await heartbeat.beat(deps, uuid, {"callback_url": URL, "agent_token": old})
    gone = {"agent_url": None, "agent_heartbeat_at": None, "agent_token": None, "agent_token_told": None}
    await deps.store.run(nodes.change, uuid, **gone)
    with pytest.raises(errors.Invalid, match="gent token"):
        await heartbeat.beat(deps, uuid, {"callback_url": URL, "agent_token": old})
    new = await token_of(deps, uuid)
    assert new != old
    with pytest.raises(errors.Invalid, match="gent token"):
        await heartbeat.beat(deps, uuid, {"callback_url": URL, "agent_token": old})
    await heartbeat.beat(deps, uuid, {"callback_url": URL, "agent_token": new})


async def test_a_token_of_one_node_is_worth_nothing_for_another(deps: Deps) -> None:
    one, two = await stand.add_node(deps, S.CLEAN_WAIT), await stand.add_node(deps, S.CLEAN_WAIT)
    token = await token_of(deps, one)
    await token_of(deps, two)
    with pytest.raises(errors.Invalid, match="gent token"):
        await heartbeat.beat(deps, two, {"callback_url": URL, "agent_token": token})


async def test_a_lost_answer_is_given_again_to_the_same_address_until_it_is_proved(deps: Deps) -> None:
    uuid = await stand.add_node(deps, S.CLEAN_WAIT)
    _, first = await heartbeat.lookup(deps, [], uuid, "192.0.2.7")
    assert (await heartbeat.lookup(deps, [], uuid, "192.0.2.7"))[1] == first
    assert (await heartbeat.lookup(deps, [], uuid, "192.0.2.8"))[1] == "******"
    assert (await heartbeat.lookup(deps, [], uuid, ""))[1] == "******"
    await heartbeat.beat(deps, uuid, {"callback_url": URL, "agent_token": first})
    assert (await heartbeat.lookup(deps, [], uuid, "192.0.2.7"))[1] == "******"
    events = await stand.events(deps, uuid)
    assert events == ["Two addresses looked this node up before its agent had proved itself: "
                      "one of them is not its machine."]  # fmt: skip


async def test_a_heartbeat_before_any_lookup_is_refused(deps: Deps) -> None:
    uuid = await stand.add_node(deps, S.CLEAN_WAIT)
    with pytest.raises(errors.Invalid, match="gent token"):
        await heartbeat.beat(deps, uuid, {"callback_url": URL, "agent_token": ""})


async def test_another_callback_url_or_an_unknown_node_or_state_is_refused(deps: Deps) -> None:
    uuid = await stand.add_node(deps, S.CLEAN_WAIT)
    token = await token_of(deps, uuid)
    await heartbeat.beat(deps, uuid, {"callback_url": URL, "agent_token": token})
    with pytest.raises(errors.Invalid, match="callback_url differs"):
        await heartbeat.beat(deps, uuid, {"callback_url": "https://203.0.113.9:9999", "agent_token": token})
    with pytest.raises(errors.NotFound):
        await heartbeat.beat(deps, "nobody", {})
    await deps.store.run(nodes.change, uuid, provision_state=S.ACTIVE)
    with pytest.raises(errors.Invalid, match='does not expect a heartbeat in the state "active"'):
        await heartbeat.beat(deps, uuid, {"callback_url": URL, "agent_token": token})


async def test_an_inventory_is_stored_for_the_machine_it_came_from(deps: Deps) -> None:
    uuid = await stand.add_node(deps, S.INSPECT_WAIT)
    [port] = await deps.store.read(ports.list_of_node, uuid)
    inventory = {"interfaces": [{"mac_address": port.address.upper()}, {"name": "no address"}]}
    found, _ = await heartbeat.receive_inventory(deps, inventory, {"more": 1}, None, None)
    assert found.uuid == uuid
    _, token = await heartbeat.lookup(deps, [port.address], None)
    assert token != "******"  # the call gave none away
    assert await deps.store.read(history.get_inventory, uuid) == (inventory, {"more": 1})


async def test_once_an_agent_is_proved_nobody_else_may_tell_an_inventory(deps: Deps) -> None:
    uuid = await stand.add_node(deps, S.INSPECT_WAIT)
    [port] = await deps.store.read(ports.list_of_node, uuid)
    await token_of(deps, uuid)
    inventory = {"interfaces": [{"mac_address": port.address}, {"mac_address": "52:54:00:ee:ee:ee"}]}
    with pytest.raises(errors.NotFound):
        await heartbeat.receive_inventory(deps, inventory, {}, uuid, None)
    with pytest.raises(errors.NotFound):
        await deps.store.read(history.get_inventory, uuid)
