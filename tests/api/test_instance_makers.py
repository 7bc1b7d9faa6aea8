"""What makes instances of nodes, unchanged: Nova's driver for bare metal (nova.virt.ironic) and metalsmith.

Both go through `ingot serve` from the choice of a node to its end. Nova's images come from Glance, so its machine is
imaginary; metalsmith's is a simulated one with a BMC and a ramdisk of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

import programs
from drivers import world

pytestmark = [pytest.mark.peer, pytest.mark.slow, pytest.mark.timeout(300)]
HERE = Path(__file__).parents[1] / "outsiders"
PLAN = {"ipmi": 1, "first": "127.91.0.1"}
GOLD: dict[str, Any] = {
    "resource_class": "gold",
    "network_interface": "noop",
    "properties": {"cpus": 4, "memory_mb": 8192, "local_gb": 40, "cpu_arch": "x86_64"},
}


async def offer(opened: world.World, name: str) -> None:
    """Make a node available, with the trait that both ask for."""
    await opened.call("PUT", f"/v1/nodes/{name}/traits", {"traits": ["CUSTOM_FAST"]})
    node = await opened.bring(name, "manage", "provide")
    assert node["provision_state"] == "available", node["last_error"]


@contextlib.asynccontextmanager
async def served(image: Path) -> AsyncGenerator[str]:
    """The URL of an image on a web server, whence metalsmith tells the service to fetch it."""
    app = web.Application()
    app.router.add_static("/", image.parent)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/{image.name}"
    await runner.cleanup()


async def drive(opened: world.World, script: str, *words: str) -> list[dict[str, Any]]:
    """Run one of upstream's programs; the lines of JSON it says."""
    child = await asyncio.create_subprocess_exec(
        *(programs.upstream("python"), str(HERE / script), opened.url, *words),
        cwd=opened.folder,
        env={"PATH": os.environ["PATH"], "HOME": str(opened.folder)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(240):
        out, err = await child.communicate()
    said = [json.loads(line) for line in out.decode().splitlines() if line.startswith("{")]
    assert child.returncode == 0, f"{said}\n{err.decode()[-3000:]}"
    return said


async def test_novas_driver_goes_its_whole_way(tmp_path: Path) -> None:
    async with world.opened(tmp_path, PLAN, automated_clean="false") as opened:
        made = await opened.call(
            "POST", "/v1/nodes", {"driver": "fake-hardware", "name": "n1", "rescue_interface": "fake", **GOLD}
        )
        await opened.call("POST", "/v1/ports", {"node_uuid": made["uuid"], "address": "52:54:00:00:77:01"})
        await offer(opened, "n1")
        told = {each["call"]: each["value"] for each in await drive(opened, "nova_driver.py", made["uuid"])}
        assert told.pop("names") == {made["uuid"]: made["uuid"]}
        assert told.pop("inventory") == {"CUSTOM_GOLD": 1}
        assert told.pop("traits") == ["CUSTOM_FAST"]
        assert (told.pop("resources"), told.pop("console")) == ("ironic", "not available")
        assert (told.pop("binding host"), told.pop("volume connector")) == (False, False)
        assert told.pop("instances") == [1, True]
        assert len(told) == 13 and all(value is True for value in told.values()), told
        node = await opened.rests("n1")
        assert (node["provision_state"], node["instance_uuid"], node["instance_info"]) == ("available", None, {})


async def test_metalsmith_goes_its_whole_way(tmp_path: Path) -> None:
    async with world.opened(tmp_path, PLAN, automated_clean="false") as opened:
        name = await opened.enrol(**GOLD)
        await offer(opened, name)
        checksum = hashlib.sha256(opened.image.read_bytes()).hexdigest()
        async with served(opened.image) as url:
            (told,) = await drive(opened, "metalsmith_way.py", url, checksum)
        assert told == {"state": "active", "shown": True, "host": "srv", "listed": ["srv"], "after": []}
        node = await opened.rests(name)
        assert (node["provision_state"], node["instance_uuid"], node["allocation_uuid"]) == ("available", None, None)
