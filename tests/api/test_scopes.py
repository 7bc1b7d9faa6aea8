"""Roles and scopes on the wire: Keystone, upstream with ``auth_strategy=keystone``, and ingot beside it, which both ask
that Keystone about the same tokens.

One scenario per file of tests/upstream/scoped. What may differ, and why, is in tests/upstream/scoped/differences.py.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from cli import program
from upstream import alone, identity, pairs, sides, texts
from upstream import differences as general
from upstream.scoped import differences

pytestmark = [pytest.mark.slow, pytest.mark.peer, pytest.mark.timeout(600)]

_SCENARIOS = ("strangers", "looking", "changing")
_SETTINGS = ("power_sync_interval=0", "hostname=here", "agent_rate=0", "drivers=fake-hardware")
_ENTRIES = (*differences.INTENDED, *general.INTENDED, *texts.WORDED)
_DONE: set[str] = set()
"""The scenarios that were sent."""


@dataclass
class World:
    """Both services, and the Keystone that they believe."""

    keystone: identity.Keystone
    pair: pairs.Pair


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with identity.serving(tmp_path_factory.mktemp("keystone"), program.free_port()) as keystone:
        settings = [word for one in (*_SETTINGS, f"keystone_url={keystone.url}") for word in ("--set", one)]
        folder, port = tmp_path_factory.mktemp("upstream"), program.free_port()
        headers = {"X-Auth-Token": "system admin"}
        tokens = {**keystone.tokens, "gone": keystone.ended("owner reader")}
        with (
            program.serving(tmp_path_factory.mktemp("ingot"), *settings) as url,
            alone.serving(folder, port, keystone.trusted(), {"X-Auth-Token": tokens["system admin"]}),
        ):
            theirs = sides.Side("upstream", port, headers, tokens)
            ours = sides.Side("ingot", int(url.rpartition(":")[2]), headers, tokens)
            pair = pairs.Pair(theirs, ours, _ENTRIES)
            yield World(keystone, pair)
            pair.close()


@pytest.mark.parametrize("name", _SCENARIOS)
def test_every_caller_reads_what_upstream_would_answer(world: World, name: str) -> None:
    scenario = importlib.import_module(f"upstream.scoped.{name}")
    _DONE.add(name)
    world.pair.check(f"scoped-{name}", scenario.calls(world.keystone.projects))


def test_every_intended_difference_still_exists(world: World) -> None:
    if set(_SCENARIOS) != _DONE:
        pytest.skip("an entry is stale only when none of all scenarios needs it; run the whole file")
    stale = [entry.reason for entry in differences.INTENDED if entry not in world.pair.seen]
    assert not stale, f"scoped/differences.py lists what no longer differs: {stale}"
