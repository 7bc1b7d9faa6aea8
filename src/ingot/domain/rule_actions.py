"""What the actions of inspection rules do to a record of the inspected node; the flow writes the record afterwards.

May not: do I/O: what must leave the process (a log line, a call) is given back. Invariants: only fields that an
operator may set are set, with values of their type; a failed action raises errors.Invalid.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import msgspec

from ingot.domain import capabilities, errors, ids, node, traits, typed

_FIXED = frozenset(
    {
        *("uuid", "provision_state", "target_provision_state", "provision_updated_at", "power_state"),
        *("target_power_state", "last_error", "fault", "console_enabled", "clean_step", "deploy_step", "service_step"),
        *("raid_config", "created_at", "updated_at", "agent_url", "agent_version", "agent_heartbeat_at"),
        *("agent_verify_ca", "reservation", "traits", "inspection_started_at", "inspection_finished_at", "health"),
        *("allocation_uuid", "parent_node", "chassis_uuid", "instance_uuid"),
    }
)
"""Fields of a node that its flows keep, or that name other objects."""
_FIXED_OF_PORTS = frozenset(
    {"uuid", "node_uuid", "address", "portgroup_uuid", "internal_info", "created_at", "updated_at"}
)
_LEVELS = frozenset({"debug", "info", "warning", "error", "critical"})


class Said(msgspec.Struct, frozen=True):
    """A line for the log."""

    text: str
    level: str


class Fetch(msgspec.Struct, frozen=True):
    """An HTTP GET. ``timeout`` and ``pause`` (grows with every try) in seconds; ``tries`` more after the first."""

    url: str
    headers: dict[str, str]
    proxy: str | None
    timeout: float
    tries: int
    pause: float


@dataclass
class Record:
    """An inspected node while rules are applied to it. ``node``: its fields; ``ports``: by their fields."""

    node: dict[str, Any]
    traits: list[str]
    ports: list[dict[str, Any]]
    plugin_data: dict[str, Any]


class Findings(msgspec.Struct, frozen=True):
    """What rules changed: node columns, all traits or None, columns of ports by uuid, plugin data or None."""

    node: dict[str, Any]
    traits: tuple[str, ...] | None
    ports: dict[str, dict[str, Any]]
    plugin_data: dict[str, Any] | None


class Failed(errors.Refused):
    """The inspection is to fail, as an action says."""


def act(name: str, given: dict[str, Any], record: Record) -> Said | Fetch | None:
    """Do an action to ``record``; what else it asks for is given back. Raises errors.Invalid, Failed."""
    return _ACTS[name](given, record)


def difference(before: Record, after: Record) -> Findings:
    """What has to be written. Raises errors.Invalid for a value that its field cannot hold."""
    changed = {name: value for name, value in after.node.items() if value != before.node[name]}
    ports: dict[str, dict[str, Any]] = {}
    for old, new in zip(before.ports, after.ports, strict=True):
        columns = {name: value for name, value in new.items() if value != old[name]}
        if columns:
            ports[new["uuid"]] = _typed(columns, node.Port)
    return Findings(
        node=_typed(changed, node.Node),
        traits=tuple(after.traits) if after.traits != before.traits else None,
        ports=ports,
        plugin_data=after.plugin_data if after.plugin_data != before.plugin_data else None,
    )


def _typed(columns: dict[str, Any], kind: type[msgspec.Struct]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind):
        if field.name not in columns:
            continue
        try:
            found[field.name] = typed.convert(columns[field.name], field.type, strict=False)
        except msgspec.ValidationError as error:
            raise errors.Invalid(f"{field.name} cannot be {columns[field.name]!r}: {error}") from error
    if not ids.is_name(found.get("name") or "x"):
        raise errors.Invalid(f"{found['name']!r} is no name", hint="Use letters, digits, '.', '_', '~' and '-'.")
    return found


def _path(text: Any) -> list[str]:
    """The parts of ``a.b`` or ``/a/b``."""
    whole = str(text)
    return whole.strip("/").split("/") if "/" in whole else whole.split(".")


def _place(owner: dict[str, Any], parts: list[str], fixed: frozenset[str]) -> dict[str, Any]:
    """The object that holds the last of ``parts``; objects on the way are made."""
    if parts[0] not in owner or parts[0] in fixed:
        raise errors.Invalid(f"the field {parts[0]!r} is none that a rule may change", hint="Correct the path.")
    place = owner
    for part in parts[:-1]:
        below = place.setdefault(part, {})
        if not isinstance(below, dict):
            raise errors.Invalid(f"{part!r} holds {type(below).__name__}, not an object", hint="Correct the path.")
        place = cast("dict[str, Any]", below)
    return place


def _set(owner: dict[str, Any], given: dict[str, Any], fixed: frozenset[str]) -> None:
    parts = _path(given["path"])
    _place(owner, parts, fixed)[parts[-1]] = given["value"]


def _extend(owner: dict[str, Any], given: dict[str, Any], fixed: frozenset[str]) -> None:
    parts = _path(given["path"])
    place = _place(owner, parts, fixed)
    if place.get(parts[-1]) is None:
        place[parts[-1]] = []
    found = place[parts[-1]]
    if not isinstance(found, list):
        raise errors.Invalid(f"{given['path']} is not a list and cannot be extended", hint="Correct the path.")
    _append(cast("list[Any]", found), given)


def _append(found: list[Any], given: dict[str, Any]) -> None:
    if not given.get("unique") or given["value"] not in found:
        found.append(given["value"])


def _delete(owner: dict[str, Any], given: dict[str, Any], kind: type[msgspec.Struct], fixed: frozenset[str]) -> None:
    parts = _path(given["path"])
    place = _place(owner, parts, fixed)
    if len(parts) == 1:
        field = next(each for each in msgspec.structs.fields(kind) if each.name == parts[0])
        if field.required:
            raise errors.Invalid(f"{parts[0]} cannot be without a value", hint="Set another one.")
        place[parts[0]] = copy.copy(field.default) if field.default is not msgspec.NODEFAULT else {}
    elif place.pop(parts[-1], None) is None:
        raise errors.Invalid(f"there is no {given['path']}", hint="Let a condition ask whether it is there.")


def _port(given: dict[str, Any], record: Record) -> dict[str, Any]:
    wanted = str(given["port_id"])
    for port in record.ports:
        if wanted in {port["uuid"], port["address"], port["name"]}:
            return port
    raise errors.Invalid(f"Port {wanted} could not be found on the node", hint="Name it by uuid, name or MAC address.")


def _capability(given: dict[str, Any], record: Record, *, keep: bool) -> None:
    found = capabilities.read(record.node["properties"].get("capabilities"))
    found.pop(str(given["name"]), None)
    if keep:
        found[str(given["name"])] = str(given["value"])
    record.node["properties"]["capabilities"] = ",".join(f"{name}:{value}" for name, value in found.items())


def _add_trait(given: dict[str, Any], record: Record) -> None:
    trait = traits.check(given["name"])
    if trait not in record.traits:
        record.traits.append(trait)
    if len(record.traits) > traits.MOST:
        raise errors.Invalid(f"A node may have {traits.MOST} traits", hint="Remove one first.")


def _remove_trait(given: dict[str, Any], record: Record) -> None:
    record.traits[:] = [trait for trait in record.traits if trait != given["name"]]


def _data_place(given: dict[str, Any], record: Record) -> tuple[dict[str, Any], str]:
    """The object in plugin data that holds the path's last part; objects on the way are made."""
    *above, last = str(given["path"]).split(".")
    place = record.plugin_data
    for part in above:
        below = place.setdefault(part, {})
        if not isinstance(below, dict):
            raise errors.Invalid(f"{part!r} holds {type(below).__name__}, not an object", hint="Correct the path.")
        place = cast("dict[str, Any]", below)
    return place, last


def _set_data(given: dict[str, Any], record: Record) -> None:
    place, last = _data_place(given, record)
    place[last] = given["value"]


def _extend_data(given: dict[str, Any], record: Record) -> None:
    place, last = _data_place(given, record)
    found: Any = place.get(last) or []
    if not isinstance(found, list):
        raise errors.Invalid(f"{given['path']} is not a list and cannot be extended", hint="Correct the path.")
    place[last] = found
    _append(cast("list[Any]", found), given)


def _unset_data(given: dict[str, Any], record: Record) -> None:
    """Take a key away, and with it an object that has no other; one that is not there is no error."""
    keys = str(given["path"]).split(".")
    places = [record.plugin_data]
    for key in keys[:-1]:
        below = places[-1].get(key)
        if not isinstance(below, dict):
            return
        places.append(cast("dict[str, Any]", below))
    places[-1].pop(keys[-1], None)
    if len(places) > 1 and not places[-1]:
        del places[-2][keys[-2]]


def _fail(given: dict[str, Any], record: Record) -> None:
    raise Failed(str(given["msg"]), hint="An inspection rule asks for this: mend the machine, or the rule.")


def _log(given: dict[str, Any], record: Record) -> Said:
    level = str(given.get("level", "info")).lower()
    if level not in _LEVELS:
        raise errors.Invalid(f"Invalid log level: {level}", hint=f"Choose from {', '.join(sorted(_LEVELS))}.")
    return Said(str(given["msg"]), level)


def _call(given: dict[str, Any], record: Record) -> Fetch:
    url = str(given["url"])
    proxies: dict[str, str] = given.get("proxies") or {}
    headers: dict[str, Any] = given.get("headers") or {}
    try:
        timeout, tries = float(given.get("timeout", 5)), int(given.get("retries", 3))
        pause = float(given.get("backoff_factor", 0.3))
        shown = {str(name): str(value) for name, value in headers.items()}
        proxy = proxies.get(url.partition(":")[0])
    except (TypeError, ValueError, AttributeError) as error:
        raise errors.Invalid(f"Invalid parameter: {error}", hint="See the arguments of api-call.") from error
    if not url.startswith(("http://", "https://")) or timeout <= 0 or not 0 <= tries <= 10 or not 0 <= pause <= 60:
        raise errors.Invalid("Invalid parameter: url, timeout, retries or backoff_factor", hint="Correct the action.")
    return Fetch(url, shown, proxy, timeout, tries, pause)


_ACTS: dict[str, Callable[[dict[str, Any], Record], Said | Fetch | None]] = {
    "fail": _fail,
    "log": _log,
    "set-attribute": lambda given, record: _set(record.node, given, _FIXED),
    "extend-attribute": lambda given, record: _extend(record.node, given, _FIXED),
    "del-attribute": lambda given, record: _delete(record.node, given, node.Node, _FIXED),
    "set-capability": lambda given, record: _capability(given, record, keep=True),
    "unset-capability": lambda given, record: _capability(given, record, keep=False),
    "add-trait": _add_trait,
    "remove-trait": _remove_trait,
    "set-plugin-data": _set_data,
    "extend-plugin-data": _extend_data,
    "unset-plugin-data": _unset_data,
    "set-port-attribute": lambda given, record: _set(_port(given, record), given, _FIXED_OF_PORTS),
    "extend-port-attribute": lambda given, record: _extend(_port(given, record), given, _FIXED_OF_PORTS),
    "del-port-attribute": lambda given, record: _delete(_port(given, record), given, node.Port, _FIXED_OF_PORTS),
    "api-call": _call,
}
