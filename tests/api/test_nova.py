"""Nova's own driver for bare metal (nova.virt.ironic), unchanged, drives `ingot serve` from the scheduler's choice to the end."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

import programs
from drivers import world

pytestmark = [pytest.mark.peer, pytest.mark.slow, pytest.mark.timeout(300)]
SCRIPT = Path(__file__).parents[1] / "upstream" / "nova_driver.py"
UNUSED = {"ipmi": 1, "first": "127.91.0.1"}  # the node has no BMC: a fleet has to have one


async def enrol(opened: world.World) -> str:
    """A node ready for Nova: its resource class, a trait, a card; the uuid."""
    made = await opened.call(
        "POST",
        "/v1/nodes",
        {
            "driver": "fake-hardware",
            "name": "n1",
            "resource_class": "gold",
            "rescue_interface": "fake",
            "network_interface": "noop",
            "properties": {"cpus": 4, "memory_mb": 8192, "local_gb": 40, "cpu_arch": "x86_64"},
        },
    )
    uuid = str(made["uuid"])
    await opened.call("POST", "/v1/ports", {"node_uuid": uuid, "address": "52:54:00:00:77:01"})
    await opened.call("PUT", f"/v1/nodes/{uuid}/traits", {"traits": ["CUSTOM_FAST"]})
    node = await opened.bring("n1", "manage", "provide")
    assert node["provision_state"] == "available", node["last_error"]
    return uuid


async def drive(opened: world.World, uuid: str) -> dict[str, Any]:
    """Run Nova's driver; what each of its calls came to."""
    child = await asyncio.create_subprocess_exec(
        *(programs.upstream("python"), str(SCRIPT), opened.url, uuid),
        cwd=opened.folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(240):
        out, err = await child.communicate()
    said = [json.loads(line) for line in out.decode().splitlines() if line.startswith("{")]
    assert child.returncode == 0, f"{said}\n{err.decode()[-3000:]}"
    return {each["call"]: each["value"] for each in said}


async def test_novas_driver_goes_its_whole_way(tmp_path: Path) -> None:
    async with world.opened(tmp_path, UNUSED, automated_clean="false") as opened:
        uuid = await enrol(opened)
        told = await drive(opened, uuid)
        assert told == {}
        node = await opened.rests("n1")
        assert (node["provision_state"], node["instance_uuid"], node["instance_info"]) == ("available", None, {})
