"""Work that the ramdisk's agent does for a step: call it, wait for its command to end, tell its failure.

A command is posted once per step (``ctx.once``); our own agent also recognises the key it carries, so that a
conductor killed between the post and the note does not start it twice. May not: know what a command does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from ingot.domain import errors, node, runs
from ingot.interfaces.context import Context, StepContext, WaitFor

if TYPE_CHECKING:
    from ingot.clients.agent.client import Agent
    from ingot.clients.agent.results import CommandResult


def is_alive(ctx: Context, now: float) -> bool:
    """Whether the node's agent was heard of within the heartbeat timeout."""
    seen = ctx.node.agent_heartbeat_at
    return ctx.node.agent_url is not None and seen is not None and now - seen < ctx.kit.settings.heartbeat_timeout


def client(ctx: Context) -> Agent:
    """A client of the node's agent. Raises errors.Unreachable when it never called."""
    if ctx.node.agent_url is None or ctx.agent_token is None:
        raise errors.Unreachable(
            f"Node {ctx.node.uuid} has no agent: its ramdisk did not call yet", hint="Boot the ramdisk first."
        )
    return ctx.kit.agents.agent(ctx.node.agent_url, ctx.agent_token, ctx.node.agent_verify_ca)


def node_fields(ctx: Context) -> dict[str, Any]:
    """The node as the agent protocol carries it (secrets masked)."""
    return {**msgspec.to_builtins(ctx.node), "driver_internal_info": ctx.node.driver_internal_info}


def port_fields(ports: list[node.Port]) -> list[dict[str, Any]]:
    """The ports as the agent protocol carries them."""
    return [msgspec.to_builtins(port) for port in ports]


async def run_command(
    ctx: StepContext, name: str, params: dict[str, Any], *, usual: float, timeout: float
) -> dict[str, object]:
    """Have the agent run an asynchronous command and wait for it; its result.

    ``usual`` and ``timeout`` in seconds. Raises errors.Misbehaved with the agent's own words when it fails.
    """
    key = f"{ctx.run.id}/{ctx.index}/{name}"

    async def post() -> str:
        started = await client(ctx).start(name, {**params, "ingot_key": key})
        return started.id

    command_id = await ctx.once(name, post)
    latest: list[CommandResult] = []

    async def ended() -> bool:
        result = await client(ctx).command(command_id)
        latest[:] = [result]
        if result.status == "RUNNING" and result.progress is not None:
            await ctx.journal.report(result.progress.done, result.progress.total, result.progress.phase)
        return result.status != "RUNNING"

    await ctx.wait.until(ended, WaitFor(f"the ramdisk's agent to end {name}", timeout, usual, poll=2.0, on_agent=True))
    return outcome(latest[0])


async def run_step(ctx: StepContext, word: str, planned: runs.PlannedStep) -> dict[str, object]:
    """Have the agent run one of its own steps of kind ``word`` (clean, deploy, service)."""
    params = {
        "step": {
            "interface": planned.interface,
            "step": planned.step,
            "args": planned.args,
            "priority": planned.priority,
            "reboot_requested": False,
            "abortable": planned.abortable,
        },
        "node": node_fields(ctx),
        "ports": port_fields(ctx.ports),
        f"{word}_version": ctx.memo.get("versions"),
    }
    timeout = max(60.0, ctx.run.deadline - ctx.now())
    return await run_command(ctx, f"{word}.execute_{word}_step", params, usual=60, timeout=timeout)


def outcome(result: CommandResult) -> dict[str, object]:
    """The result of an ended command. Raises errors.Misbehaved when it failed."""
    if result.status == "SUCCEEDED":
        return result.result or {}
    raise errors.Misbehaved(
        f"The ramdisk's agent failed {result.name}: {result.complaint or result.status}", hint="See its log."
    )
