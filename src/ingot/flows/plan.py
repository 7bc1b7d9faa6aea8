"""Building a plan: an interface's own steps merged with those a user asked for. Pure."""

from __future__ import annotations

from typing import Any

from ingot.domain import runs
from ingot.flows import control
from ingot.interfaces import steps
from ingot.interfaces.context import StepContext


def deployment(ctx: StepContext, wanted: list[dict[str, Any]]) -> list[runs.PlannedStep]:
    """The deploy steps, highest priority first; a requested step replaces the default one of the same name.

    A requested step with priority 0 switches the default one off. Steps no interface declares are the agent's.
    """
    planned = {one.title(): one for one in steps.planned(ctx.deploy, "deploy", "deploy")}
    for each in wanted:
        one = requested(ctx, each, "deploy")
        if one.priority > 0:
            planned[one.title()] = one
        else:
            planned.pop(one.title(), None)
    return sorted(planned.values(), key=lambda one: -one.priority)


def asked(ctx: StepContext, each: dict[str, Any], word: str) -> list[runs.PlannedStep]:
    """``requested``, or once for each of the ``children`` that the step is meant for instead."""
    if "children" not in each:
        return [requested(ctx, each, word)]
    args: dict[str, Any] = each.get("args") or {}
    return [runs.PlannedStep(each["interface"], each["step"], args, child=child) for child in each["children"]]


def requested(ctx: StepContext, each: dict[str, Any], word: str) -> runs.PlannedStep:
    """A step of a request as a plan entry of flow ``word``: the conductor's where an interface declares it."""
    interface, name = each["interface"], each["step"]
    info = None
    if name not in control.NAMES:
        chosen = ctx.node.interface(interface)
        owner = ctx.interface(interface) if chosen and not chosen.startswith(("no-", "noop")) else None
        info = steps.find(owner, name)
        info = info if info is not None and word in info.priorities else None
    return runs.PlannedStep(
        interface,
        name,
        each.get("args") or {},
        each.get("priority") or 0,
        agent=info is None and name not in control.NAMES,
        abortable=info is None or info.abortable,
    )
