"""What a flow is: the definition that flows/run.py runs. May not: run anything."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from ingot.domain import node, runs, states
from ingot.flows import control
from ingot.interfaces.context import StepContext

Ending = tuple[tuple[states.Event, ...], dict[str, Any]]
"""The events that end a run, in order (none: the provision state stays), and node columns to set with them."""


class Failure(NamedTuple):
    """How a run came to fail: because somebody aborted it; ``undone``: every step was taken back."""

    aborted: bool
    undone: bool


class Flow(Protocol):
    """A definition: what a kind of run plans and where it leads. Its own steps are methods declared with @step."""

    async def plan(self, ctx: StepContext) -> list[runs.PlannedStep]:
        """The steps, in order. Interface "flow" means a step of the definition itself."""
        ...

    def success(self, ctx: StepContext) -> Ending:
        """How a run ends that went well."""
        ...

    def failure(self, found: node.Node, how: Failure) -> Ending:
        """How a run ends that failed; its first event gives way to "abort" where that was asked and is possible."""
        ...

    async def run_agent_step(self, ctx: StepContext, planned: runs.PlannedStep) -> None:
        """Have the ramdisk's agent do a step of the plan."""
        ...


def owner(flow: Flow, ctx: StepContext, planned: runs.PlannedStep) -> Any:
    """The object whose method a planned step of the conductor's is."""
    if planned.interface == "flow":
        return flow
    return control.CONTROL if planned.step in control.NAMES else ctx.interface(planned.interface)
