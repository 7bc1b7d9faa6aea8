"""Ending all open runs of a restored database: what they were to do may be the wrong thing for the machines of today.

Why not an abort: it takes a conductor, which undoes what the run began, on machines that may have become somebody's
since. May not: touch hardware. Invariant: all runs are ended or none, and no node that had one is free for work.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection

from ingot.deps import Deps
from ingot.domain import errors, node, runs, states
from ingot.flows import catalog, flow, writes
from ingot.store import claims, conductors, journals, nodes
from ingot.store import runs as run_store

SILENT = 60.0
"""Seconds without a sign of life after which a conductor that holds no run is taken for dead."""
REASON = 'Ended by "ingot db end-runs"; the machine was not touched.'
IN_MAINTENANCE = "Look at the machine: its run was ended by ingot db end-runs."


class Ended(NamedTuple):
    """One run that was ended. ``where``: the step it had reached; ``state``: the node's since then."""

    node: str
    kind: runs.Kind
    where: str
    state: states.State


async def end_all(deps: Deps) -> list[Ended]:
    """Fail every open run where it stands and put its node into maintenance; nothing is undone.

    Raises errors.Conflict while a conductor lives on this database: it would be in the middle of a step.
    """
    return await deps.store.run(_end_all, deps)


def _end_all(connection: Connection, deps: Deps) -> list[Ended]:
    # One that is told to stop has said goodbye, and may still be in the middle of a step.
    alive = {*conductors.list_seen(connection, deps.clock() - SILENT), *claims.list_holders(connection, deps.clock())}
    if alive:
        raise errors.Conflict(
            f"Conductors work on this database: {', '.join(sorted(alive))}",
            hint=f"Stop them. One that was killed, or lived when the backup was made, counts for {SILENT:.0f} s.",
        )
    return [_end(connection, deps, lease) for lease in claims.take_all(connection, deps.hostname)]


def _end(connection: Connection, deps: Deps, lease: run_store.Lease) -> Ended:
    run = run_store.get(connection, lease.run_id)
    found = nodes.get(connection, lease.node_uuid)
    events, columns = catalog.flows()[run.kind].failure(found, flow.Failure(aborted=False, undone=False))
    columns = {**columns, "maintenance": True, "maintenance_reason": IN_MAINTENANCE}
    end = writes.End(runs.Status.FAILED, _possible(found, events), REASON, columns)
    writes.Writes(deps, lease, run).finish(connection, found.provision_state, end)
    state = nodes.get_state(connection, found.uuid)
    return Ended(found.name or found.uuid, run.kind, _where(connection, run), state)


def _possible(found: node.Node, events: tuple[states.Event, ...]) -> tuple[states.Event, ...]:
    """The event by which a run that failed leaves the node's state: out of a hold only an abort leads."""
    asked = (*events[:1], states.Event.ABORT) if events else ()
    return next(((event,) for event in asked if states.find_next(found.provision_state, event)), ())


def _where(connection: Connection, run: runs.Run) -> str:
    if run.plan is None:
        return "not begun"
    position = runs.fold(len(run.plan), journals.get(connection, run.id))
    if position.next == len(run.plan):
        return "all its steps done"
    return f"{'in' if position.cut else 'before'} {run.plan[position.next].title()}"
