"""Roles and scopes on the wire: Keystone, upstream with ``auth_strategy=keystone``, and ingot beside it, which both ask
that Keystone about the same tokens.

One scenario per file of tests/upstream/scoped. What may differ, and why, is in tests/upstream/scoped/differences.py.
"""

from __future__ import annotations

import importlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

import programs
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
    """Both services, the Keystone that they believe, and where ingot is."""

    keystone: identity.Keystone
    pair: pairs.Pair
    url: str


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
            yield World(keystone, pair, url)
            pair.close()


@pytest.mark.parametrize("name", _SCENARIOS)
def test_every_caller_reads_what_upstream_would_answer(world: World, name: str) -> None:
    scenario = importlib.import_module(f"upstream.scoped.{name}")
    _DONE.add(name)
    world.pair.check(f"scoped-{name}", scenario.calls(world.keystone.projects))


def test_a_client_logs_in_at_keystone_and_finds_ingot_in_its_catalogue(world: World) -> None:
    keystone = world.keystone
    keystone.announce("baremetal", world.url)
    project = keystone.projects["owner"]
    env = {
        "PATH": os.environ["PATH"],
        "OS_AUTH_URL": keystone.url,
        "OS_USERNAME": "owner admin",
        "OS_PASSWORD": keystone.password,
        "OS_USER_DOMAIN_ID": "default",
        "OS_PROJECT_ID": project,
        "OS_IDENTITY_API_VERSION": "3",
    }

    def baremetal(*words: str) -> str:
        command = [programs.peer("baremetal"), *words]
        return subprocess.run(command, env=env, check=True, capture_output=True, text=True, timeout=120).stdout.strip()

    baremetal("node", "create", "--driver", "fake-hardware", "--name", "mine")
    assert baremetal("node", "show", "mine", "-f", "value", "-c", "owner") == project
    assert baremetal("node", "list", "-f", "value", "-c", "Name") == "mine"
    baremetal("node", "delete", "mine")


def test_every_intended_difference_still_exists(world: World) -> None:
    if set(_SCENARIOS) != _DONE:
        pytest.skip("an entry is stale only when none of all scenarios needs it; run the whole file")
    stale = [entry.reason for entry in differences.INTENDED if entry not in world.pair.seen]
    assert not stale, f"scoped/differences.py lists what no longer differs: {stale}"
