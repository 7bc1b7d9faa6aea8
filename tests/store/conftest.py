"""One database of each kind for the tests of the store; those on servers are left to `./ingot check`."""

from __future__ import annotations

from pathlib import Path

import pytest

from ingot.store import upgrade
from ingot.store.place import Place
from servers.databases import KINDS, Databases

EACH = ["sqlite", *(pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS)]


@pytest.fixture(params=EACH)
def empty(request: pytest.FixtureRequest, tmp_path: Path, databases: Databases) -> Place:
    """A database at the newest version, without any row."""
    if request.param == "sqlite":
        upgrade.upgrade(tmp_path / "ingot.db")
        return tmp_path / "ingot.db"
    return databases.empty(request.param)
