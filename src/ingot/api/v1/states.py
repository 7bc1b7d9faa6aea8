"""``/v1/nodes/{node}/states``: show them, ask for power and provisioning; maintenance and validate beside them.

May not: change a state (services/provisioning.py). Invariant: that a node is not there is told before anything else is
judged, as Ironic does.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ingot.api import access, query, spec, versions, wire
from ingot.api.v1 import node_view, nodes, provision_body
from ingot.deps import Deps
from ingot.domain import errors, node, power, states
from ingot.services import nodes as service
from ingot.services import provisioning, steplists
from ingot.store import nodes as store
from ingot.store import runs

_FIELDS: dict[str, int] = {
    "console_enabled": 1,
    "last_error": 1,
    "power_state": 1,
    "provision_state": 1,
    "target_power_state": 1,
    "target_provision_state": 1,
    "provision_updated_at": 1,
    "raid_config": 12,
    "target_raid_config": 12,
    "boot_mode": 75,
    "secure_boot": 75,
}
_STATES = spec.part("node", tuple(_FIELDS))
_POWER = spec.fields("timeout", target=spec.words(power.Target), timeout=int | str | None)
_VERDICTS = spec.of(dict[str, dict[str, bool | str | None]])
_SOFT = frozenset({power.Target.SOFT_OFF, power.Target.SOFT_REBOOT})


@spec.tells("The states of a node", answer=_STATES)
async def show(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /v1/nodes/{node}/states."""
    query.Query(request)
    names = tuple(name for name, first in _FIELDS.items() if first <= request.version)
    row = await deps.store.peek(store.get_row, nodes.node_ident(request), names)
    body: dict[str, Any] = {name: row[name] for name in names}
    for name in ("raid_config", "target_raid_config"):
        if name in body:
            body[name] = msgspec.Raw(row[name].encode())
    body["provision_state"] = node_view.shown_state(row["provision_state"], request.version)
    return wire.ok(body)


@spec.tells("Ask for a power action; it is done later", 202, body=_POWER)
async def set_power(deps: Deps, request: wire.Request) -> wire.Answer:
    """PUT /v1/nodes/{node}/states/power."""
    asked = query.Query(request, "target", "timeout")
    body = {**{name: asked.text(name) for name in asked.names()}, **request.object("power")}
    _only(body, "target", "timeout")
    ident = nodes.node_ident(request)
    await deps.store.peek(store.get, ident)
    try:
        target = power.Target(body["target"])
    except KeyError as error:
        raise errors.Invalid("Missing mandatory parameter: target") from error
    except ValueError as error:
        words = ", ".join(power.Target)
        raise errors.Invalid(f'There is no power action "{body["target"]}"', hint=f"There are: {words}.") from error
    if target in _SOFT or "timeout" in body:
        versions.require(request.version, 27)
    await provisioning.request_power(deps, ident, target, _timeout(body.get("timeout")))
    return _accepted(request)


@spec.tells("Send a provision verb; it is done later", 202, body=provision_body.SHAPE)
async def set_provision(deps: Deps, request: wire.Request) -> wire.Answer:
    """PUT /v1/nodes/{node}/states/provision."""
    query.Query(request)
    body = request.object("provision")
    verb = provision_body.verb_of(body)
    ident = nodes.node_ident(request)
    found = await deps.store.peek(store.get, ident)
    provision_body.check_verb(verb, request.version)
    await _check_steps(deps, request.caller, ident, body)
    await _check_possible(deps, found, verb)
    provision_body.check_abort(verb, found.provision_state, request.version)
    params = provision_body.read(verb, body, request.version)
    await _check_children(deps, request.caller, params)
    if params.get("runbook"):
        by_name = request.version < steplists.TRAITS_SINCE
        params = await steplists.with_runbook(deps, found, verb, params, by_name=by_name)
    await provisioning.request_of(deps, found, verb, params, request.caller.name, request.caller.project)
    return _accepted(request)


async def _check_possible(deps: Deps, found: node.Node, verb: str) -> None:
    """Refuse a verb that the node's state does not take, before anything that goes with it is looked at."""
    if verb in states.VERBS and states.find_next(found.provision_state, states.VERBS[verb][0]) is not None:
        return
    service.refuse_locked(found)
    if states.TABLE[found.provision_state].kind is states.Kind.TRANSIENT:
        await deps.store.read(runs.refuse_open, found.uuid)  # the conductor is about to lock it
    raise errors.Invalid(
        f'The requested action "{verb}" can not be performed on node "{found.uuid}" while it is in state '
        f'"{found.provision_state}"',
        hint=f"Possible now: {', '.join(states.verbs(found.provision_state)) or 'nothing, it ends by itself'}.",
    )


async def _check_steps(deps: Deps, caller: wire.Caller, ident: str, params: dict[str, Any]) -> None:
    """Steps and runbooks have rules of their own."""
    if isinstance(params.get("runbook"), str):
        await access.require(deps, caller, "runbooks", params["runbook"], "baremetal:runbook:use")
    for key in ("clean_steps", "service_steps"):
        if params.get(key):
            await access.require(deps, caller, "nodes", ident, f"baremetal:node:set_provision_state:{key}")


async def _check_children(deps: Deps, caller: wire.Caller, params: dict[str, Any]) -> None:
    """Who names child nodes for a step has to have the say over each."""
    steps: list[dict[str, Any]] = [*(params.get("clean_steps") or []), *(params.get("service_steps") or [])]
    for step in steps:
        named: list[str] = step.get("limit_child_node_execution") or []
        for child in named if step.get("execute_on_child_nodes") else []:
            await access.require(deps, caller, "nodes", child, "baremetal:node:set_provision_state")


@spec.tells("Which interfaces of a node could work as it is described", answer=_VERDICTS)
async def validate(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /v1/nodes/{node}/validate, and GET /v1/nodes/validate?node_uuid=..."""
    asked = query.Query(request, "node_uuid", "node")
    named = asked.text("node") or asked.uuid("node_uuid")
    ident = request.args.get("node") or named
    if ident is None:
        raise errors.Invalid("Missing mandatory parameter: node", hint="Name the node.")
    ident = nodes.known_ident(ident, request.version)
    await access.require(deps, request.caller, "nodes", ident, "baremetal:node:validate")
    found = await deps.store.peek(store.get, ident)
    verdicts: dict[str, dict[str, Any]] = await deps.bus.call("validate", node_uuid=found.uuid)
    return wire.ok({kind: _verdict(verdict) for kind, verdict in verdicts.items()})


@spec.tells("Put a node into maintenance", 202, body=spec.fields("reason", reason=str | None))
async def set_maintenance(deps: Deps, request: wire.Request) -> wire.Answer:
    """PUT /v1/nodes/{node}/maintenance."""
    asked = query.Query(request, "reason")
    body = request.object("maintenance")
    _only(body, "reason")
    reason = body.get("reason", asked.text("reason"))
    if reason is not None and not isinstance(reason, str):
        raise errors.Invalid(f"Expected string for reason: {reason}")
    await service.set_maintenance(deps, nodes.node_ident(request), reason)
    return wire.accepted()


@spec.tells("End the maintenance of a node", 202)
async def clear_maintenance(deps: Deps, request: wire.Request) -> wire.Answer:
    """DELETE /v1/nodes/{node}/maintenance."""
    query.Query(request)
    await service.clear_maintenance(deps, nodes.node_ident(request))
    return wire.accepted()


def _verdict(verdict: dict[str, Any]) -> dict[str, Any]:
    shown = {"result": verdict.get("result")}
    return {**shown, "reason": verdict["reason"]} if verdict.get("reason") else shown


def _accepted(request: wire.Request) -> wire.Answer:
    return wire.accepted(request.href("v1", "nodes", request.args["node"], "states"))


def _only(body: dict[str, Any], *known: str) -> None:
    unknown = sorted(set(body) - set(known))
    if unknown:
        raise errors.Invalid(
            f"Unexpected arguments: {', '.join(unknown)}",
            hint=f"Known here: {', '.join(known)}.",
        )


def _timeout(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 86_400:
        raise errors.Invalid("timeout has to be positive integer", hint="Give seconds, at most a day.")
    return float(value)
