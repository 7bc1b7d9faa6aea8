"""Asking for a change of provision state or power: one unit of work writes the new state and the run, then a ring.

This is the only place where an API request changes ``provision_state``; everything after is flows/run.py's.
May not: touch hardware. Invariant: the state and its run are stored together or not at all.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from ingot.deps import Deps
from ingot.domain import errors, ids, node, power, runs, states
from ingot.store import history, nodes
from ingot.store import runs as run_store

_FLOWS: dict[states.Event, runs.Kind] = {
    states.Event.MANAGE: runs.Kind.VERIFY,
    states.Event.INSPECT: runs.Kind.INSPECT,
    states.Event.PROVIDE: runs.Kind.CLEAN,
    states.Event.CLEAN: runs.Kind.CLEAN,
    states.Event.DEPLOY: runs.Kind.DEPLOY,
    states.Event.REBUILD: runs.Kind.DEPLOY,
    states.Event.DELETE: runs.Kind.TEAR_DOWN,
}
_POWER_DEADLINE = 900.0


async def request(deps: Deps, ident: str, verb: str, params: dict[str, Any], user: str | None = None) -> None:
    """Ask for a provision verb on a node; returns once the request is durable, the work goes on by itself.

    ``params``: configdrive, clean_steps, deploy_steps (free-form as the API takes them).
    Raises errors.NotFound, Locked (a run holds the node), Invalid (not possible from this state), Forbidden
    (protected), NotSupported.
    """
    event = states.VERBS[verb][0]
    found = await deps.store.read(nodes.get, ident)
    sealed = deps.sealer.seal(found.uuid, params)
    await deps.store.run(_request, deps, found.uuid, event, {"verb": verb, "sealed": sealed}, user)
    deps.bus.ring(found.uuid)


async def request_power(deps: Deps, ident: str, target: power.Target, timeout: float | None = None) -> None:
    """Ask for a power change; ``timeout`` in seconds, None for the setting's. Raises as ``request``."""
    found = await deps.store.read(nodes.get, ident)
    await deps.store.run(_request_power, deps, found.uuid, target, timeout)
    deps.bus.ring(found.uuid)


def _request(
    connection: Connection, deps: Deps, uuid: str, event: states.Event, params: dict[str, Any], user: str | None
) -> None:
    found = nodes.get(connection, uuid)
    _check(found, event)
    if event == states.Event.ABORT:
        _abort(connection, deps, found, user)
        return
    # Before the look at the state: of two requests at once the second shall read "locked", not "wrong state".
    ends_wait = event == states.Event.DELETE and states.TABLE[found.provision_state].kind == states.Kind.WAIT
    if not (ends_wait and run_store.supersede(connection, uuid, "Given up for a tear down", deps.clock())):
        run_store.refuse_open(connection, uuid)
    after = states.transition(found.provision_state, event)
    text = f'Asked for "{params["verb"]}".'
    history.add(connection, uuid, text, event_type="provisioning", user=user, state=found.provision_state)
    if event == states.Event.MANAGE and states.TABLE[after].kind == states.Kind.STABLE:
        nodes.move(connection, uuid, found.provision_state, after, last_error=None, target_provision_state=None)
        return
    kind = _FLOWS.get(event)
    if kind is None:
        raise errors.NotSupported(
            f'The verb "{params["verb"]}" is not available in this version of ingot',
            hint=f"Possible here: {', '.join(_available(found.provision_state))}.",
        )
    goal = states.target(after, manual_clean=event == states.Event.CLEAN)
    nodes.move(connection, uuid, found.provision_state, after, last_error=None, target_provision_state=goal)
    _open(connection, deps, uuid, kind, params, float(states.allowance(after)))


def _available(state: states.State) -> list[str]:
    """The verbs that lead on from ``state`` and that there is a flow for."""
    return [verb for verb in states.verbs(state) if states.VERBS[verb][0] in {*_FLOWS, states.Event.ABORT}]


def _check(found: node.Node, event: states.Event) -> None:
    if event in {states.Event.DELETE, states.Event.REBUILD} and found.protected:
        raise errors.Forbidden(
            f"Node {found.uuid} is protected and cannot be undeployed, rebuilt or deleted",
            hint="Clear the field protected first.",
        )
    if event in {states.Event.DEPLOY, states.Event.REBUILD} and found.maintenance:
        raise errors.Invalid(
            f"The {event} operation can't be performed on node {found.uuid} because it's in maintenance mode",
            hint="Clear maintenance first.",
        )
    if event == states.Event.PROVIDE and found.retired:
        raise errors.Invalid(f"Node {found.uuid} is retired and cannot become available", hint="Clear retired first.")


def _abort(connection: Connection, deps: Deps, found: node.Node, user: str | None) -> None:
    states.transition(found.provision_state, states.Event.ABORT)
    who = f" by {user}" if user else ""
    if not run_store.request_abort(connection, found.uuid, f"Aborted on request{who}", deps.clock()):
        raise errors.Conflict(f"Node {found.uuid} has nothing to abort.", hint="Look at its provision state again.")


def _request_power(connection: Connection, deps: Deps, uuid: str, target: power.Target, timeout: float | None) -> None:
    found = nodes.get(connection, uuid)
    if found.provision_state in {states.State.CLEANING, states.State.CLEAN_WAIT}:
        raise errors.Invalid(
            f'The requested action "{target}" can not be performed on node "{uuid}" while it is in state '
            f'"{found.provision_state}"',
            hint="Wait for cleaning to end, or abort it.",
        )
    if found.disable_power_off and target.result() == power.Power.OFF:
        raise errors.Conflict(f"Power off is disabled for node {uuid}.", hint="Clear disable_power_off first.")
    params = {"target": target.value, "timeout": timeout}
    _open(connection, deps, uuid, runs.Kind.POWER, params, _POWER_DEADLINE)
    nodes.change(connection, uuid, target_power_state=target.result().value, last_error=None)


def _open(
    connection: Connection, deps: Deps, uuid: str, kind: runs.Kind, params: dict[str, Any], deadline: float
) -> None:
    now = deps.clock()
    run = runs.Run(
        id=ids.new(), node_uuid=uuid, kind=kind, params=params, wake_at=now, started_at=now, deadline=now + deadline
    )
    run_store.open_run(connection, run)
