"""BIOS settings of a Redfish service.

Invariant: a request with one wrong setting changes none; a step ends only when every setting is in force.
"""

from __future__ import annotations

from typing import Any, cast

from ingot.clients.redfish import bios as client
from ingot.domain import bios, errors
from ingot.drivers.redfish import restart, target
from ingot.interfaces.context import Context, StepContext, WaitFor
from ingot.interfaces.hardware import BiosInterface
from ingot.interfaces.steps import step

_TIMEOUT = 1800.0
_USUAL = 240.0
_HINT = "Look at the machine's console and at the BMC's log."


class RedfishBios(BiosInterface):
    """Settings are made pending, the machine is restarted, and the step waits until they are in force."""

    def properties(self) -> dict[str, str]:
        """The keys of a Redfish service."""
        return target.PROPERTIES

    async def validate(self, ctx: Context) -> None:
        """The service must be described, and a CA file that is named must be here."""
        target.check_ca(target.of(ctx))

    async def list_settings(self, ctx: Context) -> list[bios.Setting]:
        """The attributes in force, with what the service's registry says of them."""
        return await client.list_all(ctx.kit.redfish, target.of(ctx))

    @step(clean=0, deploy=0, service=0)
    async def apply_configuration(self, ctx: StepContext) -> None:
        """Set the given settings and restart the machine, unless they are in force already."""
        service = target.of(ctx)

        async def order() -> dict[str, str]:
            present = {one.name: one for one in await self.list_settings(ctx)}
            wanted = {name: value for name, value in _wanted(ctx, present).items() if present[name].value != value}
            if wanted:
                await client.change(ctx.kit.redfish, service, wanted)
            return wanted

        changed = await ctx.once("ordered", order)
        if changed:
            await self._take_force(ctx, changed)
        await self.cache_settings(ctx)

    @step(clean=0, deploy=0, service=0)
    async def factory_reset(self, ctx: StepContext) -> None:
        """Bring the maker's settings back and restart the machine."""
        service = target.of(ctx)

        async def order() -> dict[str, str | None]:
            await client.reset(ctx.kit.redfish, service)
            return await client.pending(ctx.kit.redfish, service)

        # Services that show no pending values are restarted all the same: only so does a reset take force.
        await self._take_force(ctx, await ctx.once("ordered", order))
        await self.cache_settings(ctx)

    async def _take_force(self, ctx: StepContext, wanted: dict[str, Any]) -> None:
        service = target.of(ctx)
        await restart.before(ctx)
        await restart.run(ctx, "settings")
        differing: dict[str, str | None] = {}

        async def in_force() -> bool:
            present = await client.read(ctx.kit.redfish, service)
            differing.clear()
            differing.update({name: present.get(name) for name in wanted if present.get(name) != wanted[name]})
            return not differing

        async def explain() -> str | None:
            told = ", ".join(f'{name} is still "{value}"' for name, value in list(differing.items())[:5])
            said = await client.complaint(ctx.kit.redfish, service)
            return f"{told} ({service.name} says: {said})" if said else told or None

        await restart.until(
            ctx, in_force, WaitFor("the BIOS settings to take force", _TIMEOUT, _USUAL, explain=explain, hint=_HINT)
        )
        await restart.after(ctx)


def _wanted(ctx: StepContext, present: dict[str, bios.Setting]) -> dict[str, str]:
    """Setting -> the value wanted of it. Raises errors.Invalid."""
    given: Any = ctx.args.get("settings")
    if not isinstance(given, list) or not given:
        raise errors.Invalid('The step needs the argument settings: [{"name": ..., "value": ...}]')
    found: dict[str, str] = {}
    for each in cast("list[Any]", given):
        entry = cast("dict[str, Any]", each) if isinstance(each, dict) else {}
        name, value = entry.get("name"), client.as_text(entry.get("value"))
        if not isinstance(name, str) or value is None:
            raise errors.Invalid(f"Each of the settings must have name and value, not {each!r}")
        if name not in present:
            raise errors.Invalid(f'There is no BIOS setting "{name}"', hint="See: ingot node bios NODE.")
        found[name] = _checked(present[name], value)
    return found


def _checked(setting: bios.Setting, value: str) -> str:
    """``value`` as the setting writes it. Raises errors.Invalid when it cannot be."""
    if setting.read_only:
        raise errors.Invalid(f"The BIOS setting {setting.name} can only be read")
    if setting.allowable_values and value not in setting.allowable_values:
        allowed = ", ".join(setting.allowable_values)
        raise errors.Invalid(f'{setting.name} cannot be "{value}"', hint=f"Values: {allowed}.")
    if setting.attribute_type == "Boolean":
        if value.lower() not in {"true", "false"}:
            raise errors.Invalid(f'{setting.name} cannot be "{value}"', hint="Values: True, False.")
        return value.capitalize()
    if setting.attribute_type == "Integer":
        _check_range(setting.name, _number(setting, value), setting.lower_bound, setting.upper_bound)
    if setting.attribute_type == "String":
        _check_range(f"The length of {setting.name}", len(value), setting.min_length, setting.max_length)
    return value


def _number(setting: bios.Setting, value: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise errors.Invalid(f'{setting.name} must be a whole number, not "{value}"') from None


def _check_range(what: str, value: int, lowest: int | None, highest: int | None) -> None:
    if (lowest is not None and value < lowest) or (highest is not None and value > highest):
        raise errors.Invalid(f"{what} must be from {lowest or 0} to {highest}, not {value}")
