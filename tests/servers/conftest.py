"""Servers for the tests of this folder, each started when the first test asks for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from servers.databases import Databases


@pytest.fixture(scope="session")
def databases() -> Iterator[Databases]:
    made = Databases()
    yield made
    made.remove()
