"""Asking for a change of provision state or power: one unit of work writes the new state and the run, then a ring.

This is the only place where an API request changes ``provision_state``; everything after is flows/run.py's.
May not: touch hardware. Invariant: the state and its run are stored together or not at all.
"""

from __future__ import annotations

import secrets as random
from typing import Any, NamedTuple, cast

from sqlalchemy import Connection

from ingot.deps import Deps
from ingot.domain import errors, ids, node, power, runs, secrets, shadow, states, steplists
from ingot.services import suitability
from ingot.store import history, nodes, power_runs, rows
from ingot.store import runs as run_store
from ingot.store import steplists as step_store

_FLOWS: dict[states.Event, runs.Kind] = {
    states.Event.MANAGE: runs.Kind.VERIFY,
    states.Event.INSPECT: runs.Kind.INSPECT,
    states.Event.PROVIDE: runs.Kind.CLEAN,
    states.Event.CLEAN: runs.Kind.CLEAN,
    states.Event.DEPLOY: runs.Kind.DEPLOY,
    states.Event.REBUILD: runs.Kind.DEPLOY,
    states.Event.DELETE: runs.Kind.TEAR_DOWN,
    states.Event.ADOPT: runs.Kind.ADOPT,
    states.Event.RESCUE: runs.Kind.RESCUE,
    states.Event.UNRESCUE: runs.Kind.UNRESCUE,
    states.Event.SERVICE: runs.Kind.SERVICE,
}
_WAITS = frozenset({states.Kind.WAIT, states.Kind.HOLD})
_CHILD_STEPS = ("clean_steps", "service_steps")
"""The lists whose steps may be meant for a node's children."""
_NOT_IN_MAINTENANCE = {
    states.Event.DEPLOY: "provisioning",
    states.Event.REBUILD: "provisioning",
    states.Event.CLEAN: "cleaning",
    states.Event.RESCUE: "rescuing",
    states.Event.UNRESCUE: "unrescuing",
    states.Event.SERVICE: "service",
}
"""What a node in maintenance is not asked to do, as a sentence calls it."""


async def request(
    deps: Deps, ident: str, verb: str, params: dict[str, Any], user: str | None = None, project: str | None = None
) -> None:
    """Ask for a provision verb on a node; returns once the request is durable, the work goes on by itself.

    ``params``: configdrive, clean_steps, deploy_steps, service_steps, disable_ramdisk, rescue_password (free-form as
    the API takes them). A rescue password is hashed here and kept nowhere in clear. ``user``, ``project``: who asks.
    Raises errors.NotFound, Locked (a run holds the node), Invalid (not possible from this state), Forbidden
    (protected), NotSupported.
    """
    await request_of(deps, await deps.store.peek(nodes.get, ident), verb, params, user, project)


async def request_of(
    deps: Deps, found: node.Node, verb: str, params: dict[str, Any], user: str | None = None, project: str | None = None
) -> None:
    """``request`` for a node that was read a moment ago."""
    event = states.VERBS[verb][0]
    _check(found, event)
    await suitability.check(deps, found, event)
    if params.get("rescue_password"):
        params = {**params, "rescue_password": _hashed(params["rescue_password"])}
    if event in {states.Event.DEPLOY, states.Event.REBUILD}:
        params = await _with_templates(deps, found, params)
        suitability.check_deployment(found, params.get("deploy_steps") or [])
    params = await _with_children(deps, found, params)
    asked = {"verb": verb, "sealed": deps.sealer.seal(found.uuid, params)}
    wanted = _Request(event, asked, params.get("configdrive"), user, project)
    await deps.store.run_of(found.uuid, _request, deps, found, wanted)
    deps.bus.ring(found.uuid)


async def request_power(deps: Deps, ident: str, target: power.Target, timeout: float | None = None) -> None:
    """Ask for a power change; ``timeout`` in seconds, None for the setting's. Raises as ``request``."""
    found = await deps.store.peek(nodes.get, ident)
    await deps.store.run_of(found.uuid, _request_power, deps, found.uuid, target, timeout)
    deps.bus.ring(found.uuid)


class _Request(NamedTuple):
    """One request for a verb. ``params``: of its run, as stored; ``configdrive``: in clear, to be sealed."""

    event: states.Event
    params: dict[str, Any]
    configdrive: Any
    user: str | None
    project: str | None


async def _with_templates(deps: Deps, found: node.Node, params: dict[str, Any]) -> dict[str, Any]:
    """The parameters with the steps of the deploy templates that the instance's traits name."""
    traits: Any = found.instance_info.get("traits")
    if not isinstance(traits, list):
        return params
    names = [str(trait) for trait in cast("list[object]", traits)]
    templates = await deps.store.read(step_store.TEMPLATES.list_named, deps.sealer, names)
    return {**params, "deploy_steps": steplists.merged(templates, params.get("deploy_steps") or [])}


async def _with_children(deps: Deps, found: node.Node, params: dict[str, Any]) -> dict[str, Any]:
    """The parameters with the children named that a step is meant for."""
    lists: dict[str, list[dict[str, Any]]] = {key: params[key] for key in _CHILD_STEPS if params.get(key)}
    if not any(step.get("execute_on_child_nodes") for steps in lists.values() for step in steps):
        return params
    children = await deps.store.read(nodes.list_children, found.uuid)
    return {**params, **{key: [_for_children(step, children) for step in steps] for key, steps in lists.items()}}


def _for_children(step: dict[str, Any], children: list[str]) -> dict[str, Any]:
    if not step.get("execute_on_child_nodes"):
        return step
    among = step.get("limit_child_node_execution") or children
    return {**step, "children": [child for child in children if child in among]}


def _hashed(password: str) -> str:
    if len(password.encode()) > shadow.LONGEST:
        raise errors.Invalid(f"A rescue password may have {shadow.LONGEST} bytes", hint="Choose a shorter one.")
    salt = "".join(random.choice(sorted(shadow.SALT_LETTERS)) for _ in range(16))
    return shadow.sha512_crypt(password, salt)


def _request(connection: Connection, deps: Deps, seen: node.Node, asked: _Request) -> None:
    found, sealed = nodes.get_again(connection, seen)
    uuid, event = seen.uuid, asked.event
    _check(found, event)
    if event == states.Event.ABORT and found.provision_state == states.State.SERVICE_FAILED:
        event = states.Event.SERVICE  # the instance has to be booted: work, so a run, in the state of work
    if event in {states.Event.ABORT, states.Event.UNHOLD}:
        _steer(connection, deps, found, asked)
        return
    # Of two requests at once the second shall read "locked", not "wrong state"; an open run refuses the new one below.
    waits = states.TABLE[found.provision_state].kind in _WAITS and states.find_next(found.provision_state, event)
    if waits and not run_store.supersede(connection, uuid, f"Given up for a {event}", deps.clock()):
        run_store.refuse_open(connection, uuid)
    try:
        after = states.transition(found.provision_state, event)
    except errors.IngotError:
        run_store.refuse_open(connection, uuid)
        raise
    _tell(connection, found, asked)
    if event == states.Event.MANAGE and states.TABLE[after].kind == states.Kind.STABLE:
        run_store.refuse_open(connection, uuid)
        nodes.move(connection, uuid, found.provision_state, after, last_error=None, target_provision_state=None)
        return
    goal = states.target(after, manual_clean=event == states.Event.CLEAN)
    # Locked from here on, as everybody can see; the conductor that takes the run up writes its own name.
    shown: dict[str, Any] = {"last_error": None, "target_provision_state": goal, "reservation": deps.hostname}
    shown["target_power_state"] = None  # of a run that was given up before it changed the power
    if asked.configdrive:
        shown |= _with_configdrive(deps, found, sealed, asked.configdrive)
    if event == states.Event.INSPECT:
        shown |= {"inspection_started_at": rows.now(), "inspection_finished_at": None}
    nodes.move(connection, uuid, found.provision_state, after, **shown)
    _open(connection, deps, uuid, _FLOWS[event], asked.params, float(states.allowance(after)))


def _tell(connection: Connection, found: node.Node, asked: _Request) -> None:
    text = f'Asked for "{asked.params["verb"]}".'
    more: dict[str, Any] = {"user": asked.user, "project": asked.project, "state": found.provision_state}
    history.add(connection, found.uuid, text, event_type="provisioning", **more)


def _with_configdrive(deps: Deps, found: node.Node, sealed: str | None, configdrive: Any) -> dict[str, Any]:
    """The columns that keep a config drive for a later rebuild without one; it is sealed, and shown masked."""
    kept: dict[str, Any] = deps.sealer.open(found.uuid, sealed) or {}
    hidden = {**kept.get("instance_info", {}), "configdrive": configdrive}
    shown = {**found.instance_info, "configdrive": secrets.MASK}
    return {"instance_info": shown, "secrets": deps.sealer.seal(found.uuid, {**kept, "instance_info": hidden})}


def _check(found: node.Node, event: states.Event) -> None:
    if event == states.Event.RESCUE and found.rescue_interface in {None, "no-rescue"}:
        raise errors.NotSupported(
            f"Driver {found.driver} does not support rescue on node {found.uuid} (disabled or not implemented)",
            hint='Set rescue_interface to "agent".',
        )
    if event in {states.Event.DELETE, states.Event.REBUILD} and found.protected:
        raise errors.Forbidden(
            f"Node {found.uuid} is protected and cannot be undeployed, rebuilt or deleted",
            hint="Clear the field protected first.",
        )
    if event in _NOT_IN_MAINTENANCE and found.maintenance:
        raise errors.Invalid(
            f"The {_NOT_IN_MAINTENANCE[event]} operation can't be performed on node {found.uuid} because it's in "
            "maintenance mode",
            hint="Clear maintenance first.",
        )
    if event == states.Event.PROVIDE and found.retired:
        raise errors.Invalid(f"Node {found.uuid} is retired and cannot become available", hint="Clear retired first.")


def _steer(connection: Connection, deps: Deps, found: node.Node, asked: _Request) -> None:
    """Abort or release the open run; the node shows a lock until a conductor has seen to it."""
    after = states.transition(found.provision_state, asked.event)
    if asked.event == states.Event.UNHOLD:
        nodes.move(connection, found.uuid, found.provision_state, after, reservation=deps.hostname)
        done = run_store.release_hold(connection, found.uuid, deps.clock())
        _tell(connection, found, asked)
    else:
        who = f" by {asked.user}" if asked.user else ""
        # Who has it now goes on showing its name.
        nodes.change(connection, found.uuid, reservation=found.reservation or deps.hostname)
        done = run_store.request_abort(connection, found.uuid, f"Aborted on request{who}", deps.clock())
    if not done:
        verb = asked.params["verb"]
        raise errors.Conflict(f"Node {found.uuid} has nothing to {verb}.", hint="Look at its provision state again.")


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
    waits = states.TABLE[found.provision_state].kind in _WAITS and found.reservation is None
    asked = (connection, uuid, target, timeout, deps.clock(), deps.hostname)
    if not (waits and power_runs.ask_waiting(*asked)):
        power_runs.open_power(*asked)


def _open(
    connection: Connection, deps: Deps, uuid: str, kind: runs.Kind, params: dict[str, Any], deadline: float
) -> None:
    now = deps.clock()
    run = runs.Run(
        id=ids.new(), node_uuid=uuid, kind=kind, params=params, wake_at=now, started_at=now, deadline=now + deadline
    )
    run_store.open_run(connection, run)
