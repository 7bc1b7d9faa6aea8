"""BIOS settings: what is in force, what is pending, what may be set.

Why: services keep three resources for them, and a fourth says which values there are.
May not: restart the machine. Invariant: values leave here as text and are sent in the type that the registry tells.
Sources: DSP0268 Bios and AttributeRegistry; DSP0266 section "Settings resource".
"""

from __future__ import annotations

from ingot.clients.redfish import systems, tasks
from ingot.clients.redfish.client import RedfishPool
from ingot.clients.redfish.resources import Resource, action, items, link, number, part, strings, text
from ingot.clients.redfish.target import Target
from ingot.domain import errors
from ingot.domain.bios import Setting


async def read(pool: RedfishPool, target: Target) -> dict[str, str | None]:
    """Setting -> its value in force. Raises ``errors.NotSupported`` where the service has no BIOS resource."""
    return {name: as_text(value) for name, value in _attributes((await _get(pool, target))[1]).items()}


async def pending(pool: RedfishPool, target: Target) -> dict[str, str | None]:
    """Setting -> the value it will have after the next restart, of those that change then."""
    _, resource = await _get(pool, target)
    now = _attributes(resource)
    settings = _settings_path(resource)
    later = _attributes(await pool.get(target, settings)) if settings else {}
    return {name: as_text(value) for name, value in later.items() if value != now.get(name)}


async def list_all(pool: RedfishPool, target: Target) -> list[Setting]:
    """Every setting in force, with what the service's registry says of it."""
    _, resource = await _get(pool, target)
    known = await _registry(pool, target, resource)
    return [_setting(name, value, known.get(name, {})) for name, value in _attributes(resource).items()]


async def change(pool: RedfishPool, target: Target, wanted: dict[str, str]) -> None:
    """Make ``wanted`` pending for the next restart. Values must have been checked against ``list_all``.

    Raises ``errors.Invalid`` for one that cannot have the type of the present value, where no registry told so.
    """
    path, resource = await _get(pool, target)
    now = _attributes(resource)
    body: Resource = {"Attributes": {name: _typed(value, now.get(name)) for name, value in wanted.items()}}
    settings = _settings_path(resource)
    if settings is not None:
        path = settings
        if "OnReset" in strings(part(resource, "@Redfish.Settings"), "SupportedApplyTimes"):
            body["@Redfish.SettingsApplyTime"] = {"ApplyTime": "OnReset"}
    _, etag = await pool.get_with_etag(target, path)
    await tasks.follow(pool, target, await pool.patch(target, path, body, etag))


async def reset(pool: RedfishPool, target: Target) -> None:
    """Make the maker's settings pending for the next restart. Raises ``errors.NotSupported``."""
    path, resource = await _get(pool, target)
    order = action(resource, "Bios.ResetBios")
    if order is None:
        raise errors.NotSupported(f"{target.name} cannot reset the settings of {path}.")
    await tasks.run(pool, target, order, {})


async def complaint(pool: RedfishPool, target: Target) -> str | None:
    """What the service says of the last change it could not apply; None when it says nothing."""
    _, resource = await _get(pool, target)
    found = items(part(resource, "@Redfish.Settings"), "Messages")
    said = [text(one, "Message") or text(one, "MessageId") or "" for one in found if _bad(one)]
    return "; ".join(line for line in said if line) or None


def as_text(value: object) -> str | None:
    """A value as people and the API write it."""
    return value if value is None or isinstance(value, str) else str(value)


async def _get(pool: RedfishPool, target: Target) -> tuple[str, Resource]:
    path = link(await systems.get(pool, target), "Bios")
    if path is None:
        raise errors.NotSupported(
            f"{target.name} tells nothing of BIOS settings.", hint="Check its firmware and its licence."
        )
    return path, await pool.get(target, path)


def _attributes(resource: Resource) -> Resource:
    return part(resource, "Attributes")


def _settings_path(resource: Resource) -> str | None:
    return link(part(resource, "@Redfish.Settings"), "SettingsObject")


def _bad(message: Resource) -> bool:
    return (text(message, "Severity") or text(message, "MessageSeverity") or "OK") != "OK"


async def _registry(pool: RedfishPool, target: Target, resource: Resource) -> dict[str, Resource]:
    """Setting -> its entry in the attribute registry; empty where the service has none."""
    wanted = text(resource, "AttributeRegistry")
    listing = link(await pool.get(target, target.root), "Registries")
    if wanted is None or listing is None:
        return {}
    for path, file in await pool.collect(target, listing):
        if wanted in (text(file, "Id"), text(file, "Registry")) or path.rstrip("/").endswith(wanted):
            for location in items(file, "Location"):
                address = text(location, "Uri")
                if address and (text(location, "Language") or "en").startswith("en"):
                    entries = items(part(await pool.get(target, address), "RegistryEntries"), "Attributes")
                    return {text(entry, "AttributeName") or "": entry for entry in entries}
    return {}


def _setting(name: str, value: object, entry: Resource) -> Setting:
    values = [text(one, "ValueName") for one in items(entry, "Value")]
    return Setting(
        name=name,
        value=as_text(value),
        attribute_type=text(entry, "Type"),
        allowable_values=[one for one in values if one] or None,
        lower_bound=_whole(entry, "LowerBound"),
        upper_bound=_whole(entry, "UpperBound"),
        min_length=_whole(entry, "MinLength"),
        max_length=_whole(entry, "MaxLength"),
        read_only=_flag(entry, "ReadOnly"),
        reset_required=_flag(entry, "ResetRequired"),
        unique=_flag(entry, "IsSystemUniqueProperty"),
    )


def _whole(entry: Resource, name: str) -> int | None:
    value = number(entry, name)
    return None if value is None else int(value)


def _flag(entry: Resource, name: str) -> bool | None:
    value = entry.get(name)
    return value if isinstance(value, bool) else None


def _typed(value: str, present: object) -> object:
    """``value`` in the type of the present value: services refuse "8" where they hold 8."""
    if isinstance(present, bool):
        return value.lower() == "true"
    if isinstance(present, int):
        try:
            return int(value)
        except ValueError:
            raise errors.Invalid(f'A BIOS setting that is {present} cannot be "{value}"') from None
    return value
