"""The serial console of an imaginary machine: it greets, and echoes what is typed. May not: open a socket."""

from __future__ import annotations

import asyncio

from ingot.domain import errors
from ingot.drivers.fake import acts
from ingot.interfaces.context import Context
from ingot.interfaces.hardware import ConsoleInterface


class FakeLine:
    """One open line. It ends when closed; ``exit`` typed on a line of its own hangs up from the other side."""

    def __init__(self, greeting: bytes) -> None:
        self._said: asyncio.Queue[bytes] = asyncio.Queue()
        self._said.put_nowait(greeting)
        self._typed = bytearray()
        self._ended = False

    async def read(self) -> bytes:
        """The greeting, then echoes."""
        return b"" if self._ended and self._said.empty() else await self._said.get()

    async def write(self, data: bytes) -> None:
        """Echo; a line's end brings a new prompt."""
        if self._ended:
            raise errors.Unreachable("The imaginary console has hung up")
        self._said.put_nowait(data.replace(b"\r", b"\r\n# "))
        self._typed += data
        if self._typed.endswith(b"exit\r"):
            await self.close()

    async def send_break(self) -> None:
        """Say that it came."""
        self._said.put_nowait(b"\r\n[break]\r\n")

    async def close(self) -> None:
        """Hang up."""
        self._ended = True
        self._said.put_nowait(b"")


class FakeConsole(ConsoleInterface):
    """Opens a line at once."""

    async def open(self, ctx: Context, *, take: bool = True) -> FakeLine:
        """A line of its own for every caller."""
        await acts.act(ctx, "console.open", "console opened")
        return FakeLine(f"imaginary machine {ctx.node.name or ctx.node.uuid}\r\n# ".encode())
