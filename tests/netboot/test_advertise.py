"""Router solicitations on a real link: known machines are told that there is no router, nobody else anything."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from ingot.netboot import advertise
from netboot.lan import Lan, sh

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces and raw sockets need root")
KNOWN, STRANGER = "52:54:00:00:00:01", "52:54:00:00:00:02"


@contextlib.asynccontextmanager
async def answering(interface: str = "srv") -> AsyncGenerator[None]:
    task = asyncio.create_task(advertise.run(interface, {KNOWN}.__contains__))
    try:
        await asyncio.sleep(0)
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def solicit(lan: Lan, mac: str, hops: int = 255) -> dict[str, object]:
    """What a machine hears within a second of its solicitation; its card has the address."""
    sh("ip", "-n", lan.client_ns, "link", "set", "cli", "down")
    sh("ip", "-n", lan.client_ns, "link", "set", "cli", "address", mac, "up")
    for space, card in ((lan.client_ns, "cli"), (lan.server_ns, "srv")):
        while "tentative" in (found := sh("ip", "-n", space, "-6", "addr", "show", "dev", card)) or "fe80" not in found:
            await asyncio.sleep(0.05)
    script = Path(__file__).with_name("soliciting.py")
    child = await asyncio.create_subprocess_exec(
        *("ip", "netns", "exec", lan.client_ns, sys.executable, str(script), "cli", mac, str(hops)),
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(30):
        out, _ = await child.communicate()
    return json.loads(out)


async def test_known_machines_are_told_and_nobody_else() -> None:
    with Lan() as lan:
        async with answering():
            told = await solicit(lan, KNOWN)
            assert told == {"type": 134, "hops": 255, "flags": 0, "lifetime": 0, "options": "", "from_link": True}
            assert await solicit(lan, STRANGER) == {}
            assert await solicit(lan, KNOWN, hops=64) == {}, "that has come through a router"
            assert await solicit(lan, KNOWN) == told
        assert await solicit(lan, KNOWN) == {}
        routes = sh("ip", "-n", lan.client_ns, "-6", "route", "show", "default")
        assert routes == "", "the kernel, a machine's as well as any, takes it for no way out"


async def test_an_interface_that_is_made_anew_is_heard_again() -> None:
    with Lan() as lan:
        async with answering():
            told = await solicit(lan, KNOWN)
            assert told["type"] == 134
            lan.remake()
            async with asyncio.timeout(30):
                while await solicit(lan, KNOWN) != told:
                    pass


async def test_without_the_interface_nothing_else_is_held_up() -> None:
    with Lan():
        async with answering("absent"):
            await asyncio.sleep(0.05)
