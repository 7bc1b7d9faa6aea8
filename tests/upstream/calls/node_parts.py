"""What hangs below a node: traits, vifs, boot device, indicators, BIOS, firmware, media, history, inventory."""

from __future__ import annotations

from upstream.call import Call, delete, flat, get, gets, patch, post, posts, put, puts, swap, uuid

_N = uuid(1, 1)
_PATH = f"/v1/nodes/{_N}"
_VIF = uuid(7, 1)
_MANY = [f"CUSTOM_{number}" for number in range(51)]
_PARTS = (
    ("traits", 37),
    ("vifs", 28),
    ("bios", 40),
    ("firmware", 86),
    ("history", 78),
    ("inventory", 81),
    ("children", 84),
    ("vmedia", 93),
    ("portgroups", 24),
    ("volume", 32),
    ("allocation", 52),
    ("management/boot_device", 1),
    ("management/boot_device/supported", 1),
    ("management/indicators", 63),
    ("vendor_passthru/methods", 1),
    ("validate", 1),
    ("ports", 1),
    ("states", 1),
)

CALLS: list[Call] = flat(
    post("/v1/nodes", {"uuid": _N, "driver": "fake-hardware", "name": "parts"}),
    post("/v1/ports", {"uuid": uuid(3, 1), "node_uuid": _N, "address": "52:54:00:00:00:01"}),
    [one for part, first in _PARTS for one in get(f"{_PATH}/{part}").around(first)],
    [get(f"/v1/nodes/none/{part}") for part, _ in _PARTS],
    [get(f"/v1/nodes/parts/{part}") for part, _ in _PARTS if part not in {"ports", "portgroups"}],
    [get(f"{_PATH}/{part}?x=1", crash=400 if part == "children" else 0) for part, _ in _PARTS],
    [get(f"{_PATH}/{part}/") for part, _ in _PARTS],
    # traits
    puts(f"{_PATH}/traits", {"traits": ["CUSTOM_B", "CUSTOM_A", "HW_CPU_X86_VMX"]}, {"traits": ["bad"]}, {}, [], "x"),
    puts(f"{_PATH}/traits", {"traits": _MANY}, {"traits": "x"}, {"traits": [1]}, {"traits": ["CUSTOM_A"], "x": 1}),
    puts(
        f"{_PATH}/traits", {"traits": ["CUSTOM_A", "CUSTOM_A"]}, {"traits": ["CUSTOM_" + "X" * 250]}, {"traits": None}
    ),
    get(f"{_PATH}/traits"),
    put(f"{_PATH}/traits/CUSTOM_C").around(37),
    [
        put(f"{_PATH}/traits/{name}")
        for name in ("CUSTOM_C", "bad", "CUSTOM_", "custom_a", "HW_CPU_X86_VMX", "NOT_STANDARD")
    ],
    [
        put(f"{_PATH}/traits/CUSTOM_D", {"a": 1}),
        put(f"{_PATH}/traits/CUSTOM_D", {}),
        put("/v1/nodes/parts/traits/CUSTOM_E"),
    ],
    [get(f"{_PATH}/traits/CUSTOM_C"), get(f"{_PATH}/traits"), get(f"{_PATH}?fields=traits")],
    [delete(f"{_PATH}/traits/{name}") for name in ("CUSTOM_C", "CUSTOM_C", "bad", "CUSTOM_NONE")],
    [
        delete(f"{_PATH}/traits"),
        get(f"{_PATH}/traits"),
        delete(f"{_PATH}/traits"),
        put("/v1/nodes/none/traits", {"traits": []}),
    ],
    # vifs
    posts(f"{_PATH}/vifs", {}, {"id": ""}, {"id": 1}, [], {"id": "x y"}, {"vif": 1}),
    post(f"{_PATH}/vifs", {"id": _VIF}).at(27),
    post(f"{_PATH}/vifs", {"id": _VIF, "port_uuid": uuid(3, 1)}).at(66),
    posts(
        f"{_PATH}/vifs",
        {"id": _VIF, "port_uuid": "x"},
        {"id": _VIF, "port_uuid": uuid(3, 1), "portgroup_uuid": uuid(4, 1)},
    ),
    [post(f"{_PATH}/vifs", {"id": _VIF}), post(f"{_PATH}/vifs", {"id": _VIF}), get(f"{_PATH}/vifs")],
    [delete(f"{_PATH}/vifs/{one}") for one in (_VIF, uuid(7, 9), "x")],
    [delete(f"{_PATH}/vifs"), put(f"{_PATH}/vifs", {}), post("/v1/nodes/none/vifs", {"id": _VIF})],
    # management
    puts(f"{_PATH}/management/boot_device", {"boot_device": "pxe"}, {"boot_device": "none"}, {}, {"boot_device": 1}),
    puts(f"{_PATH}/management/boot_device", {"boot_device": "disk", "persistent": True}, {"persistent": True}),
    puts(
        f"{_PATH}/management/boot_device", {"boot_device": "pxe", "persistent": "maybe"}, {"boot_device": "pxe", "x": 1}
    ),
    put(f"{_PATH}/management/boot_device?boot_device=pxe&persistent=false"),
    get(f"{_PATH}/management/boot_device"),
    [
        get(f"{_PATH}/management/boot_device/nothing", crash=404),
        get(f"{_PATH}/management"),
        get(f"{_PATH}/management/x"),
    ],
    put(f"{_PATH}/management/inject_nmi", {}).around(29),
    [
        put(f"{_PATH}/management/inject_nmi"),
        put(f"{_PATH}/management/inject_nmi", {"a": 1}),
        get(f"{_PATH}/management/inject_nmi"),
    ],
    gets(f"{_PATH}/management/indicators/", "none", "led@system", "led", "led@none", "x@system", "power@chassis"),
    [put(f"{_PATH}/management/indicators/led@system", {"state": state}) for state in ("on", "none", None)],
    put(f"{_PATH}/management/indicators/led@system", {}),
    # vendor methods
    gets(f"{_PATH}/vendor_passthru", "", "/none", "?method=none"),
    [
        post(f"{_PATH}/vendor_passthru", {}),
        post(f"{_PATH}/vendor_passthru/none", {}),
        put(f"{_PATH}/vendor_passthru?method=x", {}),
    ],
    # bios, firmware, raid of interfaces that are none, then of imaginary ones
    gets(f"{_PATH}/bios", "/none", "?detail=true", "?fields=name", "?detail=true&fields=name", "?fields=none"),
    get(f"{_PATH}/bios?detail=true").around(74),
    gets(f"{_PATH}/firmware", "/none", "?detail=true", "?fields=component"),
    [patch(_PATH, swap("/bios_interface", "fake")), patch(_PATH, swap("/firmware_interface", "fake"))],
    gets(f"{_PATH}/", "bios", "firmware", "validate"),
    gets("/v1/nodes/validate", "", f"?node_uuid={_N}", "?node_uuid=parts", f"?node={_N}", "?node=parts", "?node=none"),
    gets(f"{_PATH}/", "validate?node_uuid=x", "validate/x"),
    # media
    post(f"{_PATH}/vmedia", {"device_type": "cdrom", "image_url": "http://10.0.0.1/x"}).at(88),
    posts(f"{_PATH}/vmedia", {}, {"device_type": "tape", "image_url": "http://x"}, {"device_type": "cdrom"}, [], "x"),
    posts(
        f"{_PATH}/vmedia", {"device_type": "cdrom", "image_url": "ftp://x"}, {"device_type": "cdrom", "image_url": 1}
    ),
    posts(f"{_PATH}/vmedia", {"device_type": "cdrom", "image_url": "http://x", "image_download_source": "none"}),
    posts(f"{_PATH}/vmedia", {"device_type": "cdrom", "image_url": "http://x", "nothing": 1}),
    [
        delete(f"{_PATH}/vmedia?device_types=tape"),
        delete(f"{_PATH}/vmedia", version="1.88"),
        get(f"{_PATH}/vmedia", version="1.88"),
        put(f"{_PATH}/vmedia", {}),
    ],
    # history, inventory
    gets(
        f"{_PATH}/history",
        "/none",
        f"/{uuid(1, 99)}",
        "?detail=true",
        "?limit=1",
        "?limit=x",
        "?marker=x",
        "?fields=uuid",
    ),
    gets(
        f"{_PATH}/history", "?sort_key=created_at", "?sort_key=none", "?sort_dir=up", "?detail=maybe", f"?marker={_N}"
    ),
    get(f"{_PATH}/history?detail=true").around(78, 113, 115),
    gets(f"{_PATH}/inventory", "/x", "?fields=x"),
    [
        put(f"{_PATH}/{part}", {})
        for part in ("history", "inventory", "bios", "firmware", "children", "validate", "ports")
    ],
)
