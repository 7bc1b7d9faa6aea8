"""What clients may write on a node, a port and a chassis: the fields, their types and sizes.

Why: create and patch must accept exactly the same. May not: read the database. Invariant: a draft that was converted
holds no value of a wrong type.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec

from ingot.domain import errors, ids, schema_texts, truth, typed

Text = Annotated[str, msgspec.Meta(max_length=255)]
Long = Annotated[str, msgspec.Meta(max_length=4096)]
Object = dict[str, Any]

T = TypeVar("T", bound=msgspec.Struct)


class NodeDraft(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A node as clients write it."""

    driver: Text
    uuid: str | None = None
    name: Text | None = None
    automated_clean: bool | None = None
    bios_interface: Text | None = None
    boot_interface: Text | None = None
    chassis_uuid: str | None = None
    conductor_group: Text | None = None
    console_interface: Text | None = None
    deploy_interface: Text | None = None
    description: Long | None = None
    disable_power_off: bool | None = None
    driver_info: Object | None = None
    extra: Object | None = None
    firmware_interface: Text | None = None
    inspect_interface: Text | None = None
    instance_info: Object | None = None
    instance_name: Annotated[str, msgspec.Meta(min_length=1, max_length=255)] | None = None
    instance_uuid: str | None = None
    lessee: Text | None = None
    maintenance: bool | None = None
    management_interface: Text | None = None
    network_data: Object | None = None
    network_interface: Text | None = None
    owner: Text | None = None
    parent_node: Text | None = None
    power_interface: Text | None = None
    properties: Object | None = None
    protected: bool | None = None
    protected_reason: Long | None = None
    raid_interface: Text | None = None
    rescue_interface: Text | None = None
    resource_class: Annotated[str, msgspec.Meta(max_length=80)] | None = None
    retired: bool | None = None
    retired_reason: Long | None = None
    shard: Text | None = None
    storage_interface: Text | None = None
    vendor_interface: Text | None = None


class PortDraft(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A port as clients write it."""

    address: str
    uuid: str | None = None
    node_uuid: str | None = None
    node_ident: str | None = None
    name: Text | None = None
    description: Text | None = None
    vendor: Text | None = None
    category: Annotated[str, msgspec.Meta(max_length=80)] | None = None
    portgroup_uuid: str | None = None
    physical_network: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    pxe_enabled: bool | None = None
    is_smartnic: bool | None = None
    available_for_dynamic_portgroup: bool | None = None
    extra: Object | None = None
    local_link_connection: Object | None = None


class PortgroupDraft(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A port group as clients write it."""

    node_uuid: str
    uuid: str | None = None
    address: str | None = None
    name: Text | None = None
    mode: Text | None = None
    standalone_ports_supported: bool | None = None
    physical_network: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    category: Annotated[str, msgspec.Meta(max_length=80)] | None = None
    extra: Object | None = None
    properties: Object | None = None


class ChassisDraft(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A chassis as clients write it."""

    uuid: str | None = None
    description: Text | None = None
    extra: Object | None = None


_FLAGS = frozenset(
    {
        "automated_clean",
        "disable_power_off",
        "maintenance",
        "protected",
        "retired",
        "pxe_enabled",
        "is_smartnic",
        "available_for_dynamic_portgroup",
        "standalone_ports_supported",
    }
)
_COUNTS = ("local_gb", "memory_mb")
"""Properties that other programs calculate with."""
_UUIDS = ("uuid", "node_uuid", "chassis_uuid", "instance_uuid", "portgroup_uuid")


def convert(body: dict[str, Any], kind: type[T], what: str) -> T:
    """``body`` as a draft. Raises errors.Invalid naming ``what`` and the field."""
    values = {name: flag(name, value) if name in _FLAGS else value for name, value in body.items()}
    try:
        found = typed.convert(values, kind)
    except msgspec.ValidationError as error:
        text = f"Schema error for {what}: {schema_texts.told(error, values)}"
        raise errors.Invalid(text, hint="Correct the field and send again.") from error
    for name in _UUIDS:
        value: str | None = getattr(found, name, None)
        if value is not None and not ids.is_uuid(value):
            raise errors.Invalid(f"Expected UUID for {name}: {value}")
    for name in found.__struct_fields__:
        value = getattr(found, name)
        if isinstance(value, str) and "\0" in value:
            raise errors.Invalid(f"Schema error for {what}: {name} holds a NUL character")
    return found


def check_address(text: str) -> str:
    """A MAC address in lower case. Raises errors.Invalid for other texts, dashes included."""
    if "-" in text:
        raise errors.Invalid(f"Expected valid MAC address for address: {text}", hint="Write it with colons.")
    try:
        return ids.mac(text)
    except errors.Invalid as error:
        raise errors.Invalid(f"Expected valid MAC address for address: {text}", hint=error.hint) from error


def check_properties(properties: dict[str, Any] | None) -> None:
    """Raise errors.Invalid when a size in a node's properties is no number, or a negative one."""
    for name in _COUNTS:
        value = (properties or {}).get(name)
        try:
            wrong = value is not None and int(value) < 0
        except (ValueError, TypeError, OverflowError):
            wrong = True
        if wrong:
            raise errors.Invalid(
                f"The following properties should be non-negative integers, but provided values are: {name}={value}"[
                    :300
                ]
            )


def flag(name: str, value: Any) -> Any:
    """A truth value that came as JSON or as a word; other JSON is left for the type check to refuse."""
    return truth.read(name, value) if isinstance(value, str) else value
