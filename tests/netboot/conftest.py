"""Fixtures of the network boot's tests."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from netboot.lan import Lan


@pytest.fixture
def lan() -> Iterator[Lan]:
    with Lan() as made:
        yield made


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]
