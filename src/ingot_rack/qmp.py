"""Talk to a QEMU process: commands, answers and events (QEMU Machine Protocol).

Why: screenshots, resets and media changes go this way, and resets inside the guest are heard here.
May not: know what the machine is for. Invariant: one command at a time, each with a deadline.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import cast

from ingot_rack import errors

Message = dict[str, object]
EventHook = Callable[[str, Message], None]


class Qmp:
    """A connection to one QEMU. Use `connect` to make one."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, on_event: EventHook) -> None:
        self._reader = reader
        self._writer = writer
        self._on_event = on_event
        self._lock = asyncio.Lock()
        self._answers: asyncio.Queue[Message] = asyncio.Queue()
        self._asked = 0
        self._pump = asyncio.get_running_loop().create_task(self._run())

    async def execute(self, command: str, arguments: Message | None = None, *, seconds: float = 20.0) -> object:
        """Run a command and give its `return`; raises RackError when QEMU refuses, dies or is too slow."""
        request: Message = {"execute": command}
        if arguments:
            request["arguments"] = arguments
        async with self._lock:
            self._asked += 1
            request["id"] = self._asked
            try:
                async with asyncio.timeout(seconds):
                    self._writer.write(json.dumps(request).encode() + b"\n")
                    await self._writer.drain()
                    answer = await self._answer()
            except TimeoutError as error:
                raise errors.RackError(f"QEMU did not answer {command} in {seconds:g} s") from error
            except ConnectionError as error:
                raise errors.RackError(f"QEMU ended during {command}") from error
        if "error" in answer:
            raise errors.RackError(f"QEMU refused {command}: {answer['error']}")
        return answer.get("return")

    async def _answer(self) -> Message:
        """What QEMU says to the last command; what came too late for an earlier one is dropped."""
        while (answer := await self._answers.get()).get("id", self._asked) != self._asked:
            continue
        return answer

    async def close(self) -> None:
        """Hang up."""
        self._pump.cancel()
        self._writer.close()
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            await self._writer.wait_closed()

    async def _run(self) -> None:
        with contextlib.suppress(ConnectionError):
            while line := await self._reader.readline():
                message = cast("Message", json.loads(line))
                if "event" in message:
                    self._on_event(str(message["event"]), cast("Message", message.get("data", {})))
                elif "QMP" not in message:
                    self._answers.put_nowait(message)
        self._answers.put_nowait({"error": "the connection is closed"})


async def connect(path: Path, on_event: EventHook, *, seconds: float = 20.0) -> Qmp:
    """Wait for QEMU's socket, connect and leave the negotiation mode."""
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await _open(path)
    except TimeoutError as error:
        raise errors.RackError(f"QEMU did not open {path.name} in {seconds:g} s") from error
    connection = Qmp(reader, writer, on_event)
    await connection.execute("qmp_capabilities")
    return connection


async def _open(path: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    while True:
        try:
            return await asyncio.open_unix_connection(str(path), limit=1 << 22)
        except (FileNotFoundError, ConnectionRefusedError):
            await asyncio.sleep(0.02)
