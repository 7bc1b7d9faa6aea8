"""Building a plan: an interface's own steps merged with those a user asked for. Pure."""

from __future__ import annotations

from typing import Any

from ingot.domain import runs
from ingot.interfaces import steps
from ingot.interfaces.context import StepContext


def deployment(ctx: StepContext, wanted: list[dict[str, Any]]) -> list[runs.PlannedStep]:
    """The deploy steps, highest priority first; a requested step replaces the default one of the same name.

    A requested step with priority 0 switches the default one off. Steps no interface declares are the agent's.
    """
    planned = {one.title(): one for one in steps.planned(ctx.deploy, "deploy", "deploy")}
    for each in wanted:
        one = _requested(ctx, each)
        if one.priority > 0:
            planned[one.title()] = one
        else:
            planned.pop(one.title(), None)
    return sorted(planned.values(), key=lambda one: -one.priority)


def _requested(ctx: StepContext, each: dict[str, Any]) -> runs.PlannedStep:
    name = ctx.node.interface(each["interface"])
    owner = ctx.interface(each["interface"]) if name and not name.startswith(("no-", "noop")) else None
    ours = owner is not None and steps.find(owner, each["step"]) is not None
    return runs.PlannedStep(
        each["interface"], each["step"], each.get("args") or {}, each.get("priority") or 0, agent=not ours
    )
