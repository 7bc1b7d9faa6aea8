"""The ramdisk and the small image, built once for all tests of whole deployments."""

from __future__ import annotations

import asyncio

import pytest

from e2e import way
from ingot.cli.demo import artifacts


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> artifacts.Artifacts:
    """Ramdisk and tiny image."""
    return asyncio.run(way.built(tmp_path_factory.mktemp("ramdisk"), "tiny"))
