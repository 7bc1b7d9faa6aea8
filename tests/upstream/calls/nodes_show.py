"""One node at every microversion, and what is asked of it by ``fields``."""

from __future__ import annotations

from upstream.call import Call, add, delete, flat, get, gets, patch, post, uuid

_N, _C, _P = uuid(1, 1), uuid(2, 1), uuid(1, 2)
_FULL = {
    "uuid": _N,
    "name": "full",
    "driver": "fake-hardware",
    "driver_info": {"deploy_kernel": "http://k", "ipmi_password": "secret", "nested": {"password": "secret"}},
    "instance_info": {"image_source": "http://i", "image_checksum": "00", "configdrive": "secret", "image_url": "x"},
    "properties": {"cpus": 1, "memory_mb": "1024", "capabilities": "boot_mode:uefi"},
    "extra": {"word": "é", "list": [1, 2.5, None, True]},
    "chassis_uuid": _C,
    "resource_class": "large",
    "conductor_group": "",
    "automated_clean": False,
    "description": "A node",
    "lessee": "others",
    "network_data": {},
    "shard": "one",
    "parent_node": _P,
    "disable_power_off": True,
    "bios_interface": "fake",
    "rescue_interface": "fake",
}
_FIELDS = (
    "uuid name driver driver_info driver_internal_info instance_info instance_uuid properties extra power_state "
    "target_power_state provision_state target_provision_state provision_updated_at last_error maintenance "
    "maintenance_reason fault reservation console_enabled clean_step deploy_step service_step raid_config "
    "target_raid_config chassis_uuid resource_class conductor_group automated_clean protected protected_reason "
    "conductor owner description allocation_uuid retired retired_reason lessee network_data boot_mode secure_boot "
    "shard parent_node firmware_interface network_interface storage_interface bios_interface rescue_interface "
    "boot_interface traits inspection_started_at inspection_finished_at disable_power_off instance_name health"
)
_ODD = ("created_at", "updated_at", "links", "ports", "portgroups", "states", "volume", "children", "nothing", "id")

CALLS: list[Call] = flat(
    post("/v1/chassis", {"uuid": _C}),
    post("/v1/nodes", {"driver": "fake-hardware", "uuid": _P}),
    post("/v1/nodes", _FULL),
    patch(f"/v1/nodes/{_N}", add("/owner", "them")),
    get(f"/v1/nodes/{_N}").at(None, "latest", *range(1, 116)),
    get("/v1/nodes/full").around(5, 10),
    gets("/v1/nodes/", "none", uuid(1, 99), "full.", "FULL", _N.upper(), _N.replace("-", "")),
    [get(f"/v1/nodes/{_N}?fields={name}") for name in (*_FIELDS.split(), *_ODD)],
    get(f"/v1/nodes/{_N}?fields=uuid").around(8),
    [one for name in ("name", "clean_step", "traits", "owner") for one in get(f"/v1/nodes/{_N}?fields={name}").at(8)],
    get(f"/v1/nodes/{_N}?fields=health").around(109),
    get(f"/v1/nodes/{_N}?fields=conductor").around(49),
    get(f"/v1/nodes/{_N}?fields=states").around(14),
    gets(f"/v1/nodes/{_N}?", "fields=", "fields=,", "fields=uuid,uuid", "fields=uuid&fields=name"),
    get(f"/v1/nodes/{_N}?fields=uuid,%20name"),
    gets(f"/v1/nodes/{_N}?", "detail=true", "fields=uuid&detail=true", "limit=1", "fields=uuid,nothing", "node=x"),
    get(f"/v1/nodes/{_N}/states").around(2, 12, 75),
    get("/v1/nodes/full/states").around(5),
    gets(f"/v1/nodes/{_N}/", "states?fields=uuid", "children", "traits", "history", "inventory", "vifs", "bios"),
    delete(f"/v1/nodes/{_P}"),
    get(f"/v1/nodes/{_N}"),
)
