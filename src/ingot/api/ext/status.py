"""``/ingot/v1/health``, ``/ready`` and ``/states``: does it live, may it be given work, which states there are.

Open to all, so a reason names the part that fails, and no address, path or person. Invariant: "ready" is said only
after the database's writer has answered, and a conductor has been seen at work.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from ingot.api import query, spec, wire
from ingot.deps import Deps
from ingot.domain import errors, states
from ingot.store import conductors
from ingot.telemetry import process

_PATIENCE = 5.0
_SILENT = 30.0
"""Seconds after which a conductor that sends no sign of life is not counted on; it sends one every few."""
_STUCK = 20.0
"""Seconds after which a conductor's look for work is overdue; it looks every five."""


class Check(msgspec.Struct, frozen=True):
    """One part. ``reason``: what is wrong, None when nothing is."""

    ok: bool
    reason: str | None = None


class Health(msgspec.Struct, frozen=True):
    """``alive``: the event loop and the database answer. ``loop_lag``: seconds."""

    alive: bool
    loop_lag: float
    database: Check


class Readiness(msgspec.Struct, frozen=True):
    """``ready``: every check is ok."""

    ready: bool
    checks: dict[str, Check]


@spec.tells("Whether this process lives: loop and database answer; 503 if not", answer=spec.of(Health), also=503)
async def health(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /ingot/v1/health."""
    query.Query(request)
    database = await _reads(deps)
    return wire.ok(Health(database.ok, round(process.LOOP.lag(), 4), database), 200 if database.ok else 503)


@spec.tells("Whether it may be given work: database, conductor, DHCP; 503 if not", answer=spec.of(Readiness), also=503)
async def ready(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /ingot/v1/ready."""
    query.Query(request)
    database, conductor, dhcp = await asyncio.gather(_writes(deps), _conductor(deps), _dhcp(deps))
    checks = {"database": database, "conductor": conductor, "dhcp": dhcp}
    found = Readiness(all(check.ok for check in checks.values()), checks)
    return wire.ok(found, 200 if found.ready else 503)


async def _reads(deps: Deps) -> Check:
    try:
        async with asyncio.timeout(_PATIENCE):
            await deps.store.read(conductors.list_all)
    except (errors.Unreachable, TimeoutError):
        return Check(False, "The database cannot be read.")
    return Check(True)


async def _writes(deps: Deps) -> Check:
    """Whether the writer answers; that it reaches the disk, a conductor's signs of life show."""
    try:
        async with asyncio.timeout(_PATIENCE):
            await deps.store.run(conductors.list_all)
    except (errors.Unreachable, TimeoutError):
        return Check(False, "The database cannot be written.")
    return Check(True)


async def _conductor(deps: Deps) -> Check:
    """This process's own conductor looks for work; without one, some other was seen lately."""
    try:
        async with asyncio.timeout(_PATIENCE):
            seen = await _last_seen(deps)
            looked: float = await _asked(deps, "last_look", 0.0)
    except (errors.Unreachable, TimeoutError):
        return Check(False, "The conductor does not answer.")
    if seen > _SILENT:
        return Check(False, f"No conductor has given a sign of life for {_SILENT:.0f} s.")
    return Check(True) if looked <= _STUCK else Check(False, f"No work was looked for in {looked:.0f} s.")


async def _dhcp(deps: Deps) -> Check:
    """The DHCP of this process, if it is to have one."""
    runs: bool = await _asked(deps, "dhcp_runs", True)
    return Check(True) if runs else Check(False, "DHCP does not run.")


async def _last_seen(deps: Deps) -> float:
    """Seconds since any conductor was last seen."""
    found = await deps.store.read(conductors.list_all)
    now = deps.clock()
    return min((now - one.seen_at for one in found if one.online), default=float("inf"))


async def _asked(deps: Deps, verb: str, default: Any) -> Any:
    """What this process's conductor says, ``default`` where it has none."""
    return await deps.bus.call(verb) if deps.bus.answers(verb) else default


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
