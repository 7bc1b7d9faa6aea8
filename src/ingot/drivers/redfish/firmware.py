"""Firmware of a Redfish service: versions, and installing images.

Why: BMCs install in their own time, restart in the middle, and put BIOS and NIC images off to the machine's restart.
Invariant: the BMC's own image goes first and is waited for, since its restart would forget the tasks of others; all
others share one restart of the machine.
"""

from __future__ import annotations

from typing import Any, cast

from ingot.clients.redfish import updates
from ingot.domain import errors, firmware
from ingot.drivers.redfish import installing, restart, target
from ingot.interfaces.context import Context, StepContext
from ingot.interfaces.hardware import FirmwareInterface
from ingot.interfaces.steps import step


class RedfishFirmware(FirmwareInterface):
    """The BMC fetches images by SimpleUpdate; where it cannot, ingot fetches them and pushes."""

    def properties(self) -> dict[str, str]:
        """The keys of a Redfish service."""
        return target.PROPERTIES

    async def validate(self, ctx: Context) -> None:
        """The service must be described, and a CA file that is named must be here."""
        target.check_ca(target.of(ctx))

    async def list_components(self, ctx: Context) -> list[firmware.Component]:
        """ "bios", "bmc" and "nic:<id>"."""
        return await updates.list_components(ctx.kit.redfish, target.of(ctx))

    @step(clean=0, deploy=0, service=0, abortable=False)
    async def update(self, ctx: StepContext) -> None:
        """Install the images of the argument settings, the BMC's own first, and restart the machine where needed."""
        before: installing.Versions = await ctx.once("before", lambda: installing.versions(ctx))
        wanted = _wanted(ctx, before)
        await restart.before(ctx)
        own = [one for one in wanted if one.component == "bmc"]
        if own:
            await installing.install(ctx, own, "bmc")
            await installing.wait_for_bmc(ctx)
        await installing.install(ctx, [one for one in wanted if one.component != "bmc"], "others")
        await installing.wait_for_bmc(ctx)
        await installing.tell(ctx, before, [one.name for one in wanted])
        await self.cache_components(ctx)
        await restart.after(ctx)


def _wanted(ctx: StepContext, known: installing.Versions) -> list[installing.Image]:
    """The images of the argument. Raises errors.Invalid."""
    given: Any = ctx.args.get("settings")
    if not isinstance(given, list) or not given:
        raise errors.Invalid('The step needs the argument settings: [{"component": ..., "url": ...}]')
    found: dict[str, installing.Image] = {}
    for each in cast("list[Any]", given):
        entry = cast("dict[str, Any]", each) if isinstance(each, dict) else {}
        component, url = entry.get("component"), entry.get("url")
        if not isinstance(component, str) or not isinstance(url, str) or set(entry) - {"component", "url", "wait"}:
            raise errors.Invalid(
                f"Each of the settings must have the texts component and url (and may have wait), not {each!r}"
            )
        if component not in known:
            raise errors.Invalid(f"There is no firmware component {component}", hint=f"Components: {', '.join(known)}.")
        pause = installing.check_pause(entry.get("wait"))
        found[component] = installing.Image(url=installing.check_url(url, component), component=component, pause=pause)
    return list(found.values())
