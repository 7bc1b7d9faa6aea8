"""Secure boot of a system: its switch and its keys. Source: DSP0268, SecureBoot."""

from __future__ import annotations

from enum import StrEnum

from ingot.clients.redfish import systems, tasks
from ingot.clients.redfish.client import RedfishPool
from ingot.clients.redfish.resources import Resource, action, link
from ingot.clients.redfish.target import Target
from ingot.domain import errors


class KeyReset(StrEnum):
    """ResetKeysType of the action #SecureBoot.ResetKeys."""

    DEFAULT = "ResetAllKeysToDefault"
    DELETE_ALL = "DeleteAllKeys"


async def is_enabled(pool: RedfishPool, target: Target) -> bool | None:
    """Whether secure boot is switched on, be it for the next boot; None where the service tells nothing of it."""
    path = link(await systems.get(pool, target), "SecureBoot")
    value = None if path is None else (await pool.get(target, path)).get("SecureBootEnable")
    return value if isinstance(value, bool) else None


async def enable(pool: RedfishPool, target: Target, *, enabled: bool) -> None:
    """Switch secure boot for the boots to come; nothing is sent where it is so already."""
    path, resource, etag = await _resource_with_etag(pool, target)
    if resource.get("SecureBootEnable") is not enabled:
        await pool.patch(target, path, {"SecureBootEnable": enabled}, etag)


async def reset_keys(pool: RedfishPool, target: Target, kind: KeyReset) -> None:
    """Delete or restore the key databases. Raises ``errors.NotSupported``."""
    path, resource = await _resource(pool, target)
    order = action(resource, "SecureBoot.ResetKeys")
    if order is None:
        raise errors.NotSupported(f"{target.name} cannot reset the secure boot keys of {path}.")
    await tasks.run(pool, target, order, {"ResetKeysType": str(kind)})


async def _resource(pool: RedfishPool, target: Target) -> tuple[str, Resource]:
    path, resource, _ = await _resource_with_etag(pool, target)
    return path, resource


async def _resource_with_etag(pool: RedfishPool, target: Target) -> tuple[str, Resource, str | None]:
    path = link(await systems.get(pool, target), "SecureBoot")
    if path is None:
        raise errors.NotSupported(
            f"{target.name} tells nothing of secure boot.", hint="Check that its firmware is UEFI."
        )
    return path, *await pool.get_with_etag(target, path)
