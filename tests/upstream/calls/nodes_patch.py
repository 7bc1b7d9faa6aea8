"""JSON patch on a node: every field, every operation, paths and values of every wrong kind."""

from __future__ import annotations

from typing import Any

from upstream.call import Call, add, flat, get, patch, patches, post, put, remove, swap, uuid

_N, _M, _C = uuid(1, 1), uuid(1, 2), uuid(2, 1)
_PATH = f"/v1/nodes/{_N}"
_LONG = "x" * 256
_GOOD: tuple[tuple[str, int, Any], ...] = (
    ("name", 5, "new"),
    ("resource_class", 21, "big"),
    ("network_interface", 20, "noop"),
    ("boot_interface", 31, "ipxe"),
    ("deploy_interface", 31, "direct"),
    ("console_interface", 31, "fake"),
    ("inspect_interface", 31, "no-inspect"),
    ("management_interface", 31, "fake"),
    ("power_interface", 31, "fake"),
    ("raid_interface", 31, "fake"),
    ("vendor_interface", 31, "fake"),
    ("storage_interface", 33, "noop"),
    ("rescue_interface", 38, "fake"),
    ("bios_interface", 40, "fake"),
    ("automated_clean", 47, False),
    ("owner", 50, "them"),
    ("description", 51, "text"),
    ("lessee", 65, "others"),
    ("network_data", 66, {}),
    ("shard", 82, "a"),
    ("parent_node", 83, _M),
    ("firmware_interface", 86, "fake"),
    ("disable_power_off", 95, True),
    ("instance_name", 104, "vm"),
    ("driver_info", 1, {"a": "b", "password": "c"}),
    ("instance_info", 1, {"display_name": "shown"}),
    ("properties", 1, {"cpus": "2"}),
    ("extra", 1, {"x": [1]}),
    ("maintenance", 1, True),
    ("chassis_uuid", 1, _C),
    ("driver", 1, "fake-hardware"),
    ("instance_uuid", 1, uuid(9, 1)),
    ("retired", 61, True),
    ("retired_reason", 61, "old"),
    ("protected", 48, True),
    ("protected_reason", 48, "because"),
)
_CRASH = {"description": 200, "maintenance": 200}
_RESET = {"description": remove("/description"), "maintenance": swap("/maintenance", False)}
_READ_ONLY = (
    "uuid created_at updated_at links ports portgroups states volume power_state target_power_state provision_state "
    "target_provision_state provision_updated_at last_error reservation console_enabled clean_step deploy_step "
    "service_step raid_config target_raid_config traits fault conductor allocation_uuid maintenance_reason "
    "driver_internal_info inspection_started_at inspection_finished_at boot_mode secure_boot health id nothing"
)
_NULLABLE = (
    "name driver_info instance_info properties extra owner lessee description resource_class network_data shard "
    "instance_uuid chassis_uuid retired_reason protected_reason instance_name boot_interface parent_node"
)
_WRONG = (
    swap("/name", "a b"),
    swap("/name", ""),
    swap("/name", 1),
    swap("/name", "other"),
    swap("/name", _LONG),
    swap("/name", _M),
    swap("/driver", "none"),
    swap("/driver", None),
    swap("/driver", 1),
    swap("/properties", []),
    swap("/properties", "x"),
    swap("/properties/cpus", "many"),
    swap("/extra", 1),
    swap("/instance_uuid", "none"),
    swap("/chassis_uuid", "none"),
    swap("/chassis_uuid", uuid(2, 99)),
    swap("/maintenance", "maybe"),
    swap("/maintenance", "false"),
    swap("/maintenance", 1),
    swap("/automated_clean", "maybe"),
    swap("/protected", "maybe"),
    swap("/retired", 7),
    swap("/owner", 1),
    swap("/description", "x" * 4097),
    swap("/resource_class", "x" * 81),
    swap("/network_data", {"a": 1}),
    swap("/parent_node", "none"),
    swap("/boot_interface", "none"),
    swap("/boot_interface", ""),
    swap("/instance_name", ""),
    swap("/instance_name", _LONG),
    swap("/disable_power_off", "maybe"),
)
_FORMS: tuple[Any, ...] = (
    {"op": "add", "path": "/extra/a"},
    {"op": "add", "value": 1},
    {"path": "/extra/a", "value": 1},
    {"op": "test", "path": "/extra/a", "value": 1},
    {"op": "move", "from": "/extra/a", "path": "/extra/b"},
    {"op": "copy", "from": "/extra/a", "path": "/extra/b"},
    {"op": "ADD", "path": "/extra/a", "value": 1},
    {"op": "add", "path": "/extra/a", "value": 1, "more": 2},
    {"op": "remove", "path": "/extra/w", "value": 1},
    {"op": "add", "path": "extra/a", "value": 1},
    {"op": "add", "path": "", "value": {}},
    {"op": "add", "path": "/", "value": 1},
    {"op": "add", "path": "/extra/", "value": 1},
    {"op": "add", "path": "//extra", "value": 1},
    {"op": "add", "path": "/extra/a b", "value": 1},
    {"op": "add", "path": "/extra/a.b", "value": 1},
    {"op": "add", "path": "/extra/ü", "value": 1},
    {"op": "add", "path": "/extra/a:b", "value": 1},
    {"op": "add", "path": 1, "value": 1},
    {"op": None, "path": "/extra/a", "value": 1},
    {"op": "add", "path": None, "value": 1},
    add("/extra/new/deep", 1),
    add("/extra/list/-", 4),
    add("/extra/list/0", 0),
    add("/extra/list/99", 0),
    add("/extra/list/x", 0),
    swap("/extra/list/1", "one"),
    swap("/extra/missing", 1),
    swap("/extra/list/99", 1),
    remove("/extra/list/0"),
    remove("/extra/list/99"),
    remove("/extra/list/-"),
    remove("/extra/missing"),
    remove("/extra/missing/deep"),
    remove("/driver_info/missing"),
    add("/extra/word/below", 1),
    add("/driver_info/password", "new"),
    swap("/driver_info/password", "******"),
    remove("/driver_info/password"),
    remove("/driver_info/a"),
    add("/instance_info/configdrive", "x"),
    add("/name/below", 1),
    swap("/properties/capabilities", "boot_mode:bios"),
    add("/instance_info/traits", ["CUSTOM_A"]),
    "text",
    [],
    None,
    1,
)

CALLS: list[Call] = flat(
    post("/v1/chassis", {"uuid": _C}),
    post("/v1/nodes", {"uuid": _M, "driver": "fake-hardware", "name": "other"}),
    post("/v1/nodes", {"uuid": _N, "driver": "fake-hardware", "extra": {"list": [1, 2], "word": "w"}}),
    patch(_PATH),
    patch(_PATH, add("/extra/p", 1), remove("/extra/p")),
    patch(_PATH, swap("/name", "x"), remove("/q")),
    [
        one
        for name, first, value in _GOOD
        for one in (
            *patch(_PATH, swap(f"/{name}", value)).at(*([first - 1] if first > 1 else []), first),
            patch(_PATH, add(f"/{name}", value)),
            patch(_PATH, swap(f"/{name}", None), crash=_CRASH.get(name, 0)),
            *([patch(_PATH, _RESET[name])] if name in _RESET else []),
        )
    ],
    patches(_PATH, *(swap(f"/{name}", False) for name in ("maintenance", "retired", "disable_power_off"))),
    patch(_PATH, remove("/description")),
    get(_PATH),
    patches(_PATH, *(remove(f"/{name}") for name in _NULLABLE.split())),
    get(_PATH),
    patches(_PATH, *(swap(f"/{name}", "x") for name in _READ_ONLY.split())),
    patches(_PATH, *(add(f"/{name}", "x") for name in ("uuid", "created_at", "links", "power_state"))),
    patches(_PATH, *(remove(f"/{name}") for name in _READ_ONLY.split())),
    patches(_PATH, remove("/driver"), remove("/protected"), remove("/retired"), remove("/disable_power_off")),
    patches(_PATH, remove("/maintenance"), remove("/conductor_group"), remove("/automated_clean"), crash=200),
    patches(_PATH, *(swap(f"/{name}", False) for name in ("maintenance", "retired", "disable_power_off"))),
    [
        patch(_PATH, remove(f"/{name}"), version=f"1.{first - 1}", crash=200 * (name == "automated_clean"))
        for name, first, _ in _GOOD
        if first > 1
    ],
    patches(_PATH, *(swap(f"/{name}", False) for name in ("retired", "protected", "disable_power_off"))),
    patches(_PATH, *_WRONG),
    patches(_PATH, swap("/driver_info", {"a": "b", "password": "c"}), swap("/extra", {"list": [1, 2], "word": "w"})),
    patches(_PATH, *_FORMS),
    [patch(_PATH, add("/extra/a~1b", 1), version=version) for version in ("1.97", "1.98", "1.115")],
    patch(_PATH, swap("/extra", {})),
    [Call("PATCH", _PATH, body) for body in ({}, "x", 1, {"op": "add"}, b"", [[add("/extra/a", 1)]])],
    [Call("PATCH", _PATH, body, crash=400) for body in (b"null", b"[")],
    [patch("/v1/nodes/none", add("/extra/a", 1)), patch("/v1/nodes/other", add("/extra/a", 1), version="1.4")],
    patch("/v1/nodes/other", add("/extra/a", 1), version="1.5"),
    patch(f"{_PATH}?x=1", add("/extra/a", 1)),
    [patch(f"{_PATH}?reset_interfaces={text}", add("/extra/a", 1)) for text in ("true", "false", "maybe", "")],
    patch(f"{_PATH}?reset_interfaces=true", swap("/driver", "fake-hardware")).around(45),
    patch(f"{_PATH}?reset_interfaces=true", swap("/driver", "fake-hardware"), swap("/boot_interface", "http")),
    patch(_PATH, add("/instance_uuid", uuid(9, 1))),
    patch(_PATH, add("/instance_uuid", uuid(9, 2))),
    patch(_PATH, add("/instance_uuid", uuid(9, 1))),
    patch(f"/v1/nodes/{_M}", add("/instance_uuid", uuid(9, 1))),
    patch(_PATH, remove("/instance_uuid")),
    put(f"{_PATH}/maintenance", {"reason": "why"}),
    patch(_PATH, swap("/maintenance", False)),
    patch(_PATH, add("/instance_info/display_name", "shown")),
    patch(_PATH, add("/instance_info/display_name", "again")),
    get(_PATH),
    patches(_PATH, swap("/owner", ""), swap("/resource_class", ""), swap("/lessee", ""), swap("/shard", "")),
    patches(_PATH, swap("/network_data", {"links": [], "networks": [], "services": []})),
    patches(_PATH, swap("/owner", _LONG), swap("/shard", _LONG), swap("/parent_node", _N)),
    patches(_PATH, swap("/conductor_group", "group"), swap("/conductor_group", "a b")),
)
