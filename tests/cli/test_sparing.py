"""A service that meets no machine loads no library for machines, and whoever needs one has it whole."""

from __future__ import annotations

import subprocess
import sys

_SERVICE = """
import sys
from ingot.cli import sparing
sparing.spare()
from ingot import app
from ingot.api import listen
from ingot.clients.agent.agents import Agents
from ingot.clients.redfish.client import RedfishPool
from ingot.conductor.service import Conductor
from ingot.images.cache import ImageCache
from ingot.netboot.service import Netboot
Agents(), RedfishPool()
heavy = ("aiohttp.client", "yarl._url", "alembic", "wsproto", "cryptography", "sqlalchemy.dialects.postgresql")
assert not [name for name in heavy if name in sys.modules]
"""
_LATER = """
import aiohttp
from aiohttp import web
import aiohttp.client_exceptions
assert aiohttp.ClientError is aiohttp.client_exceptions.ClientError
assert aiohttp.client_exceptions.ClientError is sys.modules["aiohttp"].ClientError
assert not hasattr(aiohttp, "no_such_thing")
import structlog
app._set_up_log()
try:
    local = "the value of a variable"
    raise ValueError("broken")
except ValueError:
    structlog.get_logger("test").exception("failed", node="n1")
"""


def test_libraries_come_when_they_are_used() -> None:
    command = [sys.executable, "-c", _SERVICE + _LATER]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "failed" in done.stdout
    assert "node=n1" in done.stdout
    assert "ValueError: broken" in done.stdout
    assert "the value of a variable\n" not in done.stdout.replace('local = "the value of a variable"', "")
