"""Firmware settings of an imaginary machine, kept while the process lives.

Invariant: a request with one wrong setting changes none.
"""

from __future__ import annotations

from typing import Any

from ingot.domain import bios, errors
from ingot.drivers.fake import acts
from ingot.interfaces.context import Context, StepContext
from ingot.interfaces.hardware import BiosInterface
from ingot.interfaces.steps import step

_ALLOWED = {
    "BootMode": ("Uefi", "LegacyBios"),
    "Virtualization": ("Enabled", "Disabled"),
    "QuietBoot": ("Disabled", "Enabled"),
}
"""Setting -> the values it may have, the maker's own first."""


class FakeBios(BiosInterface):
    """Three settings that are in force at once."""

    def __init__(self) -> None:
        self._changed: dict[str, dict[str, str]] = {}

    async def list_settings(self, ctx: Context) -> list[bios.Setting]:
        """Each setting with the values it may have."""
        await acts.act(ctx, "bios.list_settings")
        changed = self._changed.get(ctx.node.uuid, {})
        return [
            bios.Setting(
                name=name,
                value=changed.get(name, values[0]),
                attribute_type="Enumeration",
                allowable_values=list(values),
                read_only=False,
                reset_required=False,
            )
            for name, values in _ALLOWED.items()
        ]

    @step(clean=0, deploy=0, service=0)
    async def apply_configuration(self, ctx: StepContext) -> None:
        """Remember the settings."""
        wanted = _wanted(ctx.args.get("settings"))
        await acts.act(ctx, "bios.apply_configuration", "bios settings applied")
        self._changed.setdefault(ctx.node.uuid, {}).update(wanted)
        await self.cache_settings(ctx)

    @step(clean=0, deploy=0, service=0)
    async def factory_reset(self, ctx: StepContext) -> None:
        """Forget every change."""
        await acts.act(ctx, "bios.factory_reset", "bios settings reset")
        self._changed.pop(ctx.node.uuid, None)
        await self.cache_settings(ctx)


def _wanted(settings: Any) -> dict[str, str]:
    """Setting name -> value wanted. Raises errors.Invalid."""
    found: dict[str, str] = {}
    for name, value in acts.pairs(settings, "name", "value"):
        if name not in _ALLOWED:
            raise errors.Invalid(f'There is no setting "{name}"', hint=f"Settings: {', '.join(_ALLOWED)}.")
        if value not in _ALLOWED[name]:
            raise errors.Invalid(f'{name} cannot be "{value}"', hint=f"Values: {', '.join(_ALLOWED[name])}.")
        found[name] = value
    return found
