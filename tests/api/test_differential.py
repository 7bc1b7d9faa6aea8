"""Upstream beside ingot: the same calls to both, and every difference that nobody intended fails.

One scenario per file of tests/upstream/calls. What may differ, and why, is in tests/upstream/differences.py.
"""

from __future__ import annotations

import base64
import importlib
from collections.abc import Iterator
from pathlib import Path

import bcrypt
import pytest

from cli import program
from upstream import alone, configuration, differences, pairs, sides, texts
from upstream.call import Call

pytestmark = [pytest.mark.slow, pytest.mark.peer, pytest.mark.timeout(240)]

_CALLS = sorted(path.stem for path in (Path(__file__).parents[1] / "upstream" / "calls").glob("*.py"))
_GUARDED = ("basic", "proxied")
_PASSWORD = "secret-of-admin"
_ORIGIN = "https://dashboard.example"
_SETTINGS = (
    "power_sync_interval=0",
    "hostname=here",
    "agent_rate=0",
    "drivers=fake-hardware",
    f"cors_origins={_ORIGIN}",
)
# Its inspection may wait for a ramdisk that nobody boots: there is no machine to boot one.
_MORE: configuration.Sections = {
    "cors": {"allowed_origin": _ORIGIN},
    "inspector": {"require_managed_boot": "false"},
}
_SEEN: set[pairs.Entry] = set()
_DONE: set[str] = set()
"""What the tests of this file noted: which entries were needed, and which scenarios were sent."""
_ENTRIES = (*differences.INTENDED, *differences.OPEN, *texts.WORDED)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pairs.Pair]:
    options = ("--noauth", *(word for one in _SETTINGS for word in ("--set", one)))
    folder = tmp_path_factory.mktemp("upstream")
    with (
        program.serving(tmp_path_factory.mktemp("ingot"), *options) as url,
        alone.serving(folder, program.free_port(), _MORE) as port,
    ):
        theirs, ours = sides.Side("upstream", port), sides.Side("ingot", int(url.rpartition(":")[2]))
        both = pairs.Pair(theirs, ours, _ENTRIES)
        yield both
        both.close()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pairs.Pair]:
    """Both ask who calls, and believe a proxy."""
    data, folder = tmp_path_factory.mktemp("ingot"), tmp_path_factory.mktemp("upstream")
    hashed = bcrypt.hashpw(_PASSWORD.encode(), bcrypt.gensalt(4))
    (folder / "htpasswd").write_bytes(b"admin:" + hashed + b"\n")
    words = ("user", "add", "admin", "--role", "admin", "--password-stdin", "--data-dir", str(data))
    made = program.run_here(*words, stdin=f"{_PASSWORD}\n")
    assert made.exit_code == 0, made.output
    headers = {"Authorization": f"Basic {base64.b64encode(f'admin:{_PASSWORD}'.encode()).decode()}"}
    asking = {"auth_strategy": "http_basic", "http_basic_auth_user_file": folder / "htpasswd"}
    more: configuration.Sections = {"DEFAULT": asking, "oslo_middleware": {"enable_proxy_headers_parsing": "true"}}
    options = [word for one in (*_SETTINGS, "proxy_headers=true") for word in ("--set", one)]
    with (
        program.serving(data, *options) as url,
        alone.serving(folder, program.free_port(), more, headers) as port,
    ):
        theirs = sides.Side("upstream", port, headers)
        ours = sides.Side("ingot", int(url.rpartition(":")[2]), headers)
        both = pairs.Pair(theirs, ours, _ENTRIES)
        yield both
        both.close()


@pytest.mark.parametrize("name", _GUARDED)
def test_ingot_answers_callers_and_proxies_as_upstream_does(guarded: pairs.Pair, name: str) -> None:
    _compare(guarded, name, f"upstream.guarded.{name}")


@pytest.mark.parametrize("name", _CALLS)
def test_ingot_answers_as_upstream_does(pair: pairs.Pair, name: str) -> None:
    _compare(pair, name, f"upstream.calls.{name}")


def _compare(pair: pairs.Pair, name: str, module: str) -> None:
    calls: list[Call] = importlib.import_module(module).CALLS
    _DONE.add(name)
    try:
        pair.check(name, calls)
    finally:
        _SEEN.update(pair.seen)


def test_every_intended_difference_still_exists() -> None:
    if {*_CALLS, *_GUARDED} != _DONE:
        pytest.skip("an entry is stale only when none of all scenarios needs it; run the whole file")
    stale = [entry.reason for entry in _ENTRIES if entry not in _SEEN]
    assert not stale, f"differences.py lists what no longer differs: {stale}"
