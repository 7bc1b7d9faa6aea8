"""``/ingot/v1/nodes/{node}/run`` and ``/runs``: what a node's run does, waits for and did; what Ironic cannot tell.

May not: change a run. Invariant: no secret: parameters are not shown, they may be sealed.
"""

from __future__ import annotations

import asyncio
import io
import tarfile
import zlib
from typing import Any

from sqlalchemy import Connection

from ingot.api import query, wire
from ingot.api.v1 import nodes
from ingot.deps import Deps
from ingot.domain import errors, runs
from ingot.store import nodes as node_store
from ingot.store import run_logs
from ingot.store import runs as store

_MOST = 100
_MOST_TEXT = 32 << 20
_TAIL = 4096
_DONE = frozenset({runs.Mark.SUCCEEDED, runs.Mark.FAILED, runs.Mark.UNDO_FINISHED, runs.Mark.UNDO_FAILED})
_WORDS: dict[runs.Mark, str] = {
    runs.Mark.STARTED: "running",
    runs.Mark.SUCCEEDED: "done",
    runs.Mark.FAILED: "failed",
    runs.Mark.UNDO_STARTED: "undoing",
    runs.Mark.UNDO_FINISHED: "undone",
    runs.Mark.UNDO_FAILED: "undo failed",
}


async def show(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /ingot/v1/nodes/{node}/run: the newest run."""
    query.Query(request)
    found = await deps.store.read(_last, nodes.node_ident(request))
    if found is None:
        raise errors.NotFound("This node has had no run.", hint="Send it a provision verb.")
    run, journal = found
    body = _shown(run, journal, now=deps.clock())
    return wire.ok({**body, "console": await _console(deps, request, run)})


async def _console(deps: Deps, request: wire.Request, run: runs.Run) -> dict[str, str] | None:
    """The last of what the node's serial console said in the run, and where the rest is; None: it was not served."""
    try:
        tail: str = await deps.bus.call("console_tail", node_uuid=run.node_uuid, run=run.id, size=_TAIL)
    except errors.Unreachable:
        return None  # no conductor is here to read it
    url = request.href("ingot", "v1", "nodes", run.node_uuid, "runs", run.id, "console")
    return {"tail": tail, "url": url} if tail else None


async def index(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /ingot/v1/nodes/{node}/runs: the runs, newest first, without their steps."""
    asked = query.Query(request, "limit")
    limit = min(asked.page(frozenset()).limit, _MOST)
    found = await deps.store.read(_list, nodes.node_ident(request), limit)
    return wire.ok({"runs": [_head(run) for run in found]})


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
    return None if found is None else (found, store.journal(connection, found.id))


def _list(connection: Connection, ident: str, limit: int) -> list[runs.Run]:
    return store.list_of_node(connection, node_store.get(connection, ident).uuid, limit)


def _head(run: runs.Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "kind": run.kind,
        "status": run.status,
        "reason": run.reason,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "deadline": run.deadline,
    }


def _shown(run: runs.Run, journal: list[runs.Entry], *, now: float) -> dict[str, Any]:
    plan = run.plan or []
    position = runs.fold(len(plan), journal)
    current = plan[position.next].title() if position.next < len(plan) else None
    wait = run.wait
    return {
        **_head(run),
        "now": now,
        "current_step": current if run.status == runs.Status.OPEN else None,
        "plan": [_step(step, [entry for entry in journal if entry.step == index]) for index, step in enumerate(plan)],
        "wait": wait and {key: getattr(wait, key) for key in ("what", "why", "since", "usual", "deadline")},
        "progress": run.progress,
    }


def _step(step: runs.PlannedStep, journal: list[runs.Entry]) -> dict[str, Any]:
    """A step with where it stands; ``duration`` in seconds, None while it runs."""
    starts = [entry.at for entry in journal if entry.mark == runs.Mark.STARTED]
    last = journal[-1] if journal else None
    ended = last.at if last is not None and last.mark in _DONE else None
    return {
        "title": step.title(),
        "interface": step.interface,
        "step": step.step,
        "status": "waiting" if last is None else _WORDS[last.mark],
        "started_at": starts[0] if starts else None,
        "duration": ended - starts[0] if ended is not None and starts else None,
        "detail": last.detail if last else None,
    }
