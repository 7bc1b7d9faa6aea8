"""The API's microversions: one row each, saying what it shows, accepts and can filter by.

Why: hiding fields, refusing filters and refusing bodies must all follow from the same table. Routes carry their own
first version (server.py), verbs theirs (domain/states.py). May not: know HTTP beyond the two version headers.
Invariant: rows are numbered 1..MAX without a gap. Source: Ironic's published version history and its wire.
"""

from __future__ import annotations

import functools

import msgspec

from ingot.domain import errors

MIN = 1
MAX = 115
HEADER = "x-openstack-ironic-api-version"
_SERVICE = "baremetal"


class Row(msgspec.Struct, frozen=True):
    """One microversion 1.N. ``shows``: resource -> fields that appear; ``filters``: resource -> list arguments."""

    summary: str
    shows: dict[str, tuple[str, ...]] = {}
    filters: dict[str, tuple[str, ...]] = {}


_NODE_1 = (
    "uuid created_at updated_at chassis_uuid console_enabled driver driver_info extra instance_info instance_uuid "
    "last_error maintenance maintenance_reason power_state properties provision_state provision_updated_at reservation "
    "target_power_state target_provision_state links ports"
)
_STEPLIST = "uuid name steps extra created_at updated_at links"
_RULE = "uuid description priority sensitive phase conditions actions"
_ALLOCATION = (
    "uuid candidate_nodes created_at extra last_error links name node_uuid resource_class state traits updated_at"
)
_COMMON = ("extra", "created_at", "updated_at", "links")
_PORTGROUP_23 = (
    "uuid address name extra internal_info node_uuid standalone_ports_supported created_at updated_at links ports"
)
_INTERFACES_31 = "boot console deploy inspect management power raid vendor"


def _node(text: str) -> dict[str, tuple[str, ...]]:
    return {"node": tuple(text.split())}


def _port(text: str) -> dict[str, tuple[str, ...]]:
    return {"port": tuple(text.split())}


TABLE: tuple[Row, ...] = (
    Row(
        "the first version",
        {
            **_node(_NODE_1),
            **_port("uuid address extra node_uuid created_at updated_at links"),
            "chassis": ("uuid", "description", "extra", "created_at", "updated_at", "links", "nodes"),
            "driver": ("name", "hosts", "links"),
            "conductor": ("hostname", "conductor_group", "alive", "drivers", "created_at", "updated_at", "links"),
            "history": ("uuid", "created_at", "severity", "event", "event_type", "conductor", "user", "links"),
        },
        {
            # project, retired, description_contains and conductor_groups are newer, but Ironic never refused them.
            "node": (
                "chassis_uuid",
                "instance_uuid",
                "associated",
                "maintenance",
                "project",
                "retired",
                "description_contains",
            ),
            "port": ("node", "node_uuid", "address", "conductor_groups", "description_contains"),
            "portgroup": ("node", "address", "conductor_groups"),
        },
    ),
    Row("the state available, null before"),
    Row("driver_internal_info", _node("driver_internal_info")),
    Row("the state manageable, verbs manage and provide"),
    Row("node names", _node("name")),
    Row("inspection", _node("inspection_started_at inspection_finished_at")),
    Row("the present clean step", _node("clean_step")),
    Row("choice of fields"),
    Row("filter by provision state", {}, _node("provision_state")),
    Row("names of all unreserved characters"),
    Row("new nodes start in enroll"),
    Row("RAID configuration", _node("raid_config target_raid_config")),
    Row("verb abort"),
    Row("links to states and driver properties", {**_node("states"), "driver": ("properties",)}),
    Row("manual cleaning"),
    Row("filter by driver", {}, _node("driver")),
    Row("verb adopt"),
    Row("port internal_info", _port("internal_info")),
    Row("port connection", _port("local_link_connection pxe_enabled")),
    Row("network interface", _node("network_interface")),
    Row("resource class", _node("resource_class"), _node("resource_class")),
    Row("lookup and heartbeat"),
    Row("port groups", {"portgroup": tuple(_PORTGROUP_23.split())}),
    Row("ports of port groups", {**_node("portgroups"), **_port("portgroup_uuid")}, _port("portgroup")),
    Row("chassis can be unset"),
    Row("port group mode", {"portgroup": ("mode", "properties")}),
    Row("soft power actions and their timeout"),
    Row("virtual interfaces"),
    Row("inject NMI"),
    Row("driver types", {"driver": ("type",)}, {"driver": ("type", "detail")}),
    Row("interfaces of nodes", _node(" ".join(f"{name}_interface" for name in _INTERFACES_31.split()))),
    Row(
        "volumes",
        {
            **_node("volume"),
            "connectors": ("uuid", "node_uuid", "type", "connector_id", *_COMMON),
            "targets": ("uuid", "node_uuid", "volume_type", "volume_id", "boot_index", "properties", *_COMMON),
        },
    ),
    Row("storage interface", _node("storage_interface")),
    Row("physical network of ports", _port("physical_network")),
    Row("config drive on rebuild"),
    Row("agent version in heartbeats"),
    Row("traits", _node("traits")),
    Row("rescue", _node("rescue_interface")),
    Row("the state inspect wait, inspecting before"),
    Row("BIOS settings", _node("bios_interface")),
    Row("abort of inspect wait"),
    Row("fault", _node("fault"), _node("fault")),
    Row("detail argument of lists", {}, dict.fromkeys(("node", "port", "chassis", "portgroup"), ("detail",))),
    Row("the present deploy step", _node("deploy_step")),
    Row("reset of interfaces"),
    Row("conductor groups", _node("conductor_group"), _node("conductor_group")),
    Row("automated cleaning per node", _node("automated_clean")),
    Row("protected nodes", _node("protected protected_reason")),
    Row("conductors", _node("conductor"), _node("conductor")),
    Row("owner", _node("owner"), _node("owner")),
    Row("description", _node("description")),
    Row("allocations", {**_node("allocation_uuid"), "allocation": tuple(_ALLOCATION.split())}),
    Row("smart NICs", _port("is_smartnic")),
    Row("events"),
    Row("deploy templates", {"deploy_templates": tuple(_STEPLIST.split())}),
    Row("config drive as an object"),
    Row("change of allocations"),
    Row("allocation of a given node"),
    Row("vendor data in config drives"),
    Row("owner of allocations", {"allocation": ("owner",)}),
    Row("retired nodes", _node("retired retired_reason")),
    Row("agent tokens"),
    Row("indicators"),
    Row("network type of ports"),
    Row("lessee", _node("lessee"), _node("lessee")),
    Row("network data", _node("network_data")),
    Row("choice of port for virtual interfaces"),
    Row("agent certificates"),
    Row("steps given with a deployment"),
    Row("cleaning without a ramdisk"),
    Row("scoped roles"),
    Row("agent status in heartbeats"),
    Row("verbs deploy and undeploy"),
    Row("BIOS registry"),
    Row("boot mode and secure boot", _node("boot_mode secure_boot")),
    Row("change of boot mode and secure boot"),
    Row("choice of driver fields", {}, {"driver": ("fields",)}),
    Row("node history"),
    Row("allocations prefer a node of their name"),
    Row("project administrators own nodes"),
    Row("inventory"),
    Row("shards", _node("shard"), {"node": ("shard", "sharded"), "port": ("shard",)}),
    Row("child nodes", _node("parent_node"), _node("parent_node include_children")),
    Row("inspection callback"),
    Row("hold and unhold"),
    Row("firmware", _node("firmware_interface")),
    Row("service", _node("service_step")),
    Row("port names", _port("name")),
    Row("virtual media"),
    Row("OVN VTEP links"),
    Row("no special suffix .json"),
    Row("runbooks", {"runbooks": (*_STEPLIST.split(), "disable_ramdisk", "public", "owner")}),
    Row("attached virtual media"),
    Row("ports created by node name"),
    Row("power off can be disabled", _node("disable_power_off")),
    Row(
        "inspection rules",
        {"inspection_rules": tuple(f"{_RULE} created_at updated_at links".split())},
    ),
    Row("port description", _port("description")),
    Row("escapes in patch paths"),
    Row("filter by conductor groups"),
    Row("port vendor", _port("vendor")),
    Row("port category", _port("category")),
    Row("physical network of port groups", {"portgroup": ("physical_network",)}),
    Row("port group category", {"portgroup": ("category",)}),
    Row("instance name", _node("instance_name"), _node("instance_name")),
    Row("OVN VTEP links gone"),
    Row("filter port groups by shard", {}, {"portgroup": ("shard",)}),
    Row("a second request id header"),
    Row("service without a ramdisk"),
    Row("health", _node("health")),
    Row("abort of wait call-back"),
    Row(
        "dynamic port groups",
        {**_port("available_for_dynamic_portgroup"), "portgroup": ("dynamic_portgroup",)},
    ),
    Row("runbook traits", {"runbooks": ("description", "traits")}),
    Row("project in history", {"history": ("project",)}),
    Row("firmware vendor and model"),
    Row("states in history", {"history": ("state", "target_provision_state", "duration_seconds")}),
)


@functools.cache
def since(resource: str) -> dict[str, int]:
    """Every field of ``resource`` with the microversion that first shows it."""
    return {name: number for number, row in enumerate(TABLE, 1) for name in row.shows.get(resource, ())}


@functools.cache
def filters_since(resource: str) -> dict[str, int]:
    """Every list argument of ``resource`` beyond paging, with its first microversion."""
    return {name: number for number, row in enumerate(TABLE, 1) for name in row.filters.get(resource, ())}


@functools.cache
def fields(resource: str, version: int) -> tuple[str, ...]:
    """The fields of ``resource`` that 1.``version`` shows."""
    return tuple(name for name, first in since(resource).items() if first <= version)


def require(version: int, first: int) -> None:
    """Raise errors.NotAcceptable when the request's microversion is older than 1.``first``."""
    if version < first:
        raise errors.NotAcceptable(hint=f"The minimal required API version should be 1.{first}.")


def require_fields(resource: str, names: tuple[str, ...], version: int) -> None:
    """Refuse fields that do not exist (errors.Invalid) or not yet (errors.NotAcceptable)."""
    known = since(resource)
    for name in names:
        if name not in known:
            wrong = f"Field {name} is not a valid field" if resource == "node" else f'Field(s) "{name}" are not valid'
            raise errors.Invalid(wrong, hint=f"There are: {', '.join(known)}.")
        require(version, known[name])


def require_filters(resource: str, names: tuple[str, ...], version: int) -> None:
    """Refuse list arguments newer than the request's microversion (errors.NotAcceptable; detail: errors.Invalid)."""
    known = filters_since(resource)
    for name in names:
        if name == "detail" and version < known.get(name, 1):
            raise errors.Invalid("Invalid query parameter ?detail=True received.", hint=f"It needs 1.{known[name]}.")
        require(version, known.get(name, 1))


class Unknown(errors.IngotError):
    """The version header cannot be read as a version."""


def negotiate(headers: dict[str, str]) -> int:
    """The microversion N of 1.N that a request asks for; without a header 1.

    The standard header wins over the older one; of several versions in one header the last counts. Raises Unknown for
    text that is no version, errors.NotAcceptable for a version out of range.
    """
    asked = _standard(headers.get("openstack-api-version")) or headers.get(HEADER, "").rpartition(",")[2].strip()
    if not asked:
        return MIN
    if asked.lower() == "latest":
        return MAX
    major, minor = _parse(asked)
    reach = f"The supported version range is: [1.{MIN}, 1.{MAX}]."
    if major != 1:
        raise errors.NotAcceptable(
            f"Mutually exclusive versions requested. Version {major}.{minor} requested but not supported by this "
            f"service. {reach}"
        )
    if not MIN <= minor <= MAX:
        raise errors.NotAcceptable(
            f"Version 1.{minor} was requested but the minor version is not supported by this service. {reach}"
        )
    return minor


def _standard(value: str | None) -> str | None:
    """The last version for our service in ``OpenStack-API-Version: <service> <version>[, ...]``, or None."""
    for part in reversed((value or "").split(",")):
        words = part.split(None, 1)
        if len(words) == 2 and words[0].lower() == _SERVICE:
            return words[1].strip()
    return None


def _parse(text: str) -> tuple[int, int]:
    """Major and minor number, written as Ironic reads them, which takes all that Python calls a number."""
    try:
        major, minor = text.split(".")
        return int(major), int(minor)
    except ValueError as error:
        raise Unknown("Invalid value for X-OpenStack-Ironic-API-Version header") from error
