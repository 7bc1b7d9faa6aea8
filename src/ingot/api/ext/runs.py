"""``/ingot/v1/nodes/{node}/run`` and ``/runs``: what a node's run does, waits for and did; what Ironic cannot tell.

May not: change a run.
"""

from __future__ import annotations

import asyncio
import io
import zlib
from typing import Any

import msgspec
from sqlalchemy import Connection

from ingot.api import access, query, spec, wire
from ingot.api.ext import run_view
from ingot.api.v1 import nodes
from ingot.deps import Deps
from ingot.domain import errors, runs
from ingot.store import journals, run_logs
from ingot.store import nodes as node_store
from ingot.store import runs as store

_MOST = 100
_MOST_TEXT = 32 << 20
_TAIL = 4096
_WHOLE = spec.of(run_view.Whole)
_HEADS = spec.listed("runs", spec.of(run_view.Head))
_LOGS = spec.fields(run=str, collected_at=float, size=int, files=dict[str, str])


@spec.tells("The newest run of a node: its steps, its journal, what it waits for and why", answer=_WHOLE)
async def show_last(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /ingot/v1/nodes/{node}/run."""
    query.Query(request)
    found = await deps.store.read(_last, nodes.node_ident(request))
    if found is None:
        raise errors.NotFound("This node has had no run.", hint="Send it a provision verb.")
    return await _shown(deps, request, *found)


@spec.tells("One run of a node: its steps, its journal, what it waits for and why", answer=_WHOLE)
async def show(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /ingot/v1/nodes/{node}/runs/{run}."""
    query.Query(request)
    return await _shown(deps, request, *await deps.store.read(_get, nodes.node_ident(request), request.args["run"]))


async def _shown(deps: Deps, request: wire.Request, run: runs.Run, journal: list[runs.Entry]) -> wire.Answer:
    attached = run_view.Attached(await _console(deps, request, run), await _kept_logs(deps, request, run))
    told = await _with_lack(deps, run)
    return wire.ok(run_view.whole(told, journal, attached, now=deps.clock()))


async def _with_lack(deps: Deps, run: runs.Run) -> runs.Run:
    """The run; where nobody lives who could go on with it (or end it at its deadline), that is its reason."""
    if run.status != runs.Status.OPEN or run.lease_until > deps.clock():
        return run
    try:
        await deps.members.find_host({"node_uuid": run.node_uuid})
    except errors.StoreDown:
        raise
    except errors.Unreachable as error:
        return msgspec.structs.replace(run, reason=f"Waits for a conductor: {error.sentence()}")
    return run


async def _console(deps: Deps, request: wire.Request, run: runs.Run) -> run_view.Console | None:
    if not await access.may(deps, request.caller, "nodes", run.node_uuid, "baremetal:node:get_console"):
        return None
    try:
        tail: str = await deps.bus.call("console_tail", node_uuid=run.node_uuid, run=run.id, size=_TAIL)
    except errors.Unreachable:
        return None  # no conductor is here to read it
    url = request.href("ingot", "v1", "nodes", run.node_uuid, "runs", run.id, "console")
    return run_view.Console(tail=tail, url=url) if tail else None


async def _kept_logs(deps: Deps, request: wire.Request, run: runs.Run) -> run_view.Logs | None:
    if run.status == runs.Status.OPEN:
        return None  # who watches asks every second
    size = (await deps.store.read(run_logs.sizes, run.node_uuid)).get(run.id)
    if size is None:
        return None
    url = request.href("ingot", "v1", "nodes", run.node_uuid, "logs")
    return run_view.Logs(size=size, url=f"{url}?run={run.id}")


@spec.tells("The runs of a node without their steps, newest first, a page at a time", answer=_HEADS)
async def index(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /ingot/v1/nodes/{node}/runs."""
    asked = query.Query(request, "limit", "marker")
    page = asked.page(frozenset())
    limit = min(page.limit, _MOST)
    found = await deps.store.read(_list, nodes.node_ident(request), limit, page.marker)
    body: dict[str, Any] = {"runs": [run_view.head(run) for run in found]}
    if len(found) == limit:
        where = request.href("ingot", "v1", "nodes", request.args["node"], "runs")
        body["next"] = f"{where}?limit={limit}&marker={found[-1].id}"
    return wire.ok(body)


@spec.tells("What the ramdisk logged in a run", answer=_LOGS)
async def logs(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /ingot/v1/nodes/{node}/logs?run=..: what the ramdisk logged in a run, as texts by file name."""
    asked = query.Query(request, "run")
    run_id, at, bundle = await deps.store.read(_logs, nodes.node_ident(request), asked.uuid("run"))
    files = await asyncio.to_thread(_unpacked, bundle)
    return wire.ok({"run": run_id, "collected_at": at, "size": len(bundle), "files": files})


def _logs(connection: Connection, ident: str, run_id: str | None) -> tuple[str, float, bytes]:
    return run_logs.get(connection, node_store.get(connection, ident).uuid, run_id)


def _unpacked(bundle: bytes) -> dict[str, str]:
    """Texts by name; what unpacks to more than ``_MOST_TEXT`` bytes is cut off. The sender is a machine: no trust."""
    import tarfile  # few ask for logs, and each start would take a millisecond longer

    found: dict[str, str] = {}
    left = _MOST_TEXT
    try:
        with tarfile.open(fileobj=io.BytesIO(bundle), mode="r|gz") as archive:
            for entry in archive:
                file = archive.extractfile(entry) if entry.isfile() else None
                if file is None or left <= 0:
                    break
                text = file.read(left)
                left -= len(text)
                found[entry.name] = text.decode("utf-8", "replace")
    except (tarfile.TarError, OSError, EOFError, zlib.error):
        found["(damaged)"] = "The rest of the bundle cannot be read."
    return found


def _last(connection: Connection, ident: str) -> tuple[runs.Run, list[runs.Entry]] | None:
    found = store.find_last(connection, node_store.get(connection, ident).uuid)
    return None if found is None else (found, journals.get(connection, found.id))


def _get(connection: Connection, ident: str, run_id: str) -> tuple[runs.Run, list[runs.Entry]]:
    found = store.get_of_node(connection, node_store.get(connection, ident).uuid, run_id)
    return found, journals.get(connection, run_id)


def _list(connection: Connection, ident: str, limit: int, marker: str | None) -> list[runs.Run]:
    return store.list_of_node(connection, node_store.get(connection, ident).uuid, limit, marker)
