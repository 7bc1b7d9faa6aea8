"""Work that the ramdisk's agent does for a step: call it, wait for its command to end, tell its failure.

A command is posted once per step: the commands an agent already had are noted before the post, so that after a
lost answer, or a conductor killed between post and note, a new one of that name is known to be ours. (Our own agent
also recognises the key it carries.) May not: know what a command does.
"""

from __future__ import annotations

import datetime
import functools
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, cast

import msgspec

from ingot.domain import errors, node, power, runs
from ingot.interfaces.context import Context, StepContext, WaitFor

if TYPE_CHECKING:
    from ingot.clients.agent.client import Agent
    from ingot.clients.agent.results import CommandResult
    from ingot.settings import Settings

Params = dict[str, Any]
_LONGEST_NOTE = 4000
_BY_HAND = 300.0


def is_alive(ctx: Context, now: float) -> bool:
    """Whether the node's agent was heard of within the heartbeat timeout."""
    seen = ctx.node.agent_heartbeat_at
    return ctx.node.agent_url is not None and seen is not None and now - seen < ctx.kit.settings.heartbeat_timeout


def is_ours(ctx: Context) -> bool:
    """Whether the node's agent is ingot's own; ironic-python-agent refuses parameters that it does not know."""
    return "ingot" in (ctx.node.agent_version or "")


def client(ctx: Context) -> Agent:
    """A client of the node's agent. Raises errors.Unreachable when it never called."""
    if ctx.node.agent_url is None or ctx.agent_token is None:
        raise errors.Unreachable(
            f"Node {ctx.node.uuid} has no agent: its ramdisk did not call yet", hint="Boot the ramdisk first."
        )
    return ctx.kit.agents.agent(ctx.node.agent_url, ctx.agent_token, ctx.node.agent_verify_ca)


async def await_first_call(ctx: StepContext, unless: Callable[[], Awaitable[bool]] | None = None) -> None:
    """Wait for the agent of a ramdisk that the deploy interface did not wait for (``fake`` boots none, but a machine
    booted by hand may call), or for ``unless``. Raises errors.TimedOut.
    """

    async def called() -> bool:
        return (await ctx.refresh()).agent_url is not None or (unless is not None and await unless())

    if ctx.node.agent_url is None:
        patience = ctx.kit.settings.ramdisk_timeout
        words, hint = "the call of a ramdisk that was not booted from here", "Boot the ramdisk on the machine."
        await ctx.wait.until(called, WaitFor(words, patience, usual=_BY_HAND, poll=15.0, on_agent=True, hint=hint))


def node_fields(ctx: Context) -> dict[str, Any]:
    """The node as the agent protocol carries it (secrets masked), with what the settings say of erasing."""
    return {
        **msgspec.to_builtins(ctx.node),
        "driver_internal_info": {**_erasing(ctx.kit.settings), **ctx.node.driver_internal_info},
    }


def _erasing(settings: Settings) -> dict[str, Any]:
    """The names are the agent protocol's."""
    return {
        "agent_erase_devices_iterations": settings.erase_devices_iterations,
        "agent_erase_devices_zeroize": settings.erase_devices_zeroize,
        "agent_continue_if_secure_erase_failed": settings.continue_if_secure_erase_failed,
        "agent_enable_nvme_secure_erase": settings.enable_nvme_secure_erase,
        "agent_enable_ata_secure_erase": settings.enable_ata_secure_erase,
        "agent_erase_skip_read_only": settings.erase_skip_read_only,
    }


def port_fields(ports: list[node.Port]) -> list[dict[str, Any]]:
    """The ports as the agent protocol carries them."""
    return [msgspec.to_builtins(port) for port in ports]


async def run_command(
    ctx: StepContext, name: str, make_params: Callable[[], Awaitable[Params]], *, usual: float, timeout: float
) -> dict[str, object]:
    """Have the agent run an asynchronous command and wait for it; its result.

    ``make_params`` is called for the post only, not each time the step is entered again to look how it goes.
    ``usual`` and ``timeout`` in seconds. Raises errors.Misbehaved with the agent's own words when it fails,
    errors.TimedOut when the agent was silent for the heartbeat timeout.
    """
    command_id = await ctx.once(name, lambda: _post(ctx, name, make_params))
    latest: list[CommandResult] = []

    async def ended() -> bool:
        result = await _look(ctx, name, command_id)
        if result is None:
            return False
        latest[:] = [result]
        if result.status == "RUNNING" and result.progress is not None:
            await ctx.journal.report(result.progress.done, result.progress.total, result.progress.phase)
        return result.status != "RUNNING"

    what = f"the ramdisk's agent to end {name}"
    explain = functools.partial(_explain_silence, ctx, latest)
    await ctx.wait.until(ended, WaitFor(what, timeout, usual, poll=2.0, on_agent=True, explain=explain))
    return outcome(latest[0])


async def _explain_silence(ctx: StepContext, answers: list[CommandResult]) -> str | None:
    """What is known of an agent that did not answer when it was asked just now; None of one that did."""
    if answers:
        return None
    silent = ctx.now() - (ctx.node.agent_heartbeat_at or 0.0)
    try:
        state = await ctx.power.get(ctx)
    except errors.IngotError as error:
        return f"it does not answer, its last heartbeat is {silent:.0f} s old, and the BMC fails too ({error.message})"
    if state is power.Power.OFF:
        return f"it does not answer, and the machine is off; its last heartbeat is {silent:.0f} s old"
    where = f"at {ctx.node.agent_url}"
    return (
        f"it does not answer {where} though the machine is on; its last heartbeat is {silent:.0f} s old; "
        "look whether its link or its switch port is down"
    )


async def _post(ctx: StepContext, name: str, make_params: Callable[[], Awaitable[Params]]) -> str:
    """Start a command unless an earlier try has started it already; its id."""
    params = await make_params()
    if is_ours(ctx):
        params["ingot_key"] = f"{ctx.run.id}/{ctx.index}/{name}"
    agent = client(ctx)
    noted = f"{name}: commands before"
    again = f"{ctx.index}:{noted}" in ctx.memo

    async def present() -> list[str]:
        return [one.id for one in await agent.commands()]

    before = await ctx.once(noted, present)
    known = await agent.find_started(name, before) if again else None
    return (known or await agent.start(name, params, before=before)).id


async def _look(ctx: StepContext, name: str, command_id: str) -> CommandResult | None:
    """The command as the agent tells it; None while an agent that was heard of lately does not answer."""
    try:
        return await client(ctx).look(command_id)
    except errors.NotSupported as error:
        hint = "Look at the machine's console, then start the operation again."
        if "ran out of memory" in error.message:  # ingot's own agent says so, by what the kernel logged
            hint = "Give the machine more memory, or use a smaller ramdisk, then start the operation again."
        raise errors.Misbehaved(
            f"The ramdisk's agent knows nothing of {name} any more: it was restarted in the middle. {error.message}",
            hint=hint,
        ) from error
    except (errors.Unreachable, errors.Misbehaved, errors.AccessDenied) as error:
        heard = (await ctx.refresh()).agent_heartbeat_at or 0.0
        sign = _sign_of_reboot(ctx, heard)
        if sign is not None:
            raise errors.Misbehaved(
                f"The machine was rebooted in the middle of {name}: its agent is gone and it {sign}",
                hint="Look at the machine's console and event log, then start the operation again.",
            ) from error
        await _refuse_another(ctx, name, heard, error)
        # An agent that was started anew has a certificate of its own, which its next heartbeat brings.
        if not isinstance(error, errors.Unreachable | errors.Untrusted):
            raise
        silent = ctx.now() - heard
        if silent < ctx.kit.settings.heartbeat_timeout:
            return None
        raise errors.TimedOut(
            f"The ramdisk's agent was silent for {silent:.0f} s in the middle of {name}: {error.message}",
            hint="Look at the machine's console: it may have lost its power or its network.",
        ) from error


async def _refuse_another(ctx: StepContext, name: str, heard: float, error: errors.IngotError) -> None:
    """Raise errors.Misbehaved where what answered at our agent's address is the agent of another node.

    Its token or its certificate is another, and its node is known by the heartbeats that it sent from there after the
    last one of ours, at ``heard``.
    """
    if not isinstance(error, errors.AccessDenied | errors.Untrusted) or ctx.node.agent_url is None:
        return
    other = await ctx.journal.find_other_agent(ctx.node.agent_url, heard)
    if other is not None:
        uuid, called = other
        raise errors.Misbehaved(
            f"In the middle of {name} the agent of another node answers at {ctx.node.agent_url}: that of node {uuid}, "
            f"which called from there {ctx.now() - called:.0f} s ago. Both machines were given one address",
            hint="Look for a second DHCP server or a fixed address on their network, then start the operation again.",
        ) from error


def _sign_of_reboot(ctx: Context, since: float) -> str | None:
    """What the machine did since then (epoch seconds) that only a machine does which starts anew."""
    if ctx.node.driver_internal_info.get(node.ASKED_AGAIN, 0.0) > since:
        return "asks anew which node it is"
    seen = [ctx.kit.boot.last_seen(mac) for mac in ctx.macs()]
    # After a semicolon it says what one could look at, were it to get no further.
    signs = (words.partition(";")[0] for found in seen if found for at, words in [found] if at > since)
    return next((sign for sign in signs if "boot script" in sign), None)


async def run_step(ctx: StepContext, word: str, planned: runs.PlannedStep) -> dict[str, object]:
    """Have the agent run one of its own steps of kind ``word`` (clean, deploy, service)."""
    params: Params = {
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

    async def ready() -> Params:
        return params

    timeout = max(60.0, ctx.run.deadline - ctx.now())
    result = await run_command(ctx, f"{word}.execute_{word}_step", ready, usual=60, timeout=timeout)
    await _note_outcome(ctx, planned, result.get(f"{word}_result"))
    return result


async def _note_outcome(ctx: StepContext, planned: runs.PlannedStep, result: object) -> None:
    """Write into the node's history what a step did; a RAID step's result is the node's new RAID configuration."""

    async def note() -> bool:
        if planned.interface == "raid":
            made = cast("dict[str, Any]", result) if isinstance(result, dict) else {}
            at = datetime.datetime.fromtimestamp(ctx.now(), datetime.UTC).isoformat()
            await ctx.journal.change_node(raid_config={**made, "last_updated": at} if made else {})
        if result:
            text = result if isinstance(result, str) else msgspec.json.encode(result).decode()
            await ctx.journal.note(f"{planned.title()}: {text[:_LONGEST_NOTE]}")
        return True

    await ctx.once("noted", note)


def outcome(result: CommandResult) -> dict[str, object]:
    """The result of an ended command. Raises errors.Misbehaved when it failed."""
    if result.status == "SUCCEEDED":
        return result.result or {}
    raise errors.Misbehaved(
        f"The ramdisk's agent failed {result.name}: {result.complaint or result.status}",
        hint="Look in its log (ingot node logs NODE) for what led to that, mend it, then start the operation again.",
    )
