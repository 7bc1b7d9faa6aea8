"""Answers without an end on a connection: sent while the client takes them, ended when it hangs up or stands still.

May not: know what is sent. Invariant: what a stream holds is let go of, however the connection ends.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable

from ingot.api import wire

PATIENCE = 30.0
"""Seconds that a client may leave the connection's buffer full."""


async def pour(answer: wire.Stream, headers: list[tuple[bytes, bytes]], receive: wire.Receive, send: wire.Send) -> None:
    """Send the whole answer."""
    plain = [(name, value) for name, value in headers if name != b"content-length"]
    await send({"type": "http.response.start", "status": answer.status, "headers": plain})
    sending = asyncio.create_task(_send_all(answer, send))
    hanging_up = asyncio.create_task(_wait_for_end(receive))
    try:
        await asyncio.wait({sending, hanging_up}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (sending, hanging_up):
            task.cancel()
        await asyncio.gather(sending, hanging_up, return_exceptions=True)


async def while_connected(work: Awaitable[wire.Answer], receive: wire.Receive) -> wire.Answer:
    """What ``work`` gives. Raises wire.Gone when the client hangs up before; then ``work`` is cancelled."""
    working = asyncio.ensure_future(work)
    hanging_up = asyncio.create_task(_wait_for_end(receive))
    try:
        await asyncio.wait({working, hanging_up}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise wire.Gone()
        return working.result()
    finally:
        for task in (working, hanging_up):
            task.cancel()
        await asyncio.gather(working, hanging_up, return_exceptions=True)


async def _send_all(answer: wire.Stream, send: wire.Send) -> None:
    # A client that stands still is left alone: its connection is closed because this answer has no end.
    with contextlib.suppress(TimeoutError):
        async with contextlib.aclosing(answer.chunks) as chunks:
            async for chunk in chunks:
                async with asyncio.timeout(PATIENCE):
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
        async with asyncio.timeout(PATIENCE):
            await send({"type": "http.response.body", "body": b""})


async def _wait_for_end(receive: wire.Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
