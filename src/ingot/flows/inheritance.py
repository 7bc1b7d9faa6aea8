"""What is stored of runs that are taken up, with what the deaths of their last owners cost them given back.

May not: work on a run. Invariant: what a death cost is given once, in the unit that notes it.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from sqlalchemy import Connection

from ingot.deps import Deps
from ingot.domain import errors, runs
from ingot.flows import deaths
from ingot.store import absence, contexts, journals
from ingot.store import runs as run_store


class Taken(NamedTuple):
    """A run as it was taken up: its row, its journal, its node."""

    run: runs.Run
    entries: list[runs.Entry]
    node: contexts.Loaded


_All = dict[run_store.Lease, Taken]


async def load(deps: Deps, leases: list[run_store.Lease]) -> _All:
    """Many runs, read at once; without those that are somebody else's by now."""
    return await _inherit(deps, await deps.store.read(_read_many, leases))


async def take(deps: Deps, lease: run_store.Lease) -> Taken:
    """One run. Raises errors.LostLease where it is somebody else's by now."""
    return _of(lease, await _inherit(deps, {lease: await deps.store.read(_read, lease)}))


async def take_seated(deps: Deps, lease: run_store.Lease, since: float) -> Taken:
    """A suspect that has its seat now, for which it has waited since then (epoch seconds). Raises as ``take``."""
    found, now = await deps.store.read(_read, lease), deps.clock()
    return _of(lease, await _give(deps, {lease: found}, {lease: deaths.seated(found.run, now - since, now)}))


def _of(lease: run_store.Lease, found: _All) -> Taken:
    if lease not in found:
        raise errors.LostLease()
    return found[lease]


async def _inherit(deps: Deps, found: _All) -> _All:
    """The runs with what they lost given back, in one unit; without those that are somebody else's meanwhile."""
    now = deps.clock()
    losses = {lease: loss for lease, one in found.items() if (loss := _loss(lease, one, now)) is not None}
    return await _give(deps, found, losses) if losses else found


async def _give(deps: Deps, found: _All, losses: dict[run_store.Lease, deaths.Loss]) -> _All:
    gifts = [absence.Gift(lease, loss.seconds, loss.wait, loss.memo) for lease, loss in losses.items()]
    lost = await deps.store.run(absence.give, gifts)
    settled = {lease: _settled(found[lease], loss) for lease, loss in losses.items()}
    return {lease: one for lease, one in {**found, **settled}.items() if lease not in lost}


def _loss(lease: run_store.Lease, taken: Taken, now: float) -> deaths.Loss | None:
    """What a run that was taken up has to be given before it goes on, None where there is nothing."""
    if lease.inherited:
        return deaths.reckon(taken.run, taken.entries, now, died=lease.died)
    return deaths.seated_again(taken.run, taken.entries)


def _settled(taken: Taken, loss: deaths.Loss) -> Taken:
    deadline = taken.run.deadline + loss.seconds
    return taken._replace(run=msgspec.structs.replace(taken.run, deadline=deadline, wait=loss.wait, memo=loss.memo))


def _read(connection: Connection, lease: run_store.Lease) -> Taken:
    run, entries = run_store.get(connection, lease.run_id), journals.get(connection, lease.run_id)
    return Taken(run, entries, contexts.get(connection, lease.node_uuid))


def _read_many(connection: Connection, leases: list[run_store.Lease]) -> _All:
    ids = [lease.run_id for lease in leases]
    found = {run.id: run for run in run_store.list_among(connection, ids)}
    entries = journals.of_runs(connection, ids)
    loaded = contexts.of_nodes(connection, [lease.node_uuid for lease in leases])
    return {
        lease: Taken(found[lease.run_id], entries.get(lease.run_id, []), loaded[lease.node_uuid])
        for lease in leases
        if lease.run_id in found and lease.node_uuid in loaded
    }
