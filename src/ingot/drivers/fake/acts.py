"""What every fake action does: take its time, fail if told to, and write down what it did.

The list of effects is the imaginary machine's own memory: tests read it to prove that nothing happened twice.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

from ingot.clients import fence
from ingot.domain import errors, power
from ingot.interfaces.context import Context, StepContext, WaitFor

_CURE = "Remove fake_wait from driver_info."


async def act(ctx: Context, action: str, effect: str | None = None) -> None:
    """Perform ``action`` ("power.set"); ``effect`` is what the machine remembers of it, None for mere reads.

    Raises errors.Misbehaved when the node's ``fake_fault`` names the action (it may name several), and as a driver with
    a bug would when ``fake_bug`` does.
    """
    delay = _seconds(ctx, "fake_delay")
    if delay:
        await asyncio.sleep(delay)
    if action in str(ctx.driver_info.get("fake_fault") or "").split():
        text = ctx.driver_info.get("fake_fault_text") or f"the fake machine was told to fail {action}"
        raise errors.Misbehaved(text, hint="Remove fake_fault from driver_info.")
    if action == ctx.driver_info.get("fake_bug"):
        raise ValueError(ctx.driver_info.get("fake_fault_text"))
    await fence.passed()
    if effect is not None and ctx.kit.settings.fake_effects:
        _remember(Path(ctx.kit.settings.fake_effects), ctx.node.uuid, effect)  # at once: no moment to be stopped in


async def wait(ctx: StepContext, unless: Callable[[], Awaitable[bool]] | None = None) -> None:
    """Wait as ``fake_wait`` says (seconds, or "heartbeat" for the agent's call), but no longer than to ``unless``."""
    wanted = ctx.driver_info.get("fake_wait")
    if not wanted:
        return

    async def now() -> float:
        return ctx.now()

    since = await ctx.once("waits since", now)

    async def over() -> bool:
        if unless is not None and await unless():
            return True
        if wanted != "heartbeat":
            return ctx.now() >= since + _seconds(ctx, "fake_wait")
        seen = (await ctx.refresh()).agent_heartbeat_at
        return seen is not None and seen >= since

    timeout = ctx.kit.settings.ramdisk_timeout
    await ctx.wait.until(
        over, WaitFor("the imaginary ramdisk's call", timeout, usual=1.0, poll=0.1, on_agent=True, hint=_CURE)
    )


def check(ctx: Context) -> None:
    """Raise errors.Invalid when a key of driver_info cannot be meant."""
    _seconds(ctx, "fake_delay")
    if ctx.driver_info.get("fake_wait") != "heartbeat":
        _seconds(ctx, "fake_wait")
    pressed(ctx)


def pressed(ctx: Context) -> power.Power | None:
    """What ``fake_power`` says, None where it says nothing. Raises errors.Invalid."""
    said = ctx.driver_info.get("fake_power")
    if not said:
        return None
    if said not in list(power.Power):
        raise errors.Invalid(f"driver_info fake_power cannot be {said!r}.", hint=f"One of: {', '.join(power.Power)}.")
    return power.Power(said)


def pairs(settings: Any, key: str, value: str) -> list[tuple[str, str]]:
    """A step's argument ``settings``, [{key: text, value: text}], as pairs. Raises errors.Invalid."""
    found: list[tuple[str, str]] = []
    for each in cast("list[Any]", settings) if isinstance(settings, list) else []:
        entry = cast("dict[str, Any]", each) if isinstance(each, dict) else {}
        first, second = entry.get(key), entry.get(value)
        if not isinstance(first, str) or not isinstance(second, str) or not first or not second:
            raise errors.Invalid(f'Each of the settings must have the texts "{key}" and "{value}", not {each!r}')
        found.append((first, second))
    if not found:
        raise errors.Invalid(f'The step needs the argument settings: [{{"{key}": ..., "{value}": ...}}]')
    return found


def _seconds(ctx: Context, key: str) -> float:
    value = ctx.driver_info.get(key) or 0
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = -1.0
    if not 0 <= found < float("inf"):
        raise errors.Invalid(f"driver_info {key} must be a number of seconds, not {value!r}.")
    return found


def _remember(file: Path, node_uuid: str, effect: str) -> None:
    with file.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps({"node": node_uuid, "effect": effect}) + "\n")


def has_effect(ctx: Context, effect: str) -> bool:
    """Whether the machine remembers ``effect`` since it was last prepared; False when it keeps no memory."""
    name = ctx.kit.settings.fake_effects
    if not name or not Path(name).exists():
        return False
    found = False
    for line in Path(name).read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        if entry["node"] == ctx.node.uuid:
            found = entry["effect"] == effect or (found and entry["effect"] != "prepared")
    return found
