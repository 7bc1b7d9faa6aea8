"""Consoles of this conductor's nodes: switched on and off as the API asks, brought back after a restart.

May not: know a driver. Invariant: ``console_enabled`` of a node says that its console is served, or is to be.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

import structlog
from sqlalchemy import Connection

from ingot.conductor.calls import Calls
from ingot.conductor.recordings import Recordings
from ingot.consoles import logs, tcp
from ingot.consoles.hub import Console, Watcher
from ingot.consoles.line import Line
from ingot.consoles.tickets import Tickets
from ingot.deps import Deps
from ingot.domain import errors, node, runs
from ingot.store import history, node_filters, nodes
from ingot.store import runs as run_store
from ingot.store.paging import Page

_log = structlog.get_logger("ingot.consoles")
_EVERY = 10.0
_OPEN_WITHIN = 45.0
_AT_ONCE = 0.5


class Consoles:
    """Registers its answers on the bus; ``run`` keeps what is served in step with the nodes' records."""

    def __init__(self, deps: Deps, calls: Calls, has: Callable[[str, str], bool]) -> None:
        self._deps = deps
        self._calls = calls
        self._has = has
        self._served: dict[str, Console] = {}
        self._recordings = Recordings(deps, lambda uuid: self._made(uuid, take=False), has)
        self._ports: dict[str, tcp.Port] = {}
        self._tickets = Tickets(deps.clock)
        self._changing: dict[str, asyncio.Task[None]] = {}
        for verb in ("set_console", "console_info", "console_ticket", "console_watch", "console_tail"):
            deps.bus.answer(verb, getattr(self, f"_{verb}"))

    async def run(self) -> None:
        """Serve until cancelled."""
        try:
            while True:
                try:
                    await self._reconcile()
                except errors.StoreDown as error:
                    _log.warning("consoles left as they are", reason=error.sentence())
                await asyncio.sleep(_EVERY)
        finally:
            changing = list(self._changing.values())
            for task in changing:
                task.cancel()
            await asyncio.gather(*changing, return_exceptions=True)
            await asyncio.gather(*(self._end(uuid) for uuid in list(self._served)), return_exceptions=True)
            await self._recordings.close()

    def record(self, run: runs.Run, found: node.Node) -> None:
        """Listen for the log of a run that was taken up just now, where that is wanted: ``run`` looks too seldom."""
        self._recordings.begin(run, found, self._is_free)

    async def _reconcile(self) -> None:
        """After a restart consoles come back by themselves; those of nodes that are gone, or another's now, end."""
        changing = set(self._changing)  # what is switched while the records are read is newer than they
        enabled = await self._deps.store.read(_enabled)
        changing |= set(self._changing)
        wanted = {uuid for uuid, group in enabled.items() if self._has(group, uuid)}
        for uuid in set(self._served) - wanted - changing:
            await self._end(uuid)
        for uuid in wanted - set(self._served) - changing:
            await self._recordings.end(uuid)
            console = self._made(uuid)
            console.start_later()
            try:
                await self._begin(uuid, console)
            except (errors.Refused, errors.Bug) as error:  # secrets that cannot be opened concern this node alone
                _log.warning("console not served", node=uuid, reason=error.sentence())
        await self._recordings.follow(self._is_free)

    def _is_free(self, uuid: str) -> bool:
        return uuid not in self._served and uuid not in self._changing

    async def _set_console(self, node_uuid: str, enabled: bool) -> None:
        """Switch on or off; what takes long goes on in the background, what goes wrong stands in ``last_error``."""
        ctx = await self._calls.context(node_uuid)
        await ctx.interface("console").validate(ctx)
        if ctx.node.console_enabled != enabled and node_uuid not in self._changing:
            await self._deps.store.run(nodes.change, node_uuid, last_error=None)
            task = asyncio.create_task(self._switch(node_uuid, enabled))
            self._changing[node_uuid] = task
            task.add_done_callback(lambda _: self._changing.pop(node_uuid, None))
            await asyncio.wait({task}, timeout=_AT_ONCE)  # who asks next finds it done, as the node shows no lock

    async def _switch(self, uuid: str, enabled: bool) -> None:
        try:
            await (self._start(uuid) if enabled else self._end(uuid))
            await self._deps.store.run(nodes.change, uuid, console_enabled=enabled)
        except errors.IngotError as error:
            word = "enabling" if enabled else "disabling"
            reason = f"Error {word} the console on node {uuid}. Reason: {error.sentence()}"
            await self._deps.store.run(_failed, uuid, reason)

    async def _start(self, uuid: str) -> None:
        await self._recordings.end(uuid)
        console = self._made(uuid)
        try:
            async with asyncio.timeout(_OPEN_WITHIN):
                await console.start()
        except TimeoutError as error:
            raise errors.TimedOut(f"The console did not open within {_OPEN_WITHIN:.0f} s") from error
        await self._begin(uuid, console)

    async def _begin(self, uuid: str, console: Console) -> None:
        self._served[uuid] = console
        try:
            ctx = await self._calls.context(uuid)
            if _style(ctx.node) == "socat":
                port: int = ctx.interface("console").port(ctx)
                self._ports[uuid] = await tcp.listen(console, self._deps.settings.console_address, port)
        except errors.IngotError:
            await self._end(uuid)
            raise

    async def _end(self, uuid: str) -> None:
        port, console = self._ports.pop(uuid, None), self._served.pop(uuid, None)
        if port is not None:
            port.close()
        if console is not None:
            await console.stop()

    async def _console_info(self, node_uuid: str, base: str) -> dict[str, str] | None:
        """Where to reach a console: None while it is not enabled; ``base``: what the API's links begin with."""
        ctx = await self._calls.context(node_uuid)
        if not ctx.node.console_enabled:
            return None
        await ctx.interface("console").validate(ctx)
        port = self._ports.get(node_uuid)
        if port is not None:
            return {"type": "socat", "url": f"tcp://{self._deps.settings.console_address}:{port.number}"}
        return {"type": _style(ctx.node), "url": f"{base}/ingot/v1/console/{self._tickets.give(node_uuid)}"}

    async def _console_ticket(self, node_uuid: str) -> str:
        """A ticket for a console that is served."""
        if node_uuid not in self._served:
            raise errors.Conflict(f"The console of node {node_uuid} is not served", hint="Enable it first.")
        return self._tickets.give(node_uuid)

    async def _console_watch(self, ticket: str) -> Watcher:
        """A watcher of the console that ``ticket`` opens: an object of this process, not a value."""
        uuid = self._tickets.find(ticket)
        console = self._served.get(uuid or "")
        if console is None:
            raise errors.NotFound("This console link is not valid (any more).", hint="Ask for the console again.")
        return console.watch()

    async def _console_tail(self, node_uuid: str, run: str, size: int) -> str:
        data = await asyncio.to_thread(logs.tail, self._folder(node_uuid), run, size)
        return data.decode(errors="replace")

    def _made(self, uuid: str, *, take: bool = True) -> Console:
        async def run_of() -> str | None:
            with contextlib.suppress(errors.IngotError):
                found = await self._deps.store.peek(run_store.find_open_id, uuid)
                if found is None:
                    since = self._deps.clock() - logs.LATE
                    found = await self._deps.store.peek(run_store.find_failed_id, uuid, since)
                return found
            return None

        async def open_line() -> Line:
            ctx = await self._calls.context(uuid)
            return await ctx.interface("console").open(ctx, take=take)

        return Console(uuid, open_line, logs.Log(self._folder(uuid), run_of))

    def _folder(self, uuid: str) -> Path:
        return logs.folder_of(self._deps.settings.data, uuid)


def _style(found: node.Node) -> str:
    """How clients are told to reach a node's console, by the name they know: a page, or with socat a plain TCP port."""
    last = (found.console_interface or "").rpartition("-")[2]
    return last if last in {"socat", "shellinabox"} else "ingot"


def _enabled(connection: Connection) -> dict[str, str]:
    """The conductor group of each node whose console is to be served, by uuid."""
    every = node_filters.Filter(console_enabled=True, include_children=True)
    rows = nodes.list_rows(connection, every, Page(limit=1_000_000), ("uuid", "conductor_group"))
    return {row["uuid"]: row["conductor_group"] for row in rows}


def _failed(connection: Connection, uuid: str, reason: str) -> None:
    nodes.change(connection, uuid, last_error=reason)
    history.add(connection, uuid, reason, severity="ERROR", event_type="console")
