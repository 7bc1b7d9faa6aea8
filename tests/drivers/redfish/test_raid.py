"""RAID of the redfish driver: which disks are chosen, and what is told at the end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from drivers import place
from drivers.redfish import peer
from ingot.clients.redfish.storage import Controller, Drive, Volume
from ingot.domain import errors, runs
from ingot.drivers.redfish import raid_plan
from ingot.store import nodes
from ingot_rack.redfish import storage, tasks
from interfaces import contracts, hardware_contracts

GIB = raid_plan.GIB


def drive(number: int, size: int = 500, media: str = "HDD", protocol: str = "SAS") -> Drive:
    return Drive(path=f"/d/{number}", id=f"d{number}", size=size * GIB, media=media, protocol=protocol)


def controller(*drives: Drive, taken: tuple[str, ...] = (), types: tuple[str, ...] = ()) -> Controller:
    volumes = (Volume(path="/v/0", name="old", size=1, raid="RAID1", drives=taken),) if taken else ()
    return Controller(
        path="/c", id="c", raid_types=types, drives=drives, volumes=volumes, collection="/c/v", apply_times=()
    )


def plan(wishes: list[dict[str, Any]], *controllers: Controller) -> list[tuple[list[str], int]]:
    return [([one.id for one in each.drives], each.size // GIB) for each in raid_plan.choose(wishes, list(controllers))]


def test_the_smallest_disks_that_suffice_are_taken() -> None:
    disks = controller(drive(1, 900), drive(2, 300), drive(3, 200), drive(4, 900))
    assert plan([{"raid_level": "1", "size_gb": 150}], disks) == [(["d3", "d2"], 150)]


def test_max_takes_what_is_left_whatever_the_order() -> None:
    disks = controller(*(drive(number) for number in range(1, 6)))
    wishes = [{"raid_level": "0", "size_gb": "MAX"}, {"raid_level": "1", "size_gb": 20}]
    assert plan(wishes, disks) == [(["d3"], 500), (["d1", "d2"], 20)]
    assert plan([{"raid_level": "5", "size_gb": "MAX", "number_of_physical_disks": 4}], disks)[0][1] == 1500


def test_shared_disks_give_their_bytes_once() -> None:
    disks = controller(drive(1), drive(2))
    share = {"raid_level": "1", "share_physical_disks": True}
    assert plan([{**share, "size_gb": 100}, {**share, "size_gb": "MAX"}], disks) == [
        (["d1", "d2"], 100),
        (["d1", "d2"], 400),
    ]
    with pytest.raises(errors.Invalid, match="no disks for logical disk 1"):
        plan([{**share, "size_gb": 300}, {**share, "size_gb": 300}], disks)
    with pytest.raises(errors.Invalid, match="no disks for logical disk 1"):
        plan([{"raid_level": "1", "size_gb": 100}, {**share, "size_gb": 100}], disks)


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"raid_level": "5", "number_of_physical_disks": 2}, "cannot be RAID 5 of 2 disks. Least: 3"),
        ({"raid_level": "1+0", "number_of_physical_disks": 5}, "cannot be RAID 1+0 of 5 disks"),
        ({"raid_level": "2"}, "RAID level 2 cannot be made by a Redfish service"),
        ({"raid_level": "0", "disk_type": "ssd"}, "no disks"),
        ({"raid_level": "0", "interface_type": "sata"}, "no disks"),
        ({"raid_level": "6"}, "no disks"),
        ({"raid_level": "0", "controller": "other"}, "no disks"),
    ],
)
def test_what_cannot_be_is_refused_by_its_number(wish: dict[str, Any], words: str) -> None:
    disks = controller(*(drive(number) for number in range(1, 6)), types=("RAID0", "RAID1", "RAID5", "RAID10"))
    with pytest.raises(errors.Invalid) as refused:
        plan([{"size_gb": 10, **wish}], disks)
    assert words in refused.value.sentence()


def test_named_disks_and_disks_in_use() -> None:
    disks = controller(drive(1), drive(2), drive(3), taken=("/d/1",))
    named = {"raid_level": "0", "size_gb": 10, "controller": "c", "physical_disks": ["d3"]}
    assert plan([named], disks) == [(["d3"], 10)]
    with pytest.raises(errors.Invalid, match="no disks for logical disk 0"):
        plan([{**named, "physical_disks": ["d1"]}], disks)


@pytest.fixture(params=["plain", "dell"])
async def stage(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[contracts.Stage]:
    async with peer.running(request.param) as bmc, place.opened(tmp_path) as site:
        ctx = await site.context("redfish", bmc.info())
        yield contracts.Stage(site.deps, site.calls, ctx.node.uuid, extra={"bmc": bmc})


async def run(stage: contracts.Stage, method: str, **args: Any) -> runs.Run:
    return await hardware_contracts.run_method(stage, "raid", method, args)


async def test_what_is_told_is_what_the_controller_has(stage: contracts.Stage) -> None:
    volumes = [{"raid_level": "1", "size_gb": 100, "volume_name": "root", "is_root_volume": True}]
    volumes.append({"raid_level": "0", "size_gb": "MAX", "volume_name": "data"})
    done = await run(stage, "apply_configuration", raid_config={"logical_disks": volumes})
    assert done.status == runs.Status.SUCCEEDED, done.reason
    bmc: peer.Peer = stage.extra["bmc"]
    made = {one.name: one for one in bmc.front.part(storage.State).volumes.values()}
    assert (made["root"].kind, made["root"].size) == ("RAID1", 100 * GIB)
    told = (await stage.context()).node.raid_config["logical_disks"]
    assert [(one["volume_name"], one["size_gb"]) for one in told] == [("root", 100), ("data", 500)]
    assert told[0]["is_root_volume"] is True
    assert told[0]["root_device_hint"]["wwn"].startswith("6000c29")
    assert len(told[0]["physical_disks"]) == 2


async def test_applying_replaces_what_there_was(stage: contracts.Stage) -> None:
    for name in ("first", "second"):
        goal = {"logical_disks": [{"raid_level": "1+0", "size_gb": "MAX", "volume_name": name}]}
        done = await run(stage, "apply_configuration", raid_config=goal)
        assert done.status == runs.Status.SUCCEEDED, done.reason
    bmc: peer.Peer = stage.extra["bmc"]
    assert [one.name for one in bmc.front.part(storage.State).volumes.values()] == ["second"]
    goal["logical_disks"] = [{"raid_level": "6+0", "size_gb": 10}]
    done = await run(stage, "apply_configuration", raid_config=goal)
    assert "no disks for logical disk 0" in (done.reason or "") or "cannot be RAID 6+0" in (done.reason or "")
    assert [one.name for one in bmc.front.part(storage.State).volumes.values()] == ["second"], "nothing was deleted"


async def test_only_the_root_volume_is_made_when_asked(stage: contracts.Stage) -> None:
    volumes = [{"raid_level": "0", "size_gb": 10, "is_root_volume": True}, {"raid_level": "0", "size_gb": 10}]
    await stage.deps.store.run(nodes.change, stage.uuid, target_raid_config={"logical_disks": volumes})
    done = await run(stage, "create_configuration", create_nonroot_volumes=False)
    assert done.status == runs.Status.SUCCEEDED, done.reason
    bmc: peer.Peer = stage.extra["bmc"]
    assert [one.name for one in bmc.front.part(storage.State).volumes.values()] == ["volume0"]


async def test_volumes_whose_orders_lost_their_answers_are_made_once(stage: contracts.Stage) -> None:
    """Each POST is carried out and its answer cut off; with "dell" nothing but a waiting task tells of the volume."""
    bmc: peer.Peer = stage.extra["bmc"]
    volumes = [{"raid_level": "0", "size_gb": 10, "volume_name": name} for name in ("one", "two")]
    bmc.faults.change({"order_cut_next": 2})
    done = await run(stage, "apply_configuration", raid_config={"logical_disks": volumes})
    assert done.status == runs.Status.SUCCEEDED, done.reason
    assert bmc.faults.order_cut_next == 0
    assert sorted(one.name for one in bmc.front.part(storage.State).volumes.values()) == ["one", "two"]
    begun = [one for one in bmc.front.part(tasks.Tasks).all.values() if one.name.startswith("Creation")]
    assert len(begun) == 2
