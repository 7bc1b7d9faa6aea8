"""A whole small cloud for the flow tests: a real `ingot serve` process over a fleet of simulated BMCs and ramdisks.

The service is a process of its own so that it can be killed; the fleet is in the test's process so that it can be
broken and its journal of effects read.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import socket
import sys
import time
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import aiohttp

from ingot_rack import agents
from ingot_rack import fleet as fleets

SOURCE = Path(__file__).parents[2] / "src"
RESTS = {"available", "active", "manageable", "deploy failed", "clean failed", "inspect failed", "error", "enroll"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class World:
    """One service, one fleet, one image."""

    def __init__(self, folder: Path, plan: dict[str, Any], settings: dict[str, Any]) -> None:
        self.folder, self.settings = folder, settings
        self.port, self.files = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        boot = f"http://127.0.0.1:{self.files}/boot/ipxe/{{mac}}"
        self.fleet = fleets.Fleet(fleets.Plan(api=self.url, boot_url=boot, **plan))
        self.process: asyncio.subprocess.Process | None = None
        self.image = folder / "disk.raw"
        self.image.write_bytes(bytes(510) + b"\x55\xaa" + os.urandom(1 << 16) + bytes(1 << 16))
        for name in ("vmlinuz", "initrd"):
            (folder / "ramdisk").mkdir(exist_ok=True)
            (folder / "ramdisk" / name).write_bytes(b"not read by simulated machines")

    async def start(self) -> None:
        """Start the service and wait until it answers."""
        fixed = {"provision_address": "127.0.0.1", "files_port": self.files, "power_sync_interval": 0}
        fixed |= {"image_dirs": str(self.folder), "ramdisk_dir": str(self.folder / "ramdisk"), "lease": 2}
        words = [word for key, value in {**fixed, **self.settings}.items() for word in ("--set", f"{key}={value}")]
        with (self.folder / "serve.log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "ingot.cli.main", "serve", "--noauth"),
                *("--data-dir", str(self.folder / "data"), "--port", str(self.port), *words),
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": str(SOURCE)},
            )
        await self.until(self.answers, 30)

    async def kill(self) -> None:
        """SIGKILL."""
        assert self.process is not None
        self.process.kill()
        await self.process.wait()

    async def close(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.terminate()
            await asyncio.wait_for(self.process.wait(), 20)
        await self.fleet.close()

    async def answers(self) -> bool:
        assert self.process is not None
        assert self.process.returncode is None, (self.folder / "serve.log").read_text()[-3000:]
        try:
            return bool(await self.call("GET", "/v1"))
        except aiohttp.ClientError:
            return False

    async def until(self, condition: Callable[[], Any], within: float = 30.0) -> Any:
        """Wait for ``condition`` (may be async) to give something true, and give it."""
        end = time.monotonic() + within
        while True:
            found = condition()
            found = await found if asyncio.iscoroutine(found) else found
            if found:
                return found
            assert time.monotonic() < end, f"not within {within} s: {(self.folder / 'serve.log').read_text()[-2000:]}"
            await asyncio.sleep(0.02)

    async def call(self, method: str, path: str, body: Any = None, version: str = "1.82") -> Any:
        headers = {"X-OpenStack-Ironic-API-Version": version}
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, self.url + path, json=body, headers=headers) as answer,
        ):
            assert answer.status < 300, (method, path, answer.status, await answer.text())
            return await answer.json() if answer.content_length else None

    async def enrol(self, number: int = 0, **fields: Any) -> str:
        """Create the fleet's machine ``number`` as a node with its ports; its name."""
        body: dict[str, Any] = {**self.fleet.nodes()[number], **fields}
        cards: list[dict[str, Any]] = body.pop("ports")
        made = await self.call("POST", "/v1/nodes", body)
        for card in cards:
            await self.call("POST", "/v1/ports", {"node_uuid": made["uuid"], **card})
        return str(made["name"])

    async def node(self, name: str) -> dict[str, Any]:
        return await self.call("GET", f"/v1/nodes/{name}")

    async def order(self, name: str, target: str, **more: Any) -> None:
        await self.call("PUT", f"/v1/nodes/{name}/states/provision", {"target": target, **more})

    async def refused(self, name: str, target: str, **more: Any) -> str:
        """Why a verb is refused with status 400."""
        url = f"{self.url}/v1/nodes/{name}/states/provision"
        headers = {"X-OpenStack-Ironic-API-Version": "1.82"}
        async with (
            aiohttp.ClientSession() as session,
            session.put(url, json={"target": target, **more}, headers=headers) as answer,
        ):
            told = await answer.json()
            assert answer.status == 400, (answer.status, told)
            return str(json.loads(told["error_message"])["faultstring"])

    async def rests(self, name: str, within: float = 60.0) -> dict[str, Any]:
        """The node once nothing is going on with it."""

        async def resting() -> dict[str, Any] | None:
            node = await self.node(name)
            still = node["provision_state"] in RESTS and node["reservation"] is None
            return node if still else None

        return await self.until(resting, within)

    async def waits(self, name: str, state: str) -> bool:
        """Whether the node is in this state and its run is parked."""
        node = await self.node(name)
        return bool(node["provision_state"] == state and node["reservation"] is None)

    async def bring(self, name: str, *targets: str, within: float = 60.0) -> dict[str, Any]:
        """Through these verbs in turn; the node after the last."""
        node: dict[str, Any] = {}
        for target in targets:
            await self.order(name, target)
            node = await self.rests(name, within)
        return node

    async def choose_image(self, name: str, **changes: Any) -> None:
        info = {"image_source": f"file://{self.image}", "image_os_hash_algo": "sha256"}
        info |= {"image_os_hash_value": hashlib.sha256(self.image.read_bytes()).hexdigest(), **changes}
        patch = [{"op": "add", "path": f"/instance_info/{key}", "value": value} for key, value in info.items()]
        await self.call("PATCH", f"/v1/nodes/{name}", patch)

    async def deploy(self, name: str, within: float = 60.0, **more: Any) -> dict[str, Any]:
        await self.choose_image(name)
        await self.order(name, "active", **more)
        return await self.rests(name, within)

    async def agent(self, name: str, within: float = 30.0) -> agents.Agent:
        """The ramdisk that runs on a machine."""
        return await self.until(lambda: self.fleet.agents.get(self.fleet.addresses[name]), within)

    async def running(self, name: str, verb: str) -> dict[str, Any]:
        """The agent's command ``verb`` while it runs (the object in the agent, so it can be changed)."""

        def find() -> dict[str, Any] | None:
            one = self.fleet.agents.get(self.fleet.addresses[name])
            found = [each for each in one.commands.values() if each["command_name"] == verb] if one else []
            return found[-1] if found and found[-1]["command_status"] == "RUNNING" else None

        return await self.until(find)


@contextlib.asynccontextmanager
async def opened(folder: Path, plan: dict[str, Any], **settings: Any) -> AsyncGenerator[World]:
    world = World(folder, plan, settings)
    await world.fleet.start()
    try:
        await world.start()
        yield world
    finally:
        await world.close()
