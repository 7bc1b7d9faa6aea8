"""A load generator in a process of its own: HTTP requests over kept connections, as fast as the answers come.

Reads one plan as JSON from its input ({"port", "connections", "seconds", "most", "first", "wrap",
"method", "path", "body"}, where {number} in path and body becomes the number of the request, counted from ``first``,
the rest of its division by ``wrap`` unless that is 0) and prints what happened as JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from typing import Any

HEADERS = "X-OpenStack-Ironic-API-Version: 1.95\r\nContent-Type: application/json\r\nAccept: application/json\r\n"
PATIENCE = 120.0


class Plan:
    """What to ask, how often and for how long; collects the waits."""

    def __init__(self, wanted: dict[str, Any]) -> None:
        self.port: int = wanted["port"]
        self.connections: int = wanted["connections"]
        self._method: str = wanted["method"]
        self._path: str = wanted["path"]
        self._body = json.dumps(wanted["body"]) if "body" in wanted else ""
        self._next: int = wanted["first"]
        self._wrap: int = wanted["wrap"]
        self._last: int = self._next + wanted["most"]
        self._until = time.perf_counter() + wanted["seconds"]
        self.waits: list[float] = []
        self.refused: list[str] = []

    def request(self) -> bytes | None:
        """The next request, or None when it is enough."""
        if self._next >= self._last or time.perf_counter() >= self._until:
            return None
        number = str(self._next % self._wrap if self._wrap else self._next)
        self._next += 1
        body = self._body.replace("{number}", number).encode()
        line = f"{self._method} {self._path.replace('{number}', number)} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n"
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        return f"{line}{HEADERS}{length}\r\n".encode() + body


async def lane(plan: Plan) -> None:
    """Ask over one connection, anew when the service ends it, until the plan has enough."""
    stack = contextlib.AsyncExitStack()
    reader, writer = await connect(plan.port, stack)
    while (request := plan.request()) is not None:
        begun = time.perf_counter()
        try:
            async with asyncio.timeout(PATIENCE):
                writer.write(request)
                status, keeps = await answer(reader)
        except (OSError, EOFError) as error:  # TimeoutError is one of the former
            status, keeps = 0, False
            plan.refused.append(type(error).__name__)
        if 0 < status < 300:
            plan.waits.append(time.perf_counter() - begun)
        elif status:
            plan.refused.append(str(status))
        if not keeps:
            await stack.aclose()
            reader, writer = await connect(plan.port, stack)
    await stack.aclose()


async def connect(port: int, stack: contextlib.AsyncExitStack) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**24)
    stack.callback(writer.close)
    return reader, writer


async def answer(reader: asyncio.StreamReader) -> tuple[int, bool]:
    """Read one answer: its status, and whether the connection stays."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    status = int(head.split(" ", 2)[1])
    headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
    await reader.readexactly(int(headers.get("content-length", "0")))
    return status, headers.get("connection") != "close"


async def main() -> None:
    plan = Plan(json.loads(sys.stdin.read()))
    begun = time.perf_counter()
    await asyncio.gather(*(lane(plan) for _ in range(plan.connections)))
    print(json.dumps({"seconds": time.perf_counter() - begun, "waits": plan.waits, "refused": plan.refused}))


if __name__ == "__main__":
    asyncio.run(main())
