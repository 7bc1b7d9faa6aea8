"""Steps that the ramdisk's agent brings along: asking for them, putting them into a plan, running them."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from ingot.domain import errors, runs
from ingot.interfaces import agent
from ingot.interfaces.context import StepContext


async def collect(ctx: StepContext, word: str) -> list[dict[str, Any]]:
    """The agent's steps of kind ``word`` ("clean", "deploy"); remembers the versions that go with them."""
    params = {"node": agent.node_fields(ctx), "ports": agent.port_fields(ctx.ports)}
    answer = cast("dict[str, Any]", await agent.client(ctx).run(f"{word}.get_{word}_steps", params))
    await ctx.journal.remember("versions", answer.get("hardware_manager_version"))
    ctx.memo["versions"] = answer.get("hardware_manager_version")
    by_manager: dict[str, list[dict[str, Any]]] = answer.get(f"{word}_steps") or {}
    return [found for steps in by_manager.values() for found in steps]


def automated(found: list[dict[str, Any]], overrides: dict[str, int]) -> list[runs.PlannedStep]:
    """The steps to run unasked (priority above 0, after ``overrides`` by "interface.step"), first one first."""
    planned = [
        runs.PlannedStep(
            each["interface"],
            each["step"],
            priority=overrides.get(f"{each['interface']}.{each['step']}", each.get("priority") or 0),
            agent=True,
            abortable=bool(each.get("abortable", True)),
        )
        for each in found
    ]
    return sorted((one for one in planned if one.priority > 0), key=lambda one: -one.priority)


def requested(asked: list[runs.PlannedStep], found: list[dict[str, Any]]) -> list[runs.PlannedStep]:
    """The steps a user asked for, those of the agent as it describes them. Raises errors.Invalid for one it lacks."""
    known = {(each["interface"], each["step"]): bool(each.get("abortable", True)) for each in found}
    planned: list[runs.PlannedStep] = []
    for one in asked:
        if not one.agent:
            planned.append(one)
        elif (one.interface, one.step) in known:
            planned.append(msgspec.structs.replace(one, abortable=known[one.interface, one.step]))
        else:
            names = ", ".join(sorted(f"{interface}.{name}" for interface, name in known))
            raise errors.Invalid(
                f"Neither this node's interfaces nor the ramdisk's agent have the step {one.title()}",
                hint=f"The agent has: {names or 'no steps'}.",
            )
    return planned


async def refuse(ctx: StepContext, planned: runs.PlannedStep) -> None:
    """For flows that never use the agent."""
    raise errors.Bug(f"The {ctx.run.kind} flow has no agent to run {planned.title()}")
