"""Consoles that nobody switched on are heard from the first words of a run, and only where that is wanted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from flows import stand
from ingot import app
from ingot.conductor.recordings import Recordings
from ingot.consoles.hub import Console
from ingot.consoles.line import Line
from ingot.consoles.logs import Log
from ingot.domain import node, runs
from ingot.services import provisioning
from ingot.store import nodes
from ingot.store import runs as run_store

if TYPE_CHECKING:
    from tests.api.conftest import Api

    from ingot.deps import Deps

WORKED_ON = {"fake_wait": 600, "fake_fault": "deploy.write_image"}


@pytest.fixture
async def deps(tmp_path: Path) -> AsyncIterator[Deps]:
    made = app.make_deps(stand.settings(tmp_path, noauth=True, hostname="here"))
    yield made
    made.store.close()


async def deploying(deps: Deps, **fields: Any) -> str:
    """A node whose deployment has been asked for."""
    uuid = await stand.add_node(deps, driver_info=WORKED_ON, **{"console_interface": "fake", **fields})
    await provisioning.request(deps, uuid, "active", {})
    return uuid


async def test_the_first_words_of_a_run_are_in_its_log(api: Api, deps: Deps) -> None:
    async with stand.conductor(deps):
        early = await stand.add_node(deps, driver_info=WORKED_ON, console_interface="fake")
        await asyncio.sleep(1)  # its first look at who is worked on is over, the next one far away
        await provisioning.request(deps, early, "active", {})
        many = [await deploying(deps) for _ in range(5)]  # taken up together

        async def heard() -> bool:
            told = [(await api.get(f"/ingot/v1/nodes/{uuid}/run"))["console"] for uuid in (early, *many)]
            return all(one is not None and "imaginary machine" in one["tail"] for one in told)

        await stand.until(heard, 4)


class Heard:
    """Recordings of a conductor that has every node, with lines that never open."""

    def __init__(self, deps: Deps, tmp_path: Path) -> None:
        self.made: list[str] = []
        self._folder = tmp_path / "logs"
        self.recordings = Recordings(deps, self._make, lambda _group, uuid: uuid not in self.others)
        self.others: set[str] = set()

    def _make(self, uuid: str) -> Console:
        async def open_line() -> Line:
            raise await asyncio.Future[Exception]()

        async def run_of() -> None: ...

        self.made.append(uuid)
        return Console(uuid, open_line, Log(self._folder, run_of))


@pytest.fixture
async def heard(deps: Deps, tmp_path: Path) -> AsyncIterator[Heard]:
    made = Heard(deps, tmp_path)
    yield made
    await made.recordings.close()


async def taken_up(deps: Deps, uuid: str) -> tuple[runs.Run, node.Node]:
    run_id = await deps.store.read(run_store.find_open_id, uuid)
    assert run_id is not None
    return await deps.store.read(run_store.get, run_id), await deps.store.read(nodes.get, uuid)


def free(_uuid: str) -> bool:
    return True


async def test_a_run_that_is_taken_up_again_is_listened_to_once(deps: Deps, heard: Heard) -> None:
    uuid = await deploying(deps)
    run, found = await taken_up(deps, uuid)
    for _ in range(3):
        heard.recordings.begin(run, found, free)
    await heard.recordings.follow(free)
    assert heard.made == [uuid]
    await deps.store.run(nodes.change, uuid, console_interface="no-console")
    await heard.recordings.follow(free)
    heard.recordings.begin(run, found, free)
    assert heard.made == [uuid, uuid], "it had been let go"


UNWANTED: dict[str, Callable[[runs.Run, node.Node], tuple[runs.Run, node.Node]]] = {
    "no console": lambda run, found: (run, msgspec.structs.replace(found, console_interface="no-console")),
    "none named": lambda run, found: (run, msgspec.structs.replace(found, console_interface=None)),
    "switched on": lambda run, found: (run, msgspec.structs.replace(found, console_enabled=True)),
    "nothing boots": lambda run, found: (msgspec.structs.replace(run, kind=runs.Kind.POWER), found),
}


@pytest.mark.parametrize("why", UNWANTED)
async def test_it_is_left_alone(deps: Deps, heard: Heard, why: str) -> None:
    heard.recordings.begin(*UNWANTED[why](*await taken_up(deps, await deploying(deps))), free)
    assert heard.made == []


async def test_who_has_the_line_keeps_it(deps: Deps, heard: Heard) -> None:
    run, found = await taken_up(deps, await deploying(deps))
    heard.recordings.begin(run, found, lambda uuid: uuid != found.uuid)
    heard.others.add(found.uuid)
    heard.recordings.begin(run, found, free)
    assert heard.made == []


async def test_the_setting_switches_it_off(tmp_path: Path) -> None:
    deps = app.make_deps(stand.settings(tmp_path, console_recording=False))
    heard = Heard(deps, tmp_path)
    heard.recordings.begin(*await taken_up(deps, await deploying(deps)), free)
    assert heard.made == []
    deps.store.close()


@pytest.mark.parametrize("follows", [False, True])
async def test_what_begins_while_the_records_are_read_goes_on(
    deps: Deps, heard: Heard, monkeypatch: pytest.MonkeyPatch, follows: bool
) -> None:
    run, found = await taken_up(deps, await deploying(deps))
    if follows:  # another run of the same node, which was listened to
        heard.recordings.begin(run, found, free)
        await heard.recordings.follow(free)

    async def read(*_: Any) -> dict[str, str]:
        heard.recordings.begin(run, found, free)  # after what was read: there it is not worked on
        return {}

    with monkeypatch.context() as patch:
        patch.setattr(deps.store, "read", read)
        await heard.recordings.follow(free)
    heard.recordings.begin(run, found, free)
    assert heard.made == [run.node_uuid], "it was not let go"
