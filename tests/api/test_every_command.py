"""Nothing that clients of others can ask for is left out.

Every command of `baremetal` and of `openstack baremetal`, and every call of openstacksdk's proxy.
"""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

import programs
from drivers import world

pytestmark = [pytest.mark.peer, pytest.mark.slow, pytest.mark.timeout(300)]
HERE = Path(__file__).parents[1] / "outsiders"
NODES = {"nodes": [{"driver": "fake-hardware", "name": "from-a-file", "ports": [{"address": "52:54:00:12:34:99"}]}]}


async def put_through(folder: Path, script: str, words: list[str], lines: bytes = b"") -> str:
    """Run one of the peers' scripts against a service with imaginary machines; all it says."""
    plan = {"ipmi": 1, "first": "127.92.0.1"}  # a fleet has to have a machine
    async with world.opened(folder, plan, automated_clean="false") as opened:
        child = await asyncio.create_subprocess_exec(
            *(programs.peer(), str(HERE / script), *(words or [opened.url])),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=folder,
            env={"PATH": os.environ["PATH"], "HOME": str(folder), "OS_ENDPOINT": opened.url, "OS_AUTH_TYPE": "none"},
        )
        async with asyncio.timeout(280):
            said, _ = await child.communicate(lines)
    return said.decode()


@pytest.mark.parametrize("program", ["baremetal", pytest.param("openstack", marks=pytest.mark.long)])
async def test_every_command_works(tmp_path: Path, program: str) -> None:
    (tmp_path / "nodes.json").write_text(json.dumps(NODES))
    said = await put_through(tmp_path, "every_command.py", [program], (HERE / "every_command.txt").read_bytes())
    assert said == "", said


async def test_every_call_of_openstacksdk_works(tmp_path: Path) -> None:
    said = await put_through(tmp_path, "every_sdk_call.py", [])
    assert said.splitlines()[-1] == "not called: []", said
