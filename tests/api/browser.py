"""A headless Chromium with one page, driven by the DevTools protocol over its WebSocket. May not: reach the network."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import re
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import aiohttp

import programs

_LISTENS = re.compile(r"DevTools listening on ws://([\d.]+:\d+)/")
_QUIET = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run")
_ALONE = ("--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-proxy-server")
_START = 60.0


class Page:
    """The page. ``complaints``: what its scripts and its security policy wrote to the browser's console."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._number = 0
        self.complaints: list[str] = []

    async def send(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method; its result."""
        self._number += 1
        number = self._number
        await self._socket.send_json({"id": number, "method": method, "params": params})
        async with asyncio.timeout(30):
            while (message := json.loads((await self._socket.receive()).data)).get("id") != number:
                self._hear(message)
        assert "error" not in message, message["error"]
        return dict(message["result"])

    async def open(self, url: str) -> None:
        """Go there."""
        await self.send("Page.navigate", url=url)

    async def evaluate(self, words: str) -> Any:
        """What an expression is in the page."""
        found = await self.send("Runtime.evaluate", expression=words, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    async def until(self, words: str, within: float = 30.0) -> None:
        """Wait until an expression is true."""
        end = asyncio.get_running_loop().time() + within
        while not await self.evaluate(words):
            assert asyncio.get_running_loop().time() < end, (words, await self.text("body"), self.complaints)
            await asyncio.sleep(0.1)

    async def text(self, selector: str) -> str:
        """What a reader reads there."""
        return str(await self.evaluate(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''"))

    async def type(self, text: str) -> None:
        """Press keys, as a person does, into whatever has the focus."""
        for letter in text:
            await self.send("Input.dispatchKeyEvent", type="keyDown", text=letter)
            await self.send("Input.dispatchKeyEvent", type="keyUp")

    async def picture(self) -> bytes:
        """What is painted, as PNG."""
        return base64.b64decode((await self.send("Page.captureScreenshot", format="png"))["data"])

    def _hear(self, message: dict[str, Any]) -> None:
        match message.get("method"):
            case "Runtime.exceptionThrown":
                self.complaints.append(str(message["params"]["exceptionDetails"])[:500])
            case "Log.entryAdded":
                self.complaints.append(str(message["params"]["entry"]["text"]))
            case _:
                pass


@contextlib.asynccontextmanager
async def opened(folder: Path) -> AsyncGenerator[Page]:
    """A browser whose profile is in ``folder``; ended with all its children."""
    words = [*_QUIET, *_ALONE, "--remote-debugging-port=0", f"--user-data-dir={folder}", "about:blank"]
    pipe, none = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    child = await asyncio.create_subprocess_exec(
        programs.system("chromium"), *words, stdin=none, stdout=none, stderr=pipe
    )
    assert child.stderr is not None
    try:
        async with asyncio.timeout(_START):
            while not (found := _LISTENS.search((await child.stderr.readline()).decode(errors="replace"))):
                assert child.returncode is None, "the browser ended"
        draining = asyncio.create_task(child.stderr.read())
        async with aiohttp.ClientSession() as session:
            async with session.put(f"http://{found[1]}/json/new?about:blank") as answer:
                where = (await answer.json())["webSocketDebuggerUrl"]
            async with session.ws_connect(where, max_msg_size=0) as socket:
                page = Page(socket)
                for domain in ("Page", "Runtime", "Log"):
                    await page.send(f"{domain}.enable")
                yield page
        draining.cancel()
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.terminate()
        await child.wait()
