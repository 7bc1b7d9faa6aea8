"""Provision verbs, power, maintenance, and what each state refuses. Actions of fake-hardware are awaited."""

from __future__ import annotations

from typing import Any

from upstream.call import Call, add, delete, flat, get, gets, patch, patches, post, put, puts, remove, swap, uuid

_N, _O = uuid(1, 1), uuid(1, 2)
_PATH = f"/v1/nodes/{_N}"
_STATES = f"{_PATH}/states"
_PROVISION = f"{_STATES}/provision"
_VERBS = (
    ("active", 1),
    ("rebuild", 1),
    ("deleted", 1),
    ("manage", 4),
    ("provide", 4),
    ("inspect", 6),
    ("abort", 13),
    ("clean", 15),
    ("adopt", 17),
    ("rescue", 38),
    ("unrescue", 38),
    ("deploy", 73),
    ("undeploy", 73),
    ("unhold", 85),
    ("service", 87),
)
_STEP: dict[str, Any] = {"interface": "power", "step": "reboot"}
_DEPLOY_STEP: dict[str, Any] = {"interface": "deploy", "step": "deploy", "args": {}, "priority": 50}


def _verb(verb: str, **more: Any) -> Call:
    return put(_PROVISION, {"target": verb, **more})


def _done(verb: str, **more: Any) -> Call:
    return put(_PROVISION, {"target": verb, **more}, until=_N)


def _refused(*accepted: str) -> list[Call]:
    """Every verb that the present state does not take, at the microversion that made it and one below."""
    return [
        one
        for verb, first in _VERBS
        if verb not in accepted
        for one in put(_PROVISION, {"target": verb}).at(*([first - 1] if first > 1 else []), 115)
    ]


def _seen() -> list[Call]:
    fields = "provision_state,target_provision_state,power_state,last_error,maintenance,fault,instance_uuid,clean_step"
    return [get(f"{_PATH}?fields={fields},deploy_step,console_enabled"), get(_STATES)]


CALLS: list[Call] = flat(
    post("/v1/nodes", {"uuid": _N, "driver": "fake-hardware", "name": "stateful"}),
    put(_PROVISION, {"target": "manage"}).at(3),
    [put(_PROVISION, body) for body in ({}, {"target": None}, {"target": 1}, {"target": "none"}, {"target": ""})],
    _refused("manage"),
    put("/v1/nodes/none/states/provision", {"target": "manage"}).at(3, 115),
    put("/v1/nodes/none/states/provision", {"target": "none"}),
    patch("/v1/nodes/none", swap("/network_data", {})),
    _verb("manage", nothing=1),
    _done("manage", clean_steps=[]),
    _verb("manage", configdrive="x"),
    _seen(),
    _refused("provide", "inspect", "clean", "adopt", "service"),
    [_verb("clean"), _verb("clean", clean_steps="x"), _verb("clean", clean_steps={}), _verb("clean", clean_steps=[{}])],
    [
        _verb("clean", clean_steps=[step])
        for step in (
            {"interface": "none", "step": "x"},
            {"interface": "power"},
            {"interface": "power", "step": "reboot", "nothing": 1},
            {"interface": "power", "step": "reboot", "args": []},
            {"interface": "vendor", "step": "send_raw"},
        )
    ],
    [_verb("clean", clean_steps=[_STEP], disable_ramdisk="x"), _verb("clean", clean_steps=[_STEP], runbook="x")],
    _verb("clean", runbook="none"),
    [
        put(_PROVISION, {"target": "clean", "clean_steps": [_STEP], "disable_ramdisk": True}, version="1.69"),
        put(_PROVISION, {"target": "clean", "runbook": "x"}, version="1.91"),
        put(_PROVISION, {"target": "active", "configdrive": {"meta_data": {}}}, version="1.55"),
        put(_PROVISION, {"target": "active", "deploy_steps": [_DEPLOY_STEP]}, version="1.68"),
        put(_PROVISION, {"target": "active", "configdrive": {"vendor_data": {}}}, version="1.58"),
    ],
    _done("inspect"),
    _seen(),
    # power and the small states
    puts(f"{_STATES}/power", {}, {"target": "none"}, {"target": None}, {"target": 1}, {"target": "power on", "x": 1}),
    puts(f"{_STATES}/power", {"target": "power on", "timeout": 0}, {"target": "power on", "timeout": "x"}),
    puts(f"{_STATES}/power", {"target": "power on", "timeout": -1}, {"target": "power on", "timeout": 1.5}),
    put(f"{_STATES}/power", {"target": "soft rebooting"}).at(26),
    put(f"{_STATES}/power", {"target": "power on", "timeout": 5}).at(26),
    put(f"{_STATES}/power", {"target": "power on"}, until=_N),
    put(f"{_STATES}/power", {"target": "rebooting"}, until=_N),
    put(f"{_STATES}/power", {"target": "soft rebooting", "timeout": 5}, until=_N),
    put(f"{_STATES}/power", {"target": "soft power off", "timeout": "5"}, until=_N),
    put(f"{_STATES}/power", {"target": "power off"}, until=_N, version="1.1"),
    put("/v1/nodes/stateful/states/power", {"target": "power on"}, until=_N),
    put(f"{_STATES}/power?target=power%20on", until=_N),
    _seen(),
    puts(f"{_PATH}/maintenance", {"reason": "why"}, {"reason": None}, {}, {"reason": 1}, {"nothing": 1}),
    [put(f"{_PATH}/maintenance"), put(f"{_PATH}/maintenance?reason=x"), get(f"{_PATH}?fields=maintenance_reason")],
    [get(f"{_PATH}/maintenance"), delete(f"{_PATH}/maintenance"), delete(f"{_PATH}/maintenance?x=1"), get(_PATH)],
    [put("/v1/nodes/none/maintenance", {}), delete("/v1/nodes/none/maintenance")],
    puts(f"{_STATES}/raid", {"logical_disks": []}, {}, [], "x", {"nothing": 1}),
    put(f"{_STATES}/raid", {"logical_disks": [{"size_gb": 1, "raid_level": "1"}]}).around(12),
    patch(_PATH, swap("/raid_interface", "fake")),
    puts(
        f"{_STATES}/raid", {"logical_disks": [{"size_gb": 1, "raid_level": "1"}]}, {"logical_disks": [{"size_gb": "x"}]}
    ),
    puts(f"{_STATES}/raid", {"logical_disks": [{"size_gb": "MAX", "raid_level": "99"}]}, {"logical_disks": []}, {}),
    gets(f"{_STATES}/", "console", "raid", "boot_mode", "secure_boot"),
    put(f"{_STATES}/console", {"enabled": True}),
    patch(_PATH, swap("/console_interface", "fake")),
    get(f"{_STATES}/console"),
    puts(f"{_STATES}/console", {}, {"enabled": "maybe"}, {"enabled": None}, {"nothing": 1}),
    put(f"{_STATES}/console", {"enabled": True}, until=_N),
    [get(f"{_STATES}/console"), patch(_PATH, swap("/driver", "none"))],
    put(f"{_STATES}/console", {"enabled": "false"}, until=_N),
    put(f"{_STATES}/console?enabled=true", until=_N),
    put(f"{_STATES}/console", {"enabled": False}, until=_N),
    put(f"{_STATES}/boot_mode", {"target": "uefi"}).at(75),
    puts(f"{_STATES}/boot_mode", {}, {"target": "none"}, {"target": None}, {"target": 1}, {"target": "uefi", "x": 1}),
    put(f"{_STATES}/boot_mode", {"target": "uefi"}, until=_N),
    put(f"{_STATES}/secure_boot", {"target": True}).at(75),
    puts(f"{_STATES}/secure_boot", {}, {"target": "maybe"}, {"target": None}),
    put(f"{_STATES}/secure_boot", {"target": "true"}, until=_N),
    # available, active and back
    put(f"{_PATH}/maintenance", {"reason": "why"}),
    _done("provide"),
    delete(f"{_PATH}/maintenance"),
    _seen(),
    put(_STATES, {}),
    get(_STATES).around(2),
    _refused("active", "manage", "deploy", "inspect"),
    [_verb("active", configdrive=1), _verb("active", configdrive={"nothing": 1}), _verb("active", configdrive="%")],
    [_verb("active", deploy_steps=steps) for steps in ("x", [{}], [{**_DEPLOY_STEP, "priority": -1}], [_STEP])],
    [_verb("active", deploy_steps=[{**_DEPLOY_STEP, "x": 1}]), _verb("active", rescue_password="x")],
    put(f"{_PATH}/maintenance", {"reason": "why"}),
    _verb("active"),
    delete(f"{_PATH}/maintenance"),
    patch(_PATH, swap("/retired", True)),
    patch(_PATH, swap("/protected", True)),
    patch(_PATH, add("/instance_info/image_source", "http://10.0.0.1/image"), add("/instance_uuid", uuid(9, 1))),
    _done("active"),
    _seen(),
    _refused("rebuild", "deleted", "undeploy", "rescue", "service"),
    delete(_PATH),
    patches(_PATH, swap("/resource_class", "new"), swap("/boot_interface", "fake"), swap("/driver", "fake-hardware")),
    patches(_PATH, swap("/storage_interface", "none"), remove("/network_interface")),
    put("/v1/nodes/none/states/power", {"target": "soft rebooting"}).at(26, 115),
    put("/v1/nodes/none/states/power", {"target": "none", "timeout": 0}),
    patches(
        _PATH, swap("/name", "active"), swap("/owner", "x"), swap("/instance_uuid", uuid(9, 2)), swap("/retired", True)
    ),
    patches(_PATH, swap("/protected_reason", "x"), swap("/protected", True), swap("/protected_reason", "because")),
    [_verb("deleted"), _verb("rebuild"), delete(_PATH)],
    patch(_PATH, swap("/protected", False)),
    get(_PATH),
    [_verb("rescue"), _verb("rescue", rescue_password=""), _verb("rescue", rescue_password=1)],
    patch(_PATH, swap("/rescue_interface", "fake")),
    put(f"{_PATH}/maintenance", {}),
    patch(_PATH, swap("/rescue_interface", "fake")),
    delete(f"{_PATH}/maintenance"),
    _done("rescue", rescue_password="secret"),
    _seen(),
    _refused("unrescue", "rescue", "deleted", "undeploy"),
    _done("unrescue"),
    _seen(),
    [_verb("service"), _verb("service", service_steps=[{}]), _verb("service", service_steps="x")],
    put(_PROVISION, {"target": "service", "service_steps": [_STEP], "disable_ramdisk": True}, version="1.107"),
    _done("undeploy"),
    _seen(),
    get(_PATH),
    _done("manage"),
    [
        post("/v1/nodes", {"uuid": _O, "driver": "fake-hardware"}),
        put(f"/v1/nodes/{_O}/states/provision", {"target": "adopt"}),
    ],
    patch(_PATH, remove("/name")),
    _done("adopt"),
    _seen(),
    _done("deleted"),
    _seen(),
    delete(_PATH),
)
