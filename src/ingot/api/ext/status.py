"""``/ingot/v1/health`` and ``/ingot/v1/states``: is this service ready, and which states and ways out there are.

Invariant: health answers 200 only after a real read of the database.
"""

from __future__ import annotations

from typing import Any

from ingot.api import query, spec, wire
from ingot.deps import Deps
from ingot.domain import states
from ingot.store import conductors


@spec.tells("Whether this process answers", answer=spec.fields(ready=bool))
async def health(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /ingot/v1/health: open to all, so it says no more than ready."""
    query.Query(request)
    await deps.store.read(conductors.list_all)
    return wire.ok({"ready": True})


@spec.tells("Provision states, their deadlines and ways out", answer=spec.fields(states=list[dict[str, Any]]))
async def state_table(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /ingot/v1/states."""
    query.Query(request)
    return wire.ok({"states": [_row(state, row) for state, row in states.TABLE.items()]})


def _row(state: states.State, row: states.Row) -> dict[str, Any]:
    verbs = [verb for verb, (event, _) in states.VERBS.items() if states.find_next(state, event) is not None]
    return {
        "state": state,
        "kind": row.kind,
        "target": row.target,
        "usual": row.usual,
        "deadline": row.deadline,
        "exit_verb": row.exit_verb,
        "verbs": verbs,
        "events": dict(states.TRANSITIONS[state]),
    }
