"""Firmware of a Redfish service: versions, and installing images.

Why: BMCs install in their own time, restart in the middle, and put BIOS and NIC images off to the machine's restart.
Invariant: the BMC's own image goes first and is waited for, since its restart would forget the tasks of others; all
others share one restart of the machine.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast
from urllib.parse import unquote, urlsplit

from ingot.clients.redfish import updates
from ingot.domain import errors, firmware
from ingot.drivers.redfish import restart, target
from ingot.interfaces.context import Context, StepContext, WaitFor
from ingot.interfaces.hardware import FirmwareInterface
from ingot.interfaces.steps import step

_TIMEOUT = 3600.0
_USUAL = 600.0
_BACK = 1200.0
_DOWNLOAD = 1800.0
_HINT = "See the BMC's task list and its log; do not cut its power."


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
        before = await ctx.once("before", lambda: self._versions(ctx))
        wanted = _wanted(ctx, before)
        await restart.before(ctx)
        if "bmc" in wanted:
            await self._install(ctx, {"bmc": wanted["bmc"]}, "bmc")
            await self._wait_for_bmc(ctx)
        await self._install(ctx, {name: url for name, url in wanted.items() if name != "bmc"}, "others")
        await self._wait_for_bmc(ctx)
        await self._tell(ctx, before, list(wanted))
        await self.cache_components(ctx)
        await restart.after(ctx)

    async def _versions(self, ctx: StepContext) -> dict[str, str | None]:
        return {one.component: one.current_version for one in await self.list_components(ctx)}

    async def _install(self, ctx: StepContext, wanted: dict[str, str], key: str) -> None:
        begun = [await self._begin(ctx, component, url) for component, url in wanted.items()]
        names = " and ".join(wanted)
        what = WaitFor(f"the firmware of {names} to be installed", _TIMEOUT, _USUAL, hint=_HINT)
        await restart.settle_tasks(ctx, [monitor for monitor in begun if monitor], key, what)

    async def _begin(self, ctx: StepContext, component: str, url: str) -> str | None:
        """Start one installation, once; its task."""
        pool, service = ctx.kit.redfish, target.of(ctx)

        async def order() -> str | None:
            ways = await updates.service(pool, service)
            item = await updates.find_target(pool, service, component)
            await ctx.journal.note(f"Installing the {component} firmware {urlsplit(url).path.rpartition('/')[2]}.")
            if ways.simple:
                return await updates.fetch(pool, service, ways.simple, url, item)
            with TemporaryDirectory(prefix="firmware-", dir=ctx.kit.settings.data_dir) as folder:
                file = Path(folder, Path(unquote(urlsplit(url).path)).name or "image")
                await pool.download(url, file, _DOWNLOAD)
                return await updates.push(pool, service, ways.push or "", file, item)

        return await ctx.once(f"begin {component}", order)

    async def _wait_for_bmc(self, ctx: StepContext) -> None:
        """Until the BMC answers with its version: it restarts after an update of its own."""

        async def answers() -> bool:
            return any(one.component == "bmc" and one.current_version for one in await self.list_components(ctx))

        await restart.until(ctx, answers, WaitFor("the BMC to come back", _BACK, 180.0, hint=_HINT))

    async def _tell(self, ctx: StepContext, before: dict[str, str | None], components: list[str]) -> None:
        """Into the node's history: what each component was and is; an unchanged version is worth a warning."""
        now = await self._versions(ctx)
        for component in components:
            was, has = before.get(component), now.get(component)
            told = f"The {component} firmware was {was} and is {has}."
            await ctx.journal.note(told, "INFO" if was != has else "WARNING")


def _wanted(ctx: StepContext, known: dict[str, str | None]) -> dict[str, str]:
    """Component -> URL. Raises errors.Invalid."""
    given: Any = ctx.args.get("settings")
    if not isinstance(given, list) or not given:
        raise errors.Invalid('The step needs the argument settings: [{"component": ..., "url": ...}]')
    found: dict[str, str] = {}
    for each in cast("list[Any]", given):
        entry = cast("dict[str, Any]", each) if isinstance(each, dict) else {}
        component, url = entry.get("component"), entry.get("url")
        if not isinstance(component, str) or not isinstance(url, str):
            raise errors.Invalid(f"Each of the settings must have the texts component and url, not {each!r}")
        if component not in known:
            raise errors.Invalid(f"There is no firmware component {component}", hint=f"Components: {', '.join(known)}.")
        if urlsplit(url).scheme not in {"http", "https"}:
            raise errors.Invalid(f"The image of {component} must have an http or https URL")
        found[component] = url
    return found
