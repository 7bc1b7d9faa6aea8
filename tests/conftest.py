"""Shared by all tests: how a whole suite is spread over processors.

A suite run with several workers (`./ingot test`, `./ingot check`) keeps the tests of one file together,
so that its module fixtures are made once; runs torture tests one by one, because each waits a lot; and gives
every virtual machine to one worker, last, because two machines at once starve each other.
It also names what takes long, and times how soon a fault is explained.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler.loadscope import LoadScopeScheduling

from faults import catalogue

if TYPE_CHECKING:
    from servers.databases import Databases

# A machine busy with other work is no finding: examples are judged by what they show, not by how long they take.
settings.register_profile("ingot", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ingot")


ROOT = Path(__file__).parent.parent


@cache
def _text(path: str) -> str:
    file = ROOT / path
    return file.read_text() if file.is_file() else ""


class ByCost(LoadScopeScheduling):
    """One scope per file; per test for torture; one for all files that boot virtual machines."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.split("::", 1)[0]
        if "mark.qemu" in _text(path):
            return "virtual machines"
        return nodeid if "mark.torture" in _text(path) else path


@pytest.fixture(scope="session")
def databases() -> Iterator[Databases]:
    """Database servers, each started when the first test asks for one of its kind."""
    from servers.databases import Databases

    made = Databases()
    yield made
    made.remove()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByCost:
    return ByCost(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Quick tests first, machines last: a failure shows as early as it can."""
    items.sort(key=lambda item: "mark.qemu" in _text(item.nodeid.split("::", 1)[0]))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call() -> None:
    """The time until a fault is explained counts from here (docs/reference/faults.md)."""
    catalogue.begin()


class Patience:
    """Says every half minute which tests still run: a deployment takes minutes and prints no dot."""

    EVERY = 30.0

    def __init__(self, terminal: pytest.TerminalReporter) -> None:
        self._terminal = terminal
        self._running: dict[str, float] = {}
        self._over = threading.Event()

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._running[nodeid] = time.monotonic()

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self._running.pop(nodeid, None)

    def pytest_sessionstart(self) -> None:
        threading.Thread(target=self._watch, daemon=True).start()

    def pytest_sessionfinish(self) -> None:
        self._over.set()

    def _watch(self) -> None:
        while not self._over.wait(self.EVERY):
            now = time.monotonic()
            for nodeid, since in list(self._running.items()):
                if now - since >= self.EVERY:
                    self._terminal.write_line(f"\n  still running after {now - since:.0f} s: {nodeid}")


@pytest.hookimpl(trylast=True)  # the terminal reporter comes into being in this hook
def pytest_configure(config: pytest.Config) -> None:
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    if terminal is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Patience(terminal), "patience")
