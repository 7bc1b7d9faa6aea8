"""Whether a node of another service may come, and what has to be different here.

May not: do I/O. Invariant: a node that comes is in a state in which ingot does nothing by itself, so that no import
powers, boots or erases a machine.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ingot.domain import errors, node
from ingot.domain.states import TABLE, TRANSITIONS, Event, Kind, State
from ingot.interfaces.registry import Registry

_WEIGHTY = frozenset({"boot", "deploy", "management", "network", "power", "storage"})
"""Interfaces that ingot does not exchange unasked: how a machine is reached, booted and connected hangs on them."""
_MOVING = frozenset({Kind.TRANSIENT, Kind.WAIT, Kind.HOLD})


class Choices(msgspec.Struct, frozen=True):
    """What the operator decided. ``interrupted``: nodes that are being worked on come as failed.

    ``replace``: (kind, name there) -> name here, for interfaces and for kind "driver".
    """

    interrupted: bool = False
    replace: dict[tuple[str, str], str] = {}


class Verdict(msgspec.Struct, frozen=True):
    """``refused``: why the node stays behind, None when it comes. ``changes``: its columns that differ here.

    ``notes``: what changes, in the same words for all nodes alike.
    """

    refused: str | None = None
    changes: dict[str, Any] = {}
    notes: tuple[str, ...] = ()


def judge(found: dict[str, Any], registry: Registry, choices: Choices) -> Verdict:
    """The verdict on one row of a node: its state, driver and interfaces."""
    changes: dict[str, Any] = {}
    notes: list[str] = []
    try:
        changes |= _state(found, choices, notes)
        changes |= _driver(found, registry, choices, notes)
        changes |= _interfaces(found, changes["driver"], registry, choices, notes)
    except errors.Refused as error:
        return Verdict(refused=error.sentence())
    if found.get("console_enabled"):
        changes["console_enabled"] = False
        notes.append("console enabled becomes disabled: no line is taken from who holds it; enable it again")
    return Verdict(changes=changes, notes=tuple(notes))


def _state(found: dict[str, Any], choices: Choices, notes: list[str]) -> dict[str, Any]:
    """The provision state here: where it rests, or the failed state of what was interrupted."""
    try:
        state = State(found.get("provision_state") or State.AVAILABLE)
    except ValueError as error:
        raise errors.Invalid(f'ingot knows no state "{found.get("provision_state")}"') from error
    moving = TABLE[state].kind in _MOVING
    if not moving and not found.get("reservation"):
        return {"provision_state": state, "target_power_state": None}
    if not choices.interrupted:
        doing = f'is being worked on ("{state}")' if moving else f'is locked by {found["reservation"]} ("{state}")'
        hint = "Let it end there and import again, or end that service and say --interrupted."
        raise errors.Conflict(f"The node {doing}", hint=hint)
    if not moving:
        notes.append(f'the lock of a node in "{state}" is left behind')
        return {"provision_state": state, "target_power_state": None}
    events = TRANSITIONS[state]
    failed = events.get(Event.FAIL) or events[Event.ABORT]
    notes.append(f'"{state}" becomes "{failed}"')
    return {
        "provision_state": failed,
        "target_provision_state": TABLE[failed].target,
        "target_power_state": None,
        "last_error": f'The node was "{state}" in the service it was imported from. Nothing has been done to it since; '
        "look at the machine before you go on.",
        **{name: {} for name in ("clean_step", "deploy_step", "service_step")},
    }


def _driver(found: dict[str, Any], registry: Registry, choices: Choices, notes: list[str]) -> dict[str, Any]:
    there = str(found["driver"])
    here = choices.replace.get(("driver", there), there)
    if here not in registry.enabled:
        hint = f"Drivers here: {', '.join(registry.enabled)}; name the fitting one by --replace driver:{there}=NAME."
        raise errors.NotSupported(f"There is no driver {here}", hint=hint)
    if here != there:
        notes.append(f"driver {there} becomes {here}")
    return {"driver": here}


def _interfaces(
    found: dict[str, Any], driver: str, registry: Registry, choices: Choices, notes: list[str]
) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    for kind in node.INTERFACES:
        there: str | None = found.get(f"{kind}_interface")
        here = choices.replace.get((kind, there or ""), there)
        allowed = registry.names(driver, kind)
        if here is not None and here not in allowed:
            if kind in _WEIGHTY:
                hint = f"There are {', '.join(allowed)}; choose by --replace {kind}:{there}=NAME."
                raise errors.NotSupported(f"The driver {driver} has no {kind} interface {here}", hint=hint)
            here = allowed[0]
        here = here or allowed[0]
        if here != there:
            changes[f"{kind}_interface"] = here
            if there is not None:
                notes.append(f"{kind} interface {there} becomes {here}")
    return changes
