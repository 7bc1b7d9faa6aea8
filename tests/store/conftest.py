"""One database of each kind for the tests of the store; those on servers are left to `./ingot check`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ingot.store import upgrade
from ingot.store.place import Place
from servers.databases import Databases

KINDS = ["sqlite", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("postgresql", "mariadb"))]


@pytest.fixture(scope="session")
def databases() -> Iterator[Databases]:
    made = Databases()
    yield made
    made.remove()


@pytest.fixture(params=KINDS)
def empty(request: pytest.FixtureRequest, tmp_path: Path, databases: Databases) -> Place:
    """A database at the newest version, without any row."""
    if request.param == "sqlite":
        upgrade.upgrade(tmp_path / "ingot.db")
        return tmp_path / "ingot.db"
    return databases.empty(request.param)
