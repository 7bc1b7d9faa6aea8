"""The console of an imaginary machine: a note that it is served, nothing listens. May not: open a socket."""

from __future__ import annotations

from ingot.domain import errors
from ingot.drivers.fake import acts
from ingot.interfaces.context import Context
from ingot.interfaces.hardware import ConsoleInterface


class FakeConsole(ConsoleInterface):
    """Remembers which nodes' consoles are served while the process lives."""

    def __init__(self) -> None:
        self._served: set[str] = set()

    async def start(self, ctx: Context) -> None:
        """Remember that it is served."""
        await acts.act(ctx, "console.start", "console on")
        self._served.add(ctx.node.uuid)

    async def stop(self, ctx: Context) -> None:
        """Remember that it is not."""
        await acts.act(ctx, "console.stop", "console off")
        self._served.discard(ctx.node.uuid)

    async def get(self, ctx: Context) -> dict[str, str]:
        """An address that no program mistakes for a real one. Raises errors.Conflict while it is not served."""
        await acts.act(ctx, "console.get")
        if ctx.node.uuid not in self._served:
            raise errors.Conflict(f"The console of node {ctx.node.uuid} is not served", hint="Start it first.")
        return {"type": "fake", "url": f"imaginary://{ctx.node.uuid}/console"}
