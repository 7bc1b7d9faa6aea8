"""Rescue by the ramdisk's agent: it sets the password, starts an SSH server, and lets go of the machine.

Every step can be entered again: the agent does the same under the same words.
"""

from __future__ import annotations

from typing import Any, cast

from ingot.domain import errors
from ingot.interfaces import agent
from ingot.interfaces.context import Context, StepContext
from ingot.interfaces.hardware import RescueInterface
from ingot.interfaces.steps import step

KEYS = "rescue_ssh_keys"
"""Key of instance_info: public keys, one text each, that may log in beside the password."""


class AgentRescue(RescueInterface):
    """The usual way to rescue."""

    async def validate(self, ctx: Context) -> None:
        """Keys must be a list of public keys; the boot must be able to load a ramdisk."""
        _keys(ctx)
        if not ctx.boot.real:
            raise errors.NotSupported(
                f"Driver {ctx.node.driver} does not support validate_rescue (disabled or not implemented): the boot "
                f'interface "{ctx.node.boot_interface}" boots nothing',
                hint="Choose another boot interface, or the rescue interface fake.",
            )
        await ctx.boot.validate(ctx)

    @step(undo="end")
    async def rescue(self, ctx: StepContext) -> None:
        """Ramdisk up, login open, machine on its tenant's networks."""
        hashed = str(ctx.params.get("rescue_password") or "")
        if not hashed.strip():
            raise errors.Invalid("The request has no rescue_password")
        await ctx.network.remove_tenant(ctx)
        await ctx.deploy.start_ramdisk(ctx)
        await agent.await_first_call(ctx)

        async def open_login() -> bool:
            params: dict[str, Any] = {"rescue_password": hashed, "hashed": True}
            if keys := _keys(ctx):
                params["ingot_ssh_keys"] = keys
            await agent.client(ctx).run("rescue.finalize_rescue", params)
            return True

        await ctx.once("login", open_login)
        await ctx.boot.clean_up_ramdisk(ctx)
        await ctx.network.remove_provisioning(ctx)
        await ctx.network.configure_tenant(ctx)

    async def end(self, ctx: StepContext) -> None:
        """Machine off, ramdisk forgotten."""
        await ctx.deploy.stop_ramdisk(ctx)

    @step()
    async def unrescue(self, ctx: StepContext) -> None:
        """The machine's own system again."""
        await ctx.deploy.start_instance(ctx)


def _keys(ctx: Context) -> list[str]:
    given: Any = ctx.instance_info.get(KEYS) or []
    found = cast("list[Any]", given) if isinstance(given, list) else [None]
    if not all(isinstance(key, str) and key.split() and "\n" not in key.strip() for key in found):
        raise errors.Invalid(
            f"instance_info {KEYS} must be a list of public keys", hint='Each like "ssh-ed25519 AAAA... name".'
        )
    return [str(key).strip() for key in found]
