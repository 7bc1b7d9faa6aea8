"""Whether a node's interfaces could do what a verb asks for, as far as its record tells: else it is refused at once.

Why: what cannot work shall leave the node in its state, as in Ironic, instead of a failed run. The run looks again, for
time passes before it begins. May not: touch hardware. Invariant: those interfaces are looked at that Ironic looks at.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

from ingot.deps import Deps
from ingot.domain import errors, node, states

_PATIENCE = 10.0
_CORE = ("deploy", "deploy")
"""Interface and name of the step that is the deployment: it can be left out, but nothing else be put in its place."""


class _Look(NamedTuple):
    """The interfaces a verb needs, in the order in which they are judged, and the sentence of a refusal."""

    kinds: tuple[str, ...]
    told: str


_DEPLOY = _Look(
    ("power", "deploy"),
    "Failed to validate deploy or power info for node {node}: {reason}",
)
_LOOKS = {
    states.Event.DEPLOY: _DEPLOY,
    states.Event.REBUILD: _DEPLOY,
    states.Event.DELETE: _Look(
        ("power",),
        "Failed to validate power driver interface. Can not delete instance. Error: {reason}",
    ),
    states.Event.INSPECT: _Look(("power", "inspect"), "{reason}"),
    states.Event.CLEAN: _Look(("power", "network"), "Validation of node {node} for cleaning failed: {reason}"),
    states.Event.SERVICE: _Look(("power", "network"), "Validation of node {node} for servicing failed: {reason}"),
    states.Event.RESCUE: _Look(
        ("power", "rescue", "network"),
        "Failed to rescue instance {instance} for node {node}: Validation failed: {reason}",
    ),
    states.Event.UNRESCUE: _Look(
        ("power",), "Failed to unrescue instance {instance} for node {node}: Validation failed: {reason}"
    ),
}


async def check(deps: Deps, found: node.Node, event: states.Event) -> None:
    """Raise errors.Invalid or NotSupported where an interface lacks what it needs for that.

    Where no conductor answers just now the request is taken: it is durable, and the run judges it in its turn. A locked
    node is not looked at, for the request is refused by its lock.
    """
    look = _LOOKS.get(event)
    if look is None or found.reservation is not None or states.find_next(found.provision_state, event) is None:
        return
    try:
        await deps.bus.call("check_each", _PATIENCE, node_uuid=found.uuid, kinds=list(look.kinds))
    except errors.Unreachable:
        return
    except errors.Invalid as error:
        told = look.told.format(node=found.uuid, instance=found.instance_uuid, reason=error.message)
        raise errors.Invalid(told, hint=error.hint) from error


def check_deployment(found: node.Node, steps: list[dict[str, Any]]) -> None:
    """Raise errors.Invalid where the instance asks for traits the node has not, or ``steps`` for the deployment itself.

    A locked node is not looked at, as above.
    """
    fault = None if found.reservation is not None else _fault(found, steps)
    if fault is not None:
        raise errors.Invalid(_DEPLOY.told.format(node=found.uuid, reason=fault), hint="Correct it and ask again.")


def _fault(found: node.Node, steps: list[dict[str, Any]]) -> str | None:
    wanted: Any = found.instance_info.get("traits") or []
    if not isinstance(wanted, list) or not all(isinstance(one, str) for one in cast("list[Any]", wanted)):
        return f"Error parsing traits from Node {found.uuid} instance_info field. A list of strings is expected."
    if missing := sorted({*cast("list[str]", wanted)}.difference(found.traits)):
        return (
            "Cannot specify instance traits that are not also set on the node. "
            f"Node {found.uuid} is missing traits {', '.join(missing)}"
        )
    if any((each["interface"], each["step"]) == _CORE and each["priority"] > 0 for each in steps):
        return (
            "Validation of deploy steps failed: deploy step deploy on interface deploy is a core step and cannot be "
            "overridden by user steps. It may be disabled by setting the priority to 0"
        )
    return None
