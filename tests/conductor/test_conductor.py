"""Claims, membership, synchronous calls and power sync of one or two conductors on one database."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from flows import stand
from ingot.conductor.calls import Calls
from ingot.conductor.membership import Membership
from ingot.conductor.periodic.power_sync import PowerSync
from ingot.deps import Deps
from ingot.domain import errors, ids, node, runs, states
from ingot.services import provisioning
from ingot.store import claims as claim_store
from ingot.store import conductors, nodes, ports, statistics
from ingot.store import runs as run_store

S = states.State


@pytest.fixture
async def deps(tmp_path: Path) -> AsyncIterator[Deps]:
    async with stand.site(tmp_path) as made:
        yield made


# --- Claims ---


async def test_who_was_late_and_has_nothing_to_do_has_the_usual_lease_again(tmp_path: Path) -> None:
    async with stand.site(tmp_path, lease=0.6) as deps:
        for _ in range(5):
            deps.pace.beaten(2.0)
        assert deps.pace.lease > 4
        async with stand.conductor(deps):
            await stand.until(lambda: deps.pace.lease == 0.6, 10)


async def test_a_ring_is_heard_at_once_and_a_lost_one_within_five_seconds(tmp_path: Path, deps: Deps) -> None:
    async with stand.conductor(deps):
        first = await stand.add_node(deps)
        began = time.monotonic()
        await provisioning.request(deps, first, "active", {})
        await stand.ended(deps, first)
        assert time.monotonic() - began < 3
        second = await stand.add_node(deps)
        async with stand.site(tmp_path) as elsewhere:  # another process: its bus reaches nobody here
            began = time.monotonic()
            await provisioning.request(elsewhere, second, "active", {})
            await stand.ended(deps, second)
            assert time.monotonic() - began < 7


async def test_a_process_that_cannot_keep_up_begins_no_more(deps: Deps) -> None:
    """Else all that is asked at once is begun at once, and every deadline passes while each gets a little."""
    uuids = [await stand.add_node(deps, driver_info={"fake_delay": 0.5}) for _ in range(110)]
    for uuid in uuids:
        await provisioning.request_power(deps, uuid, stand.ON)
    hogging = asyncio.create_task(stand.hog())
    most = 0

    async def on() -> bool:
        nonlocal most
        found = await deps.store.peek(statistics.read, deps.clock())
        most = max(most, int(found.runs.get(("power", "working"), 0)))
        return not found.runs

    async with stand.conductor(deps):
        try:
            await stand.until(on, 60)
        finally:
            hogging.cancel()
    assert 32 < most <= 64


async def test_a_long_step_keeps_its_lease(tmp_path: Path) -> None:
    async with stand.site(tmp_path, lease=0.3) as deps, stand.conductor(deps, "first"):
        uuid = await stand.add_node(deps, driver_info={"fake_delay": 0.8})
        await provisioning.request_power(deps, uuid, stand.ON)
        async with stand.conductor(deps, "second"):
            run = await stand.ended(deps, uuid)
        assert (run.status, run.generation) == (runs.Status.SUCCEEDED, 1)


async def test_three_hundred_machines_are_worked_on_by_two_conductors_each_once(tmp_path: Path) -> None:
    async with stand.site(tmp_path) as deps, stand.conductor(deps, "east"), stand.conductor(deps, "west"):
        uuids = [await stand.add_node(deps) for _ in range(150)]
        await asyncio.gather(*(provisioning.request(deps, uuid, "active", {}) for uuid in uuids))
        for uuid in uuids:
            assert (await stand.ended(deps, uuid, 40)).generation == 1
            assert stand.effects(tmp_path, uuid).count("image written") == 1


async def test_a_conductor_that_stops_gives_its_runs_back_at_once(tmp_path: Path) -> None:
    async with stand.site(tmp_path, lease=3600.0) as deps:
        uuid = await stand.add_node(deps, driver_info={"fake_delay": 0.5})
        async with stand.conductor(deps, "leaving"):
            await provisioning.request(deps, uuid, "active", {})
            await stand.until(lambda: stand.effects(tmp_path, uuid))
        run = await deps.store.read(run_store.find_open, uuid)
        assert run is not None
        assert run.owner is None
        assert (await deps.store.read(conductors.get, "leaving")).online is False
        await deps.store.run(nodes.change, uuid, driver_info={})
        async with stand.conductor(deps, "staying"):
            assert (await stand.ended(deps, uuid)).status == runs.Status.SUCCEEDED
        assert stand.effects(tmp_path, uuid).count("image written") == 1


# --- Membership ---


async def test_a_restart_under_the_same_name_takes_over_and_the_old_one_stops(deps: Deps) -> None:
    old = Membership(deps, "host", "boot-1", every=0.05)
    await old.join()
    uuid = await stand.add_node(deps)
    await provisioning.request(deps, uuid, "active", {})
    [lease] = await deps.store.run(claim_store.claim, old.owner, deps.clock(), 3600.0, 9)
    beating = asyncio.create_task(old.run())
    await Membership(deps, "host", "boot-2").join()
    run = await deps.store.read(run_store.get, lease.run_id)
    assert (run.owner, (await stand.get_node(deps, uuid)).reservation) == (None, None)
    with pytest.raises(errors.Conflict, match='started under the hostname "host"; this one stops'):
        await asyncio.wait_for(beating, 5)
    with pytest.raises(errors.LostLease):
        await deps.store.run(run_store.check, lease)


# --- Calls ---


@contextlib.asynccontextmanager
async def calls(deps: Deps) -> AsyncIterator[Calls]:
    yield Calls(deps, stand.kit(deps))


async def test_validate_says_of_each_interface_whether_it_will_do(deps: Deps) -> None:
    uuid = await stand.add_node(deps, network_interface="flat")
    async with calls(deps):
        good = await deps.bus.call("validate", node_uuid=uuid)
        assert good["power"] == good["network"] == {"result": True}
        assert good["raid"]["result"] is False
        assert good["bios"]["result"] is False
        [port] = await deps.store.read(ports.list_of_node, uuid)
        await deps.store.run(ports.change, port.uuid, pxe_enabled=False)
        bad = await deps.bus.call("validate", node_uuid=uuid)
        assert bad["network"]["result"] is False
        assert "has no port with pxe_enabled. Create one" in bad["network"]["reason"]


async def test_boot_device(deps: Deps, tmp_path: Path) -> None:
    uuid = await stand.add_node(deps)
    async with calls(deps):
        assert await deps.bus.call("supported_boot_devices", node_uuid=uuid) == ["pxe", "disk", "cdrom"]
        await deps.bus.call("set_boot_device", node_uuid=uuid, device="disk", persistent=True)
        found = await deps.bus.call("get_boot_device", node_uuid=uuid)
        assert found == {"boot_device": "disk", "persistent": True}
        with pytest.raises(errors.Invalid, match="Invalid boot device floppy"):
            await deps.bus.call("set_boot_device", node_uuid=uuid, device="floppy", persistent=True)
        await deps.bus.call("inject_nmi", node_uuid=uuid)
        with pytest.raises(errors.NotFound):
            await deps.bus.call("validate", node_uuid=ids.new())
    assert stand.effects(tmp_path, uuid) == ["boot device disk", "nmi"]


async def test_a_node_that_a_run_holds_is_not_touched(deps: Deps, tmp_path: Path) -> None:
    uuid = await stand.add_node(deps, reservation="elsewhere")
    vif = {"id": "v"}
    exclusive: dict[str, dict[str, Any]] = {
        "set_boot_device": {"device": "disk", "persistent": True},
        "get_boot_device": {},
        "inject_nmi": {},
        "vif_attach": {"vif": vif},
        "vif_detach": {"vif_id": "v"},
    }
    async with calls(deps):
        for verb, payload in exclusive.items():
            with pytest.raises(errors.Locked, match="locked by host elsewhere"):
                await deps.bus.call(verb, node_uuid=uuid, **payload)
    assert stand.effects(tmp_path, uuid) == []


async def test_vifs_find_a_free_port_each_even_at_once(deps: Deps) -> None:
    uuid = await stand.add_node(deps)
    for number in range(2):
        address = f"52:54:00:aa:aa:{number:02x}"
        await deps.store.run(ports.create, node.Port(uuid=ids.new(), node_uuid=uuid, address=address))
    async with calls(deps):
        asked = [deps.bus.call("vif_attach", node_uuid=uuid, vif={"id": f"v{n}"}) for n in range(5)]
        results = await asyncio.gather(*asked, return_exceptions=True)
        assert results.count(None) == 3
        refused = [str(result) for result in results if result is not None]
        assert all("not enough free physical ports" in text for text in refused)
        attached = await deps.bus.call("vif_list", node_uuid=uuid)
        assert len(set(attached)) == 3
        with pytest.raises(errors.Conflict, match="already attached"):
            await deps.bus.call("vif_attach", node_uuid=uuid, vif={"id": attached[0]})
        await deps.bus.call("vif_detach", node_uuid=uuid, vif_id=attached[0])
        assert await deps.bus.call("vif_list", node_uuid=uuid) == attached[1:]
        with pytest.raises(errors.Invalid, match="not attached"):
            await deps.bus.call("vif_detach", node_uuid=uuid, vif_id=attached[0])


async def test_without_a_conductor_a_call_says_so(deps: Deps) -> None:
    with pytest.raises(errors.Unreachable, match="No conductor is running"):
        await deps.bus.call("validate", node_uuid="x")


# --- Power sync ---


@pytest.fixture
def sync(deps: Deps) -> PowerSync:
    return PowerSync(deps, Calls(deps, stand.kit(deps)))


async def swept(sync: PowerSync) -> None:
    await sync.sweep(0)
    await sync.settle()


async def press_the_button(deps: Deps, uuid: str, power: str) -> None:
    await deps.store.run(nodes.change, uuid, driver_info={"fake_power": power})


async def test_a_change_from_outside_is_followed_and_noted(deps: Deps, sync: PowerSync) -> None:
    uuid = await stand.add_node(deps)
    await swept(sync)
    assert await stand.events(deps, uuid) == []
    await press_the_button(deps, uuid, "power on")
    for _ in range(2):
        await swept(sync)
        assert (await stand.get_node(deps, uuid)).power_state == "power on"
        assert await stand.events(deps, uuid) == ['Power changed outside ingot from "power off" to "power on".']


async def test_what_is_unknown_is_filled_in_without_a_word(deps: Deps, sync: PowerSync) -> None:
    uuid = await stand.add_node(deps, power_state=None)
    await swept(sync)
    assert (await stand.get_node(deps, uuid)).power_state == "power off"
    assert await stand.events(deps, uuid) == []


@pytest.mark.parametrize(
    "fields",
    [
        {"reservation": "host"},
        {"maintenance": True},
        {"target_power_state": "power off"},
        {"provision_state": S.WAIT_CALL_BACK},
        {"provision_state": S.CLEAN_WAIT},
        {"provision_state": S.ENROLL},
    ],
    ids=str,
)
async def test_nodes_that_others_hold_are_left_alone(deps: Deps, sync: PowerSync, fields: dict[str, Any]) -> None:
    uuid = await stand.add_node(deps, driver_info={"fake_power": "power on"})
    await deps.store.run(nodes.change, uuid, **fields)
    await swept(sync)
    assert (await stand.get_node(deps, uuid)).power_state == "power off"


async def test_a_node_taken_during_the_sweep_is_not_written_to(deps: Deps, sync: PowerSync) -> None:
    uuid = await stand.add_node(deps, driver_info={"fake_power": "power on", "fake_delay": 1.5})
    began = time.monotonic()
    await sync.sweep(0)
    await deps.store.run(nodes.change, uuid, reservation="host")
    assert time.monotonic() - began < 1.5, "the machine has answered before it was taken"
    await sync.settle()
    assert (await stand.get_node(deps, uuid)).power_state == "power off"


async def test_a_dead_bmc_is_asked_ever_less_told_once_and_told_when_it_is_back(deps: Deps, sync: PowerSync) -> None:
    dead = await stand.add_node(deps, driver_info={"fake_fault": "power.get", "fake_fault_text": "no answer"})
    wrong = await stand.add_node(deps, driver_info={"fake_bug": "power.get"})
    alive = await stand.add_node(deps, driver_info={"fake_power": "power on"})
    with structlog.testing.capture_logs() as logs:
        for _ in range(21):
            await swept(sync)
        assert (await stand.get_node(deps, alive)).power_state == "power on"
        lost = [line for line in logs if line["event"] == "BMC does not answer"]
        assert sorted(line["node"] for line in lost) == sorted([dead, wrong])
        assert "unforeseen ValueError" in next(line["reason"] for line in lost if line["node"] == wrong)
        await deps.store.run(nodes.change, dead, driver_info={})
        for _ in range(17):
            await swept(sync)
        assert [line["node"] for line in logs if line["event"] == "BMC answers again"] == [dead]
