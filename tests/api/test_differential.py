"""Upstream beside ingot: the same calls to both, and every difference that nobody intended fails.

One scenario per file of tests/upstream/calls. What may differ, and why, is in tests/upstream/differences.py.
"""

from __future__ import annotations

import base64
import importlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import bcrypt
import pytest

from cli import program
from upstream import alone, compare, configuration, differences, sides, texts
from upstream.call import Call

pytestmark = [pytest.mark.slow, pytest.mark.peer, pytest.mark.timeout(240)]

_CALLS = sorted(path.stem for path in (Path(__file__).parents[1] / "upstream" / "calls").glob("*.py"))
_GUARDED = ("basic", "proxied")
_PASSWORD = "secret-of-admin"
_SHOWN = 25
_ORIGIN = "https://dashboard.example"
_SETTINGS = (
    "power_sync_interval=0",
    "hostname=here",
    "agent_rate=0",
    "drivers=fake-hardware",
    f"cors_origins={_ORIGIN}",
)
_SEEN: set[differences.Intended | texts.Worded] = set()
_DONE: set[str] = set()
"""What the tests of this file noted: which entries were needed, and which scenarios were sent."""
_ENTRIES = (*differences.INTENDED, *differences.OPEN, *texts.WORDED)


class Pair:
    """Both services."""

    def __init__(self, theirs: sides.Side, ours: sides.Side) -> None:
        self.theirs, self.ours = theirs, ours

    def differ(self, calls: list[Call]) -> list[str]:
        """What differs and should not, one text a call."""
        with ThreadPoolExecutor(2) as pool:
            left, right = pool.map(lambda side: side.run(calls), (self.theirs, self.ours))
        told: list[str] = []
        for call, theirs, ours in zip(calls, left, right, strict=True):
            found = [one for one in compare.compare(call, theirs, ours) if not self._intended(one)]
            if found:
                lines = "\n  ".join(map(str, found))
                told.append(f"{call}\n  {lines}\n  upstream: {theirs}\n  ingot: {ours}")
        return told

    def _intended(self, found: compare.Found) -> bool:
        entries = [entry for entry in _ENTRIES if entry.covers(found)]
        _SEEN.update(entries)
        return bool(entries)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    options = ("--noauth", *(word for one in _SETTINGS for word in ("--set", one)))
    folder = tmp_path_factory.mktemp("upstream")
    with (
        program.serving(tmp_path_factory.mktemp("ingot"), *options) as url,
        alone.serving(folder, program.free_port(), {"cors": {"allowed_origin": _ORIGIN}}) as port,
    ):
        theirs, ours = sides.Side("upstream", port), sides.Side("ingot", int(url.rpartition(":")[2]))
        yield Pair(theirs, ours)
        theirs.close()
        ours.close()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
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
        yield Pair(theirs, ours)
        theirs.close()
        ours.close()


@pytest.mark.parametrize("name", _GUARDED)
def test_ingot_answers_callers_and_proxies_as_upstream_does(guarded: Pair, name: str) -> None:
    _compare(guarded, name, f"upstream.guarded.{name}")


@pytest.mark.parametrize("name", _CALLS)
def test_ingot_answers_as_upstream_does(pair: Pair, name: str) -> None:
    _compare(pair, name, f"upstream.calls.{name}")


def _compare(pair: Pair, name: str, module: str) -> None:
    calls: list[Call] = importlib.import_module(module).CALLS
    told = pair.differ(calls)
    _DONE.add(name)
    if told and (report := os.environ.get("INGOT_DIFFERENCES")):
        Path(report, f"{name}.txt").write_text("\n\n".join(told))
    shown = "\n\n".join(told[:_SHOWN])
    assert not told, f"{len(told)} of {len(calls)} calls differ; the first {_SHOWN}:\n\n{shown}"


def test_every_intended_difference_still_exists() -> None:
    if {*_CALLS, *_GUARDED} != _DONE:
        pytest.skip("an entry is stale only when none of all scenarios needs it; run the whole file")
    stale = [entry.reason for entry in _ENTRIES if entry not in _SEEN]
    assert not stale, f"differences.py lists what no longer differs: {stale}"
