"""A system with ingot's packages lying in it, built once for all tests that boot one."""

from __future__ import annotations

from pathlib import Path

import pytest

from installed import guest


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """ingot's Debian package and that of the extras."""
    return guest.build_packages(tmp_path_factory.mktemp("packages"))


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory, packages: tuple[Path, Path]) -> Path:
    """The tree of a system that lacks nothing to install them."""
    return guest.build_root(tmp_path_factory.mktemp("tree"), *packages)
