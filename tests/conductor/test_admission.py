"""How much a conductor takes up at once: as much as it can do in time, of those who asked first; no setting says so."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import Connection, select

from flows import stand
from ingot.conductor.membership import Membership
from ingot.deps import Deps
from ingot.domain import states
from ingot.services import provisioning
from ingot.store import claims as claim_store
from ingot.store.schema import runs

FEW, BATCH = 64, 128
"""What ingot.conductor.claims takes up when it is late, and keeps before the database's writer."""


async def ask(deps: Deps, count: int, **fields: object) -> list[str]:
    """So many nodes, each asked to deploy, one after another."""
    uuids = [await stand.add_node(deps, **fields) for _ in range(count)]
    for uuid in uuids:
        await provisioning.request(deps, uuid, "active", {})
    return uuids


def begun(connection: Connection, generation: int = 1) -> set[str]:
    """The nodes whose runs were taken up: it grows with each claim, and when what a dead owner held is freed."""
    return set(connection.execute(select(runs.c.node_uuid).where(runs.c.generation >= generation)).scalars())


async def test_who_cannot_keep_up_takes_up_few_and_those_who_asked_first(tmp_path: Path) -> None:
    async with stand.site(tmp_path, fake_effects="") as deps:
        uuids = await ask(deps, FEW + 26, driver_info={"fake_delay": "20"})
        busy = asyncio.create_task(stand.hog())
        try:
            async with stand.conductor(deps):
                await stand.until(lambda: deps.store.read(begun), 60)
                await asyncio.sleep(2)
                assert await deps.store.read(begun) == set(uuids[:FEW])
                busy.cancel()

                async def all_begun() -> bool:
                    return len(await deps.store.read(begun)) == len(uuids)

                await stand.until(all_begun, 60)
        finally:
            busy.cancel()


async def test_what_a_dead_process_had_in_hand_is_taken_over_before_anything_else(tmp_path: Path) -> None:
    """However much that is: whoever comes after the first batch would wait for the work that it does by then."""
    async with stand.site(tmp_path, fake_effects="") as deps:
        uuids = await ask(deps, 2 * BATCH, driver_info={"fake_delay": "20"})
        before = Membership(deps, "host", "boot-1")
        await before.join()
        await deps.store.run(claim_store.claim, before.owner, deps.clock(), 3600.0, len(uuids))
        async with stand.conductor(deps):
            taken_over = await stand.until(lambda: deps.store.read(begun, 3), 60)
            assert taken_over == set(uuids)


@pytest.mark.slow
async def test_a_storm_of_runs_does_not_fill_the_way_to_the_database(tmp_path: Path) -> None:
    """What an API request has to wait behind is bounded, however many runs are due."""
    async with stand.site(tmp_path, fake_effects="") as deps:
        uuids = await ask(deps, 4 * BATCH)
        most = 0
        async with stand.conductor(deps):
            while (await stand.get_node(deps, uuids[-1])).provision_state != states.State.ACTIVE:
                most = max(most, deps.store.waiting())
                await asyncio.sleep(0.002)
        assert FEW < most < 3 * BATCH, "one batch that waits, and one that was taken up meanwhile"
