"""Firmware versions of an imaginary machine, kept while the process lives. May not: fetch what a URL names."""

from __future__ import annotations

from ingot.domain import errors, firmware
from ingot.drivers.fake import acts
from ingot.interfaces.context import Context, StepContext
from ingot.interfaces.hardware import FirmwareInterface
from ingot.interfaces.steps import step

_FIRST = {"bios": "1.0", "bmc": "1.0"}


class FakeFirmware(FirmwareInterface):
    """Two components; the file name of an update is its version."""

    def __init__(self) -> None:
        self._flashed: dict[str, dict[str, str]] = {}

    async def list_components(self, ctx: Context) -> list[firmware.Component]:
        """Each with its version."""
        await acts.act(ctx, "firmware.list_components")
        versions = {**_FIRST, **self._flashed.get(ctx.node.uuid, {})}
        return [firmware.Component(component=name, current_version=version) for name, version in versions.items()]

    @step(clean=0, deploy=0, service=0, abortable=False)
    async def update(self, ctx: StepContext) -> None:
        """Remember the versions."""
        versions: dict[str, str] = {}
        for component, url in acts.pairs(ctx.args.get("settings"), "component", "url"):
            if component not in _FIRST:
                raise errors.Invalid(f'There is no component "{component}"', hint=f"Components: {', '.join(_FIRST)}.")
            versions[component] = url.rstrip("/").rpartition("/")[2]
        await acts.act(ctx, "firmware.update", "firmware updated")
        self._flashed.setdefault(ctx.node.uuid, {}).update(versions)
        await self.cache_components(ctx)
