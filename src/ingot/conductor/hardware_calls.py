"""Answers to synchronous calls about hardware: indicators, sensors, event log, media, vendor methods, RAID rules.

May not: change a provision state. Invariant: what changes hardware is refused while a run holds the node.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ingot.conductor.calls import Calls
from ingot.deps import Deps
from ingot.domain import errors, raid
from ingot.interfaces.context import Context
from ingot.interfaces.hardware import VendorInterface, VendorMethod
from ingot.interfaces.management import IndicatorState


class HardwareCalls:
    """Registers its answers on the bus."""

    def __init__(self, deps: Deps, calls: Calls) -> None:
        self._deps = deps
        self._context = calls.context
        for verb in (
            "check",
            "check_raid",
            "raid_properties",
            "indicators",
            "get_indicator",
            "set_indicator",
            "sensors",
            "events",
            "clear_events",
            "media",
            "vendor_methods",
            "vendor_call",
            "driver_vendor_methods",
            "driver_vendor_call",
        ):
            deps.bus.answer(verb, getattr(self, f"_{verb}"))

    async def _check(self, node_uuid: str, kind: str) -> None:
        """Refuse what cannot work before an order is taken."""
        ctx = await self._context(node_uuid)
        await ctx.interface(kind).validate(ctx)

    async def _check_raid(self, node_uuid: str, target: dict[str, Any]) -> None:
        ctx = await self._context(node_uuid, free=True)
        ctx.interface("raid").check_target(target)

    async def _raid_properties(self, driver: str) -> dict[str, str]:
        try:
            found = self._default(driver, "raid")
        except errors.NotSupported:
            return dict(raid.PROPERTIES)
        return found.logical_disk_properties()

    async def _indicators(self, node_uuid: str) -> dict[str, Any]:
        ctx = await self._context(node_uuid)
        return msgspec.to_builtins(await ctx.management.list_indicators(ctx))

    async def _get_indicator(self, node_uuid: str, component: str, name: str) -> str:
        ctx = await self._context(node_uuid, free=True)
        try:
            return (await ctx.management.get_indicator(ctx, component, name)).value
        except errors.NotFound as error:
            # The address of the request exists; Ironic answers 400 where only the lamp does not.
            raise errors.Invalid(error.message, hint=error.hint) from error

    async def _set_indicator(self, node_uuid: str, component: str, name: str, state: str) -> None:
        ctx = await self._context(node_uuid, free=True)
        try:
            await ctx.management.set_indicator(ctx, component, name, IndicatorState(state))
        except errors.NotFound as error:
            raise errors.Invalid(error.message, hint=error.hint) from error

    async def _sensors(self, node_uuid: str) -> dict[str, Any]:
        ctx = await self._context(node_uuid)
        return dict(await ctx.management.get_sensors(ctx))

    async def _events(self, node_uuid: str) -> list[dict[str, Any]]:
        ctx = await self._context(node_uuid)
        return msgspec.to_builtins(await ctx.management.list_events(ctx))

    async def _clear_events(self, node_uuid: str) -> None:
        ctx = await self._context(node_uuid, free=True)
        await ctx.management.clear_events(ctx)

    async def _media(self, node_uuid: str) -> list[dict[str, Any]]:
        ctx = await self._context(node_uuid)
        await ctx.management.validate(ctx)
        return msgspec.to_builtins(await ctx.management.list_media(ctx))

    async def _vendor_methods(self, node_uuid: str) -> dict[str, dict[str, Any]]:
        vendor = _vendor(await self._context(node_uuid))
        return {} if vendor is None else {name: _told(told) for name, told in vendor.methods.items()}

    async def _driver_vendor_methods(self, driver: str) -> dict[str, dict[str, Any]]:
        """The methods of a driver's preferred vendor interface; a driver has no lock to ask for."""
        vendor = self._driver_vendor(driver)
        found = {} if vendor is None else vendor.driver_methods
        return {
            name: {key: value for key, value in _told(told).items() if key != "require_exclusive_lock"}
            for name, told in found.items()
        }

    async def _vendor_call(self, node_uuid: str, method: str, http: str, body: dict[str, Any]) -> dict[str, Any]:
        """{"wait": False} where the caller is not to wait (an order is to be opened), else with "result"."""
        ctx = await self._context(node_uuid)
        vendor = _vendor(ctx)
        told = _choose(vendor.methods if vendor else {}, method, http)
        if vendor is None or not told.waits:
            return {"wait": False}
        if told.exclusive:
            ctx = await self._context(node_uuid, free=True)
        return {"wait": True, "attach": told.attach, "result": await vendor.call(ctx, method, body)}

    async def _driver_vendor_call(self, driver: str, method: str, http: str, body: dict[str, Any]) -> dict[str, Any]:
        vendor = self._driver_vendor(driver)
        told = _choose(vendor.driver_methods if vendor else {}, method, http)
        result = await vendor.call_driver(method, body) if vendor else None
        return {"wait": told.waits, "attach": told.attach, "result": result}

    def _default(self, driver: str, kind: str) -> Any:
        """A driver's preferred implementation. Raises errors.NotSupported when it does nothing by default."""
        return self._deps.registry.implementation(kind, self._deps.registry.names(driver, kind)[0])

    def _driver_vendor(self, driver: str) -> VendorInterface | None:
        try:
            return self._default(driver, "vendor")
        except errors.NotSupported:
            return None


def _vendor(ctx: Context) -> VendorInterface | None:
    try:
        return ctx.interface("vendor")
    except errors.NotSupported:
        return None


def _choose(methods: dict[str, VendorMethod], method: str, http: str) -> VendorMethod:
    found = methods.get(method)
    if found is None:
        known = ", ".join(methods) or "none"
        raise errors.Invalid(f"No handler for method {method}", hint=f"Methods here: {known}.")
    if http not in found.http_methods:
        raise errors.Invalid(
            f"The method {method} does not support HTTP {http}", hint=f"Use {' or '.join(found.http_methods)}."
        )
    return found


def _told(method: VendorMethod) -> dict[str, Any]:
    """A method as Ironic's API describes it."""
    return {
        "http_methods": list(method.http_methods),
        "async": not method.waits,
        "description": method.description,
        "attach": method.attach,
        "require_exclusive_lock": method.exclusive,
    }
