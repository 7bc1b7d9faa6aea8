"""A test stand: one ingot site in a folder (database, key, fake machines' own memory), without API and sockets.

Used by the tests of flows, conductor, services and interfaces. Everything is the product's own code; only the parts
of the kit that fake machines never touch are absent.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, cast

import msgspec

from ingot import app
from ingot.conductor.service import Conductor
from ingot.deps import Deps
from ingot.domain import ids, node, power, runs, secrets, states
from ingot.interfaces.kit import Kit
from ingot.settings import Settings
from ingot.store import history, journals, nodes, ports
from ingot.store import runs as run_store
from ingot.store.paging import Page

ABSENT = cast("Any", None)
ON = power.Target.ON


def settings(folder: Path, **more: Any) -> Settings:
    """Settings of a site in ``folder``; no power sync, so that nothing but runs writes."""
    fixed = {"data_dir": str(folder), "fake_effects": str(folder / "effects"), "power_sync_interval": 0.0}
    return Settings(**{**fixed, "drivers": ("fake-hardware",), **more})


def kit(deps: Deps) -> Kit:
    """A kit for machines that need none of it."""
    return Kit(deps.settings, ABSENT, ABSENT, ABSENT, ABSENT, ABSENT)


@contextlib.asynccontextmanager
async def site(folder: Path, **more: Any) -> AsyncIterator[Deps]:
    """The rooms of a site, closed at the end."""
    deps = app.make_deps(settings(folder, **more))
    try:
        yield deps
    finally:
        deps.store.close()


def with_clock(deps: Deps, clock: Callable[[], float]) -> Deps:
    """The same site under another clock (epoch seconds)."""
    return msgspec.structs.replace(deps, clock=clock)


@contextlib.asynccontextmanager
async def conductor(deps: Deps, hostname: str = "host", tools: Kit | None = None) -> AsyncIterator[Conductor]:
    """A working conductor in this process; without ``tools`` it has none."""
    worker = Conductor(deps, tools or kit(deps), hostname)
    task = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def add_node(deps: Deps, state: states.State = states.State.AVAILABLE, /, **fields: Any) -> str:
    """Store a fake node in ``state``; its uuid. ``driver_info`` and ``instance_info`` are split as the API does."""
    uuid = ids.new()
    info, hidden = secrets.split(fields.pop("driver_info", {}), {})
    sealed = deps.sealer.seal(uuid, {"driver_info": hidden})
    value = node.Node(
        uuid=uuid,
        driver="fake-hardware",
        provision_state=state,
        driver_info=info,
        **{"power_state": "power off", **deps.registry.defaults("fake-hardware"), **fields},
    )
    await deps.store.run(nodes.create, value, sealed)
    address = "52:54:00:" + ":".join(f"{byte:02x}" for byte in os.urandom(3))
    await deps.store.run(ports.create, node.Port(uuid=ids.new(), node_uuid=uuid, address=address))
    return uuid


async def hog() -> None:
    """Leave the event loop a turn in a while, as work that is too much for the processor does."""
    while True:
        end = time.monotonic() + 0.15
        while time.monotonic() < end:
            pass
        await asyncio.sleep(0)


async def until(condition: Callable[[], Any], within: float = 10.0) -> Any:
    """Wait for ``condition`` (may be async) to give something true, and give it."""
    end = time.monotonic() + within
    while True:
        found = condition()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return found
        assert time.monotonic() < end, f"this did not come true within {within} s"
        await asyncio.sleep(0.01)


async def ended(deps: Deps, uuid: str, within: float = 10.0) -> runs.Run:
    """The node's newest run once it has ended."""

    async def closed() -> runs.Run | None:
        run = await deps.store.read(run_store.find_last, uuid)
        return run if run is not None and run.status != runs.Status.OPEN else None

    return await until(closed, within)


async def parked(deps: Deps, uuid: str, within: float = 10.0) -> runs.Run:
    """The node's open run once it waits."""

    async def waits() -> runs.Run | None:
        run = await deps.store.read(run_store.find_open, uuid)
        return run if run is not None and run.wait is not None and run.owner is None else None

    return await until(waits, within)


async def get_node(deps: Deps, uuid: str) -> node.Node:
    return await deps.store.read(nodes.get, uuid)


async def events(deps: Deps, uuid: str) -> list[str]:
    """The node's history, oldest first."""
    return [line.event for line in await deps.store.read(history.list_page, uuid, Page())]


async def journal(deps: Deps, uuid: str) -> list[tuple[int, str]]:
    """(step, mark) of each journal line of the node's newest run."""
    run = await deps.store.read(run_store.find_last, uuid)
    assert run is not None
    return [(entry.step, entry.mark.value) for entry in await deps.store.read(journals.get, run.id)]


def effects(folder: Path, uuid: str) -> list[str]:
    """What the imaginary machine itself remembers, in order."""
    file = folder / "effects"
    lines = file.read_text().splitlines() if file.exists() else []
    return [entry["effect"] for entry in map(json.loads, lines) if entry["node"] == uuid]
