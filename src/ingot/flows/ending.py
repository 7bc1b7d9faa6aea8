"""How a run ends that did not go well: by a failed step, or because it cannot even be taken up.

May not: run or undo a step. Invariant: a run that cannot go on never stays open for ever.
"""

from __future__ import annotations

import structlog
from sqlalchemy import Connection

from ingot.deps import Deps
from ingot.domain import errors, node, runs, states
from ingot.flows import flow
from ingot.flows.journal import RunJournal
from ingot.interfaces.context import StepContext
from ingot.store import journals, nodes
from ingot.store import runs as run_store

_log = structlog.get_logger("ingot.run")
_INTERRUPTED = "interrupted"
_TRIES = 6
"""How often a run that cannot even be taken up is tried (over about a minute) without getting a step further."""


async def fail(deps: Deps, definition: flow.Flow, ctx: StepContext, journal: RunJournal, reason: str | None) -> None:
    """Close a run whose step or plan failed, everything undone, as its flow says."""
    await ctx.refresh()
    aborted, _ = await deps.store.peek(run_store.check, journal.lease)
    undone = not any(each.mark == runs.Mark.UNDO_FAILED for each in journal.entries)
    events, columns = definition.failure(ctx.node, flow.Failure(aborted, undone))
    if aborted and states.find_next(ctx.node.provision_state, states.Event.ABORT):
        events = (states.Event.ABORT, *events[1:])
    status = runs.Status.ABORTED if aborted else runs.Status.FAILED
    await journal.finish(status, events, reason, **columns)


async def interrupted(deps: Deps, flows: dict[runs.Kind, flow.Flow], lease: run_store.Lease, reason: str) -> None:
    """Something outside of all steps failed: try again a little later, a few times, then fail the run."""
    try:
        run, found, entries = await deps.store.read(_read, lease)
        now = deps.clock()
        before: dict[str, int] = run.memo.get(_INTERRUPTED, {})
        tries = 1 + (before["tries"] if before.get("entries") == len(entries) else 0)
        if tries < _TRIES and now < run.deadline:
            memo = {**run.memo, _INTERRUPTED: {"entries": len(entries), "tries": tries}}
            await deps.store.run(run_store.release, lease, memo, now + 2**tries)
            return
        events, columns = flows[run.kind].failure(found, flow.Failure(aborted=False, undone=False))
        if events and states.find_next(found.provision_state, events[0]) is None:
            events = ()
        journal = RunJournal(deps, lease, run, entries, found)
        await journal.finish(runs.Status.FAILED, events, f"Gave up after {tries} tries: {reason}", **columns)
    except errors.IngotError as error:
        # The database itself is out of reach, or the run is not ours: the lease runs out, the next claim goes on.
        _log.warning("run left to the next claim", reason=error.sentence())
    except Exception:
        _log.exception("run cannot even be read: left to the next claim")


def _read(connection: Connection, lease: run_store.Lease) -> tuple[runs.Run, node.Node, list[runs.Entry]]:
    run_store.check(connection, lease)
    run = run_store.get(connection, lease.run_id)
    return run, nodes.get(connection, lease.node_uuid), journals.get(connection, lease.run_id)
