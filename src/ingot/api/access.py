"""May this caller do this to this object? The table of policy.py asked about objects in the database.

May not: hold a rule. Invariants: an object that the caller may not see is answered like one that is not there; whoever
may everywhere costs no query. Source of order and answers: Ironic's API, told by its tests of roles and scopes.
"""

from __future__ import annotations

import functools

from ingot.api import policy, wire
from ingot.deps import Deps
from ingot.domain import errors
from ingot.store import tenancy

_SEEN_BY = {
    "nodes": "baremetal:node:get",
    "ports": "baremetal:node:get",
    "portgroups": "baremetal:node:get",
    "connectors": "baremetal:node:get",
    "targets": "baremetal:node:get",
    "allocations": "baremetal:allocation:get",
    "runbooks": "",
}
"""The rule that decides whether somebody learns that an object is there, "" where everybody does; by the word its
addresses begin with."""
_NAMES = {
    "nodes": "Node",
    "ports": "Port",
    "portgroups": "Portgroup",
    "connectors": "Volume connector",
    "targets": "Volume target",
    "allocations": "Allocation",
    "runbooks": "Runbook",
}


async def admit(deps: Deps, caller: wire.Caller, rule: str, path: str, ident: str | None) -> None:
    """Let a request to a route pass, ``ident`` being the first placeholder's value in the route's ``path``.

    Raises errors.Forbidden, or errors.NotFound for an object that is not there or hidden from the caller.
    """
    if policy.everywhere(rule, caller):
        return
    kind = _kind(path)
    if kind is None or ident is None:
        policy.enforce(rule, caller)
    else:
        await require(deps, caller, kind, ident, rule)


async def require(deps: Deps, caller: wire.Caller, kind: str, ident: str, *rules: str) -> None:
    """Let a caller do all of this to one object ("nodes", uuid or name), or raise as ``admit`` does."""
    if not all(policy.everywhere(rule, caller) for rule in rules):
        found = await deps.store.peek(tenancy.find, kind, ident)
        whose = None if found is None else policy.Tenancy(*found)
        seen_by = _SEEN_BY[kind]
        if whose is None or (seen_by and not policy.allows(seen_by, caller, whose)):
            raise errors.NotFound(f"{_NAMES[kind]} {ident} could not be found.")
        for rule in rules:
            policy.enforce(rule, caller, whose)


async def may(deps: Deps, caller: wire.Caller, kind: str, ident: str, rule: str) -> bool:
    """Whether ``require`` would let the caller pass."""
    try:
        await require(deps, caller, kind, ident, rule)
    except (errors.Forbidden, errors.NotFound):
        return False
    return True


async def require_on_node(deps: Deps, caller: wire.Caller, ident: str, rule: str) -> None:
    """Let a caller make something for a node, or raise errors.Forbidden, which tells nothing of the node."""
    if not policy.everywhere(rule, caller):
        found = await deps.store.peek(tenancy.find, "nodes", ident)
        policy.enforce(rule, caller, None if found is None else policy.Tenancy(*found))


def project_of_list(caller: wire.Caller, what: str, asked: str | None = None) -> str | None:
    """The project to which a list of ``what`` ("node", "port") is narrowed; ``asked``: the one a filter names.

    Raises errors.Forbidden for a caller who may list nothing, or asks for another project.
    """
    if policy.allows(f"baremetal:{what}:list_all", caller):
        return asked
    if caller.project is None or (asked is not None and asked != caller.project):
        policy.enforce(f"baremetal:{what}:list_all", caller)
    policy.enforce(f"baremetal:{what}:list", caller)
    return caller.project


@functools.cache
def _kind(path: str) -> str | None:
    """What the first placeholder of a route's path names; None when it is nothing that belongs to a project."""
    before = path.partition("/{")[0].rpartition("/")[2]
    return before if "{" in path and before in _SEEN_BY else None
