"""What a node that waits for its ramdisk allows and refuses: in inspection and in cleaning, and after an abort."""

from __future__ import annotations

from upstream.call import Call, add, delete, flat, get, patch, patches, post, put, puts, remove, swap, uuid

_N, _PORT, _GROUP = uuid(1, 1), uuid(3, 1), uuid(4, 1)
_PATH = f"/v1/nodes/{_N}"
_PROVISION = f"{_PATH}/states/provision"
_VERBS = "active rebuild deleted manage provide inspect adopt rescue unrescue unhold clean service deploy undeploy"
_SHOWN = "provision_state,target_provision_state,reservation,inspection_started_at,clean_step,maintenance,fault,owner"


def _verb(verb: str, **more: object) -> Call:
    return put(_PROVISION, {"target": verb, **more}, until=_N)


def _states() -> list[Call]:
    return [
        get(f"{_PATH}?fields={_SHOWN}"),
        *(get(f"{_PATH}?fields=provision_state", version=f"1.{n}") for n in (10, 38)),
    ]


def _asked(*accepted: str) -> list[Call]:
    """All verbs but those, changes of every kind, and what is done to machines."""
    return flat(
        [put(_PROVISION, {"target": verb}) for verb in _VERBS.split() if verb not in accepted],
        _states(),
        patches(_PATH, add("/extra/a", 1), swap("/name", "new"), swap("/boot_interface", "fake"), swap("/owner", "q")),
        patches(_PATH, swap("/deploy_interface", "direct"), swap("/resource_class", "z"), swap("/network_data", {})),
        patches(_PATH, add("/instance_uuid", uuid(9, 7)), remove("/instance_uuid"), swap("/driver_info", {"x": 1})),
        patches(_PATH, swap("/retired", True), swap("/retired", False), swap("/protected", True), swap("/shard", "x")),
        put(f"{_PATH}/maintenance", {"reason": "r"}),
        patches(_PATH, add("/extra/b", 1), swap("/resource_class", "y"), add("/instance_uuid", uuid(9, 8))),
        [patch(_PATH, remove("/instance_uuid")), delete(f"{_PATH}/maintenance")],
        post("/v1/ports", {"uuid": uuid(3, 9), "node_uuid": _N, "address": "52:54:00:00:00:09"}),
        patches(
            f"/v1/ports/{_PORT}", swap("/pxe_enabled", False), swap("/pxe_enabled", True), swap("/extra", {"q": 1})
        ),
        delete(f"/v1/ports/{uuid(3, 9)}"),
        post("/v1/portgroups", {"uuid": uuid(4, 9), "node_uuid": _N}),
        patches(f"/v1/portgroups/{_GROUP}", swap("/mode", "802.3ad"), swap("/standalone_ports_supported", False)),
        delete(f"/v1/portgroups/{uuid(4, 9)}"),
        [put(f"{_PATH}/traits", {"traits": ["CUSTOM_A"]}), delete(f"{_PATH}/traits/CUSTOM_A")],
        puts(f"{_PATH}/states/raid", {"logical_disks": [{"size_gb": 1, "raid_level": "1"}]}),
        [put(f"{_PATH}/states/boot_mode", {"target": "uefi"}), put(f"{_PATH}/states/secure_boot", {"target": True})],
        [post(f"/v1/heartbeat/{_N}", {"callback_url": "http://192.0.2.1"}), get(f"{_PATH}/inventory")],
    )


def _unable() -> list[Call]:
    """What is refused before it begins, from manageable and back: no way to inspect, and no image to deploy."""
    return flat(
        [patch(_PATH, swap("/inspect_interface", "no-inspect")), _verb("inspect"), *_states()],
        [patch(_PATH, swap("/inspect_interface", "agent")), patch(_PATH, swap("/automated_clean", False))],
        [_verb("provide"), _verb("active"), _verb("deploy"), *_states()],
        [put(f"{_PATH}/maintenance", {}), _verb("active"), delete(f"{_PATH}/maintenance")],
        [_verb("manage"), patch(_PATH, swap("/automated_clean", True))],
    )


CALLS: list[Call] = flat(
    post("/v1/nodes", {"uuid": _N, "driver": "fake-hardware", "deploy_interface": "direct", "raid_interface": "fake"}),
    patch(_PATH, swap("/inspect_interface", "agent")),
    post("/v1/ports", {"uuid": _PORT, "node_uuid": _N, "address": "52:54:00:00:00:01"}),
    post("/v1/portgroups", {"uuid": _GROUP, "node_uuid": _N, "address": "52:54:00:00:01:01"}),
    _verb("manage"),
    _unable(),
    _verb("inspect"),
    _asked(),
    put(_PROVISION, {"target": "abort"}).at(12, 40),
    _verb("clean", clean_steps=[{"interface": "deploy", "step": "erase_devices_metadata"}]),
    _states(),
)
