"""``/metrics``: numbers for Prometheus. May not: count (telemetry/). Invariant: no label names a node or a person."""

from __future__ import annotations

from ingot.api import query, spec, wire
from ingot.deps import Deps
from ingot.domain import states
from ingot.store import statistics
from ingot.telemetry import counts, metrics, process

_TYPE = ((b"content-type", metrics.CONTENT_TYPE.encode()),)


@spec.tells("Numbers of this process and of the fleet, for Prometheus", media="text/plain")
async def show(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /metrics."""
    query.Query(request)
    found = await deps.store.read(statistics.read, deps.clock())
    told = [*(one.family() for one in counts.ALL), *process.families(), *families(found, deps.store.waiting())]
    return wire.Answer(200, metrics.text(told), _TYPE)


def families(found: statistics.Numbers, queue: int) -> list[metrics.Family]:
    """What the database tells; every provision state is there. ``queue``: units before its writer."""
    nodes: dict[metrics.Labels, float] = {(state,): found.nodes.get(state, 0) for state in states.State}
    runs: dict[metrics.Labels, float] = {**found.runs}
    overdue, lag = found.overdue, found.webhook_lag
    return [
        metrics.gauge("ingot_nodes", "Nodes by provision state.", nodes, ("provision_state",)),
        metrics.gauge("ingot_nodes_maintenance", "Nodes in maintenance.", {(): found.maintenance}),
        metrics.gauge("ingot_runs_open", "Open runs, worked on or waiting.", runs, ("kind", "state")),
        metrics.gauge("ingot_run_overdue_seconds", "How long the run due longest waits to be claimed.", {(): overdue}),
        metrics.gauge("ingot_webhook_lag_events", "Events before the webhook that is farthest behind.", {(): lag}),
        metrics.gauge("ingot_store_queue_units", "Units of work that wait for the database's writer.", {(): queue}),
    ]
