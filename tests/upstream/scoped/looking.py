"""Everything that can be read, as everybody: what is hidden, what is left out, what is masked."""

from __future__ import annotations

from collections.abc import Mapping

from upstream.call import Call, by, flat, get
from upstream.scoped import place

_OF_NODE = (
    "",
    "?fields=uuid,owner,lessee,driver_info,last_error",
    *(f"/{part}" for part in ("states", "traits", "vifs", "bios", "firmware", "history", "inventory", "children")),
    *(f"/{part}" for part in ("ports", "portgroups", "volume", "volume/connectors", "volume/targets", "allocation")),
    *(f"/{part}" for part in ("states/console", "management/boot_device", "management/indicators", "validate")),
    "/vendor_passthru/methods",
    "/management/boot_device/supported",
    "/vmedia",
)
_LISTS = (
    "/v1/nodes",
    "/v1/nodes/detail",
    "/v1/nodes?fields=name,driver_info,instance_info,reservation,last_error",
    "/v1/nodes?include_children=true",
    f"/v1/nodes?parent_node={place.OURS}",
    "/v1/nodes?shard=s1",
    "/v1/nodes?owner={owner}",
    "/v1/nodes?lessee={lessee}",
    "/v1/nodes?project={owner}",
    "/v1/nodes?project={third}",
    "/v1/nodes/validate?node=ours",
    *(f"/v1/{kind}{end}" for kind in ("ports", "portgroups") for end in ("", "/detail", f"?node={place.OURS}")),
    f"/v1/ports?node={place.THIRDS}",
    f"/v1/ports?portgroup={place.GROUP}",
    "/v1/ports?address=52:54:00:00:00:02",
    "/v1/ports?shard=s1",
    f"/v1/portgroups/{place.GROUP}/ports",
    f"/v1/portgroups?node={place.THIRDS}",
    "/v1/volume",
    *(f"/v1/volume/{kind}{end}" for kind in ("connectors", "targets") for end in ("", "?detail=true")),
    f"/v1/volume/targets?node={place.THIRDS}",
    "/v1/runbooks",
    "/v1/runbooks?detail=true",
    "/v1/runbooks?project={owner}",
    "/v1/deploy_templates?detail=true",
    "/v1/inspection_rules",
    "/v1/inspection_rules?detail=true",
    "/v1/allocations",
    "/v1/allocations?owner={owner}",
    "/v1/allocations?owner={third}",
    "/v1/allocations?state=error",
    "/v1/chassis",
    "/v1/chassis/detail",
    f"/v1/chassis/{place.CHASSIS}/nodes",
    *("/v1/drivers", "/v1/drivers?detail=true", "/v1/drivers/fake-hardware", "/v1/drivers/fake-hardware/properties"),
    "/v1/drivers/fake-hardware/raid/logical_disk_properties",
    "/v1/drivers/fake-hardware/vendor_passthru/methods",
    *(
        "/v1/conductors?fields=hostname",
        "/v1/conductors/here?fields=hostname",
        "/v1/shards",
        "/v1/nothing",
        "/v1",
        "/v1/lookup",
    ),
)
_ONES = (
    *(f"/v1/nodes/{one}" for one in (place.THIRDS, "thirds", "nobodys", "child", "none", "thirds/states")),
    *(f"/v1/ports/{one}" for one in (place.PORT, "00000002-0000-4000-8000-000000000002")),
    *(f"/v1/portgroups/{one}" for one in (place.GROUP, "bond1")),
    *(f"/v1/volume/connectors/{one}" for one in (place.CONNECTOR, "00000008-0000-4000-8000-000000000002")),
    *(f"/v1/volume/targets/{one}" for one in (place.TARGET, "00000009-0000-4000-8000-000000000002")),
    *(f"/v1/runbooks/{one}" for one in (place.OWNED, place.OPEN, place.BARE, "CUSTOM_OWNED")),
    f"/v1/runbooks/{place.OWNED}/traits",
    f"/v1/deploy_templates/{place.TEMPLATE}",
    f"/v1/inspection_rules/{place.RULE}",
    *(f"/v1/allocations/{one}" for one in (place.ALLOCATION, place.OTHERS, "none")),
    f"/v1/chassis/{place.CHASSIS}",
)


def asked(projects: Mapping[str, str]) -> list[Call]:
    """What each caller asks."""
    paths = (*_LISTS, *_ONES, *(f"/v1/nodes/{place.OURS}{end}" for end in _OF_NODE))
    return [get(path.format(**projects)) for path in paths]


def calls(projects: Mapping[str, str]) -> list[Call]:
    """The scenario."""
    return flat(place.made(projects), *(by(who, asked(projects)) for who in place.CALLERS))
