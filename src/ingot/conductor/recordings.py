"""Consoles that nobody switched on, listened to while their nodes are worked on, for the log of a run that fails.

May not: serve anybody, take a line away from anybody. Invariant: a console that is served, or being switched, is left
alone, since a BMC has one line.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from sqlalchemy import Connection, select

from ingot.consoles.hub import Console
from ingot.deps import Deps
from ingot.domain import errors, node, runs
from ingot.store import schema

_KINDS = (runs.Kind.INSPECT, runs.Kind.CLEAN, runs.Kind.DEPLOY, runs.Kind.RESCUE, runs.Kind.UNRESCUE, runs.Kind.SERVICE)
"""Runs that boot something; cleaning is also the second half of taking an instance down."""
_NONE = "no-console"


class Recordings:
    """Makes consoles with ``make``, which logs what they say, for nodes (group, uuid) that this conductor ``has``."""

    def __init__(self, deps: Deps, make: Callable[[str], Console], has: Callable[[str, str], bool]) -> None:
        self._deps, self._make, self._has = deps, make, has
        self._going: dict[str, Console] = {}
        self._begun: set[str] = set()
        """Nodes whose runs were taken up since the records were looked at last: newer than what is read there."""

    def begin(self, run: runs.Run, found: node.Node, is_free: Callable[[str], bool]) -> None:
        """Listen to a node from now on whose run was taken up, if ``follow`` would: it looks from time to time only."""
        there = found.console_interface not in {None, _NONE} and not found.console_enabled
        wanted = there and run.kind in _KINDS and self._deps.settings.console_recording
        if wanted and self._has(found.conductor_group, found.uuid):
            self._begun.add(found.uuid)
            self._listen(found.uuid, is_free)

    async def follow(self, is_free: Callable[[str], bool]) -> None:
        """Listen to the nodes that are worked on now, no others; ``is_free``: nobody else has the line."""
        self._begun.clear()
        found = await self._deps.store.read(_worked_on) if self._deps.settings.console_recording else {}
        wanted = {uuid for uuid, group in found.items() if self._has(group, uuid)}
        await asyncio.gather(*(self.end(uuid) for uuid in set(self._going) - wanted - self._begun))
        for uuid in wanted:
            self._listen(uuid, is_free)

    def _listen(self, uuid: str, is_free: Callable[[str], bool]) -> None:
        if uuid not in self._going and is_free(uuid):
            self._going[uuid] = console = self._make(uuid)
            console.start_later()

    async def end(self, uuid: str) -> None:
        """Hang up, so that the line is free; nothing where it is not listened to."""
        console = self._going.pop(uuid, None)
        if console is not None:
            with contextlib.suppress(errors.IngotError):
                await console.stop()

    async def close(self) -> None:
        """Hang up everywhere."""
        await asyncio.gather(*(self.end(uuid) for uuid in list(self._going)), return_exceptions=True)


def _worked_on(connection: Connection) -> dict[str, str]:
    """The conductor group of each node that a run boots now and whose console is there and not switched on, by uuid."""
    nodes, table = schema.nodes.c, schema.runs.c
    open_runs = select(table.open_node).where(table.open_node.is_not(None), table.kind.in_(_KINDS))
    there = nodes.console_interface.is_not(None) & (nodes.console_interface != _NONE)
    off = nodes.console_enabled.is_not(True)
    found = select(nodes.uuid, nodes.conductor_group).where(nodes.uuid.in_(open_runs), there, off)
    return {row.uuid: row.conductor_group for row in connection.execute(found)}
