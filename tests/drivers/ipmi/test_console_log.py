"""A console over serial over LAN through the real service: a WebSocket to type in, a log of its own for each run."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from drivers import world

pytestmark = pytest.mark.slow
PANIC, AGAIN = b"Kernel panic - not syncing", b"Out of memory: Killed process 1"


class Seat:
    """One who sits before the console, and has the keyboard."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket, self.screen = socket, b""

    async def sees(self, words: bytes) -> None:
        async with asyncio.timeout(30):
            while words not in self.screen:
                message = await self.socket.receive()
                assert message.type in {aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT}, message
                self.screen += message.data if message.type == aiohttp.WSMsgType.BINARY else b""

    async def is_up(self) -> None:
        """Type until it comes back: while a machine goes off its line is let go, and what is typed then is lost."""
        self.screen = b""
        async with asyncio.timeout(30):
            while b"anybody?" not in self.screen:
                await self.socket.send_bytes(b"anybody?")
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(1):
                        await self.sees(b"anybody?")


async def said_while_it_is_written(site: world.World, name: str, seat: Seat, words: bytes) -> dict[str, Any]:
    """Deploy; the machine says ``words`` while its disk is written. The run as the API shows it."""
    await seat.is_up()
    await site.choose_image(name)
    await site.order(name, "active")
    await site.running(name, "execute_deploy_step")
    await seat.socket.send_bytes(words)  # the simulated machine says what is typed
    await seat.sees(words)
    assert (await site.rests(name))["provision_state"] == "active"
    return await site.call("GET", f"/ingot/v1/nodes/{name}/run")


async def log_of(site: world.World, name: str, run: str) -> bytes:
    url = f"{site.url}/ingot/v1/nodes/{name}/runs/{run}/console"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        assert answer.status == 200
        return await answer.read()


async def test_each_run_keeps_what_the_machine_said_in_it(tmp_path: Path) -> None:
    plan = {"ipmi": 1, "first": "127.63.0.1", "step_seconds": 3.0}
    async with world.opened(tmp_path, plan, automated_clean="false") as site, aiohttp.ClientSession() as session:
        name = await site.enrol(console_interface="ipmi-sol")
        await site.bring(name, "manage", "provide")
        await site.call("PUT", f"/v1/nodes/{name}/states/console", {"enabled": True})

        async def served() -> str | None:
            told = await site.call("GET", f"/v1/nodes/{name}/states/console")
            return told["console_info"]["url"] if told["console_enabled"] else None

        url = str(await site.until(served))
        seat = Seat(await session.ws_connect(url.replace("http", "ws", 1) + "/socket"))
        await seat.socket.send_str('{"take": true}')
        await seat.sees(f"{name} login: ".encode())
        first = await said_while_it_is_written(site, name, seat, PANIC)
        await site.bring(name, "deleted")
        second = await said_while_it_is_written(site, name, seat, AGAIN)
        logs = [await log_of(site, name, run) for run in (first["id"], second["id"], "idle")]
        found = [(PANIC in log, AGAIN in log) for log in logs]
        assert found == [(True, False), (False, True), (False, False)]
        assert f"{name} login: ".encode() in logs[2], "what was said before the first run"
        assert PANIC.decode() in first["console"]["tail"]
        await seat.socket.close()
        await site.call("PUT", f"/v1/nodes/{name}/states/console", {"enabled": False})
        await site.until(lambda: site.fleet.sessions()["all"] <= 1)
