"""Connections that are held open for nothing: many that send no whole head stop nobody, and end by themselves."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import aiohttp
import msgspec
import pytest
from msgspec.structs import replace

from drivers.world import free_port
from ingot.api import listen, patience
from ingot.deps import Deps

MANY = 500


@pytest.fixture
async def port(deps: Deps) -> AsyncIterator[int]:
    port = free_port()
    ended: list[asyncio.Task[None]] = []
    async with listen.listening(
        replace(deps, settings=msgspec.structs.replace(deps.settings, port=port)), ended.append
    ):
        yield port
    assert not ended


@pytest.mark.slow
async def test_half_open_connections_stop_nobody(port: int) -> None:
    """Half of them say nothing at all, half begin a head and go on with it drop by drop; one goes on with nothing."""
    held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(MANY)]
    for _, writer in held[::2]:
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n")
    blank = await asyncio.open_connection("127.0.0.1", port)
    await _ask(*blank)
    blank[1].write(b"\r\n")
    began = time.monotonic()
    async with aiohttp.ClientSession() as session:
        for number in range(40):
            for _, writer in held[::2]:
                writer.write(b"X-%d: y\r\n" % number)
            async with session.get(f"http://127.0.0.1:{port}/v1") as answer:
                assert answer.status == 200
    assert time.monotonic() - began < patience.HEAD_WITHIN
    dripping, silent = held[0][0], held[1][0]
    async with asyncio.timeout(patience.HEAD_WITHIN + 10):
        for reader in (dripping, silent, blank[0]):
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
    for _, writer in (*held, blank):
        writer.close()


async def test_a_head_without_an_end_is_given_up(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n")
    cut = False
    async with asyncio.timeout(patience.HEAD_WITHIN / 2):
        try:
            for _ in range(2 * patience.LARGEST_HEAD // 4000):
                writer.write(b"X-Thing: " + b"y" * 4000 + b"\r\n")
                await writer.drain()
            cut = await reader.read() == b""
        except ConnectionError:
            cut = True
    assert cut
    writer.close()


async def test_a_listener_that_dies_is_told(deps: Deps) -> None:
    """What hears of it ends the process (app.py), which would otherwise look alive and answer nobody."""
    ended: list[asyncio.Task[None]] = []
    free = replace(deps, settings=msgspec.structs.replace(deps.settings, port=free_port()))
    async with listen.listening(free, ended.append):
        (serving,) = [one for one in asyncio.all_tasks() if "Server.serve" in repr(one.get_coro())]
        serving.cancel()
        await asyncio.wait({serving}, timeout=10)
        await asyncio.sleep(0)
        assert ended == [serving]


async def test_a_kept_connection_is_served_again_and_again(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(3):
        await _ask(reader, writer)
    writer.close()


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"GET /v1 HTTP/1.1\r\nHost: x\r\n\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    await reader.readexactly(length)
