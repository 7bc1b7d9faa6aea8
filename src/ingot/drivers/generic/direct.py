"""Deploy ``direct``: the ramdisk's agent fetches the image from us and writes it to its disk.

Every step can be entered again at any time: what must happen once is behind ``ctx.once`` or done by the agent under
a key that it recognises.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

from ingot.consoles import logs
from ingot.domain import errors, hardware, power
from ingot.drivers.generic import boot_mode, boot_plan, writing
from ingot.images import partitions, source
from ingot.interfaces import agent
from ingot.interfaces.context import Context, StepContext, WaitFor
from ingot.interfaces.deploy import DeployInterface
from ingot.interfaces.steps import step

_BOOT_USUAL = 90.0
_WRITE_TIMEOUT = 2 * 3600.0
_AGAIN = "booted again"


class DirectDeploy(DeployInterface):
    """The usual way to deploy."""

    agent_after: ClassVar[str | None] = "deploy"

    async def validate(self, ctx: Context) -> None:
        """The boot must be able to load a ramdisk, and an image with a checksum be named."""
        await ctx.boot.validate(ctx)
        source.check(ctx.instance_info, weak=ctx.kit.settings.allow_md5_checksum)

    async def start_ramdisk(self, ctx: StepContext, unless: Callable[[], Awaitable[bool]] | None = None) -> None:
        """Boot the ramdisk and wait for its first call; a running one is used where that is allowed."""
        if await ctx.once("reused", lambda: self._can_reuse(ctx)):
            return

        async def heard(since: float) -> bool:
            return await _has_called(ctx, since) or (unless is not None and await unless())

        first = await ctx.once("booted", lambda: self._boot(ctx))
        booted_at = await self._last_boot(ctx, first, heard)
        await ctx.boot.resume_ramdisk(ctx)
        await ctx.wait.until(
            lambda: heard(booted_at),
            WaitFor(
                "the ramdisk's first call",
                ctx.kit.settings.ramdisk_timeout,
                _BOOT_USUAL,
                poll=15.0,
                on_agent=True,
                explain=lambda: _explain_silence(ctx, booted_at, booted_at - first),
                hint="Look at the machine's console.",
            ),
        )

        async def release() -> bool:
            await ctx.boot.release_ramdisk(ctx)
            return True

        await ctx.once("released", release)

    async def stop_ramdisk(self, ctx: StepContext) -> None:
        """Off, and forget ramdisk and agent, even where the BMC fails: its next boot must not be the ramdisk."""
        await self._end_ramdisk(ctx)
        if ctx.node.disable_power_off:
            await _switch(ctx, power.Target.ON)

    async def _end_ramdisk(self, ctx: StepContext) -> None:
        try:
            await _switch(ctx, power.Target.OFF)
        finally:
            await ctx.journal.set_agent_token(None)
            await ctx.boot.clean_up_ramdisk(ctx)
            await ctx.network.remove_provisioning(ctx)

    async def tear_down(self, ctx: StepContext) -> None:
        """Off, off the tenant's networks, without the Secure Boot that the instance asked for."""
        await _switch(ctx, power.Target.OFF)
        await boot_mode.release_instance(ctx)
        await ctx.boot.clean_up_ramdisk(ctx)
        await ctx.network.remove_tenant(ctx)

    async def start_instance(self, ctx: StepContext) -> None:
        """Off, ramdisk forgotten, networks as the tenant wants them, then from the disk."""
        await self._end_ramdisk(ctx)
        await ctx.network.configure_tenant(ctx)
        await ctx.boot.prepare_instance(ctx)
        await _switch(ctx, power.Target.ON)

    async def validate_adoption(self, ctx: Context) -> None:
        """An image must be named, as a rebuild would need one; it is not read."""
        if not ctx.instance_info.get("image_source"):
            raise errors.Invalid(
                "The node has no image_source in its instance_info",
                hint="Name the image the machine runs; it is written only if a rebuild is asked for.",
            )

    async def take_over(self, ctx: StepContext) -> None:
        """Its network boot, should it try one, leads to its disk."""
        await ctx.boot.clean_up_ramdisk(ctx)

    @step(deploy=100, undo="stop_ramdisk")
    async def deploy(self, ctx: StepContext) -> None:
        """Ramdisk up."""
        await self.start_ramdisk(ctx)

    @step(deploy=80)
    async def write_image(self, ctx: StepContext) -> None:
        """Image into our cache, then from there onto the machine's disk."""

        async def order() -> agent.Params:
            return await writing.order(ctx)

        try:
            await agent.run_command(ctx, "deploy.execute_deploy_step", order, usual=60, timeout=_WRITE_TIMEOUT)
        except errors.Misbehaved as error:
            raise await writing.judged(ctx, error) from error

    @step(deploy=60)
    async def prepare_instance_boot(self, ctx: StepContext) -> None:
        """Boot loader entry where the firmware needs one; boot from disk from now on."""

        mode = await _boot_mode(ctx)

        async def order() -> agent.Params:
            return await writing.boot_order(ctx, mode)

        if mode == "uefi" or partitions.is_wanted(ctx.instance_info):
            await agent.run_command(ctx, "image.install_bootloader", order, usual=5, timeout=1200)
        await ctx.boot.prepare_instance(ctx)
        await boot_mode.secure_instance(ctx)

    @step(deploy=40)
    async def tear_down_agent(self, ctx: StepContext) -> None:
        """Everything on disk, then off; or straight into the system that was written, where that is wanted."""

        async def sync() -> bool:
            await agent.client(ctx).run("standby.sync", {})
            return True

        await ctx.once("synced", sync)
        if not (_wants_kexec(ctx) and await ctx.once("kexec", lambda: _kexec(ctx))):
            await _switch(ctx, power.Target.OFF)

    @step(deploy=30)
    async def switch_to_tenant_network(self, ctx: StepContext) -> None:
        """Networks as the tenant wants them."""
        await ctx.network.remove_provisioning(ctx)
        await ctx.network.configure_tenant(ctx)

    @step(deploy=20)
    async def boot_instance(self, ctx: StepContext) -> None:
        """On: the deployed system starts."""
        await _switch(ctx, power.Target.ON)

    async def _can_reuse(self, ctx: StepContext) -> bool:
        if not (ctx.kit.settings.fast_track and agent.is_alive(ctx, ctx.now()) and ctx.agent_token):
            return False
        try:
            # An agent still at work (an erase that somebody aborted) must not be given a second order: boot it anew.
            return all(one.status != "RUNNING" for one in await agent.client(ctx).commands())
        except errors.IngotError:
            return False

    async def _boot(self, ctx: StepContext) -> float:
        """Networks, boot script, power; the time (epoch seconds) from which a call counts."""
        await ctx.network.validate(ctx)
        await ctx.boot.validate(ctx)
        await ctx.network.add_provisioning(ctx)
        await _switch(ctx, power.Target.OFF)
        await ctx.journal.set_agent_token(None)
        await boot_mode.settle(ctx)
        booted_at = ctx.now()
        # The time lets a machine whose clock is years off verify certificates.
        told = {**ctx.kit.boot.agent_parameters(), "ingot-time": str(int(booted_at))}
        await ctx.boot.prepare_ramdisk(ctx, {**told, **boot_plan.appended(ctx)})
        await _switch(ctx, power.Target.ON)
        return booted_at

    async def _last_boot(self, ctx: StepContext, first: float, heard: Callable[[float], Awaitable[bool]]) -> float:
        """When (epoch seconds) the ramdisk was booted last.

        A machine whose firmware or card hangs in its network boot is switched off and on once more: nothing has been
        done to it yet, and that is what somebody in front of it would try.
        """
        if ctx.noted(_AGAIN) is None and boot_plan.hangs(ctx, first) and not await heard(first):
            seen = await _explain_silence(ctx, first)
            await ctx.journal.note(f"Switched off and on again, for it hangs in its network boot: {seen}", "WARNING")
            await ctx.once(_AGAIN, lambda: self._boot(ctx))
        return ctx.noted(_AGAIN) or first


def _wants_kexec(ctx: Context) -> bool:
    """Whether the instance, else the node, asks to be started without its firmware; one that may not be switched off
    is restarted at the end instead."""
    if ctx.node.disable_power_off:
        return False
    wanted = ctx.instance_info.get("deploy_kexec", ctx.driver_info.get("deploy_kexec", False))
    return str(wanted).lower() in ("1", "true", "yes", "on")


async def _kexec(ctx: StepContext) -> bool:
    """Have the agent start the written system; False, with the reason in the history, where it has to be rebooted."""
    try:
        told = await agent.client(ctx).run("ingot.kexec", {"node": writing.node_fields(ctx)})
    except errors.IngotError as error:
        await ctx.journal.note(f"Started by the firmware, for kexec does not work here: {error.message}", "WARNING")
        return False
    await ctx.journal.note(f"Started without the firmware: {told.get('result')}")
    return True


async def _has_called(ctx: StepContext, since: float) -> bool:
    seen = (await ctx.refresh()).agent_heartbeat_at
    return seen is not None and seen >= since


async def _explain_silence(ctx: StepContext, since: float, before: float = 0.0) -> str | None:
    """What the network saw of the machine since then, and the last line of its console where that is logged.

    ``before``: how many seconds earlier it was booted for the first time, 0 for no other boot.
    """
    again = f"it had hung and was switched off and on again {before:.0f} s after its first start" if before else None
    seen = await ctx.boot.explain_silence(ctx, since)
    said = await asyncio.to_thread(logs.last_line, logs.folder_of(ctx.kit.settings.data, ctx.node.uuid), ctx.run.id)
    return "; ".join(filter(None, (seen, said and f'its console says "{said}"', again))) or None


async def _switch(ctx: StepContext, target: power.Target) -> None:
    """Bring the power to ``target`` (the driver looks whether it is there for good), and store it.

    A machine that may not be switched off runs on instead, and is restarted where it would be switched on.
    """
    if ctx.node.disable_power_off:
        if target is power.Target.OFF:
            return
        target = power.Target.REBOOT
    await ctx.power.set(ctx, target, ctx.kit.settings.power_timeout)
    await ctx.journal.change_node(power_state=target.result().value)


async def _boot_mode(ctx: StepContext) -> str | None:
    """The node's boot mode; a node that was never inspected is told by its ramdisk how it was booted."""
    known = (await ctx.refresh()).boot_mode
    if known:
        return known

    async def ask() -> str | None:
        found: dict[str, Any] = await agent.client(ctx).run("poll.get_hardware_info", {})
        return hardware.boot_mode(found.get("inventory", found))

    mode = await ctx.once("boot mode", ask)
    if mode:
        await ctx.journal.change_node(boot_mode=mode)
    return mode
