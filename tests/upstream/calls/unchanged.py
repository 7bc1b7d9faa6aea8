"""PATCHes that change nothing, secrets in what is free of form, and what a deployment is asked before it begins."""

from __future__ import annotations

from typing import Any

from upstream.call import Call, add, delete, flat, get, patch, patches, post, put, remove, swap, uuid

_N, _P, _G, _C, _T = uuid(1, 1), uuid(3, 1), uuid(4, 1), uuid(5, 1), uuid(6, 1)
_NODE = f"/v1/nodes/{_N}"
_STEP: dict[str, Any] = {"interface": "deploy", "step": "erase_devices", "args": {}}
_ACTION: dict[str, Any] = {"op": "set-attribute", "args": {"path": "/extra/a", "value": "b"}}
_RULE: dict[str, Any] = {"actions": [_ACTION], "conditions": [], "description": "d"}
# resource, its body, a field of it that is a text
_RESOURCES: tuple[tuple[str, str, dict[str, Any], str], ...] = (
    ("chassis", uuid(2, 1), {"description": "d"}, "description"),
    ("ports", _P, {"node_uuid": _N, "address": "52:54:00:00:00:01", "name": "eth0"}, "name"),
    ("portgroups", _G, {"node_uuid": _N, "name": "bond0"}, "name"),
    ("volume/connectors", _C, {"node_uuid": _N, "type": "iqn", "connector_id": "a"}, "connector_id"),
    ("volume/targets", _T, {"node_uuid": _N, "volume_type": "iscsi", "volume_id": "v", "boot_index": 0}, "volume_id"),
    ("deploy_templates", uuid(10, 1), {"name": "CUSTOM_T", "steps": [{**_STEP, "priority": 1}]}, "name"),
    ("runbooks", uuid(11, 1), {"name": "CUSTOM_R", "steps": [{**_STEP, "order": 1}]}, "name"),
    ("inspection_rules", uuid(12, 1), _RULE, "description"),
)
_SECRETS: dict[str, Any] = {
    "image_url": "http://user:word@10.0.0.1/image",
    "rescue_password": "word",
    "root_password": "word",
    "adminPass": "word",
    "configdrive": "word",
    "kernel_append_params": "quiet inst.vncpassword=word console=ttyS0",
    "written": '{"a": 1, "password": "word"}',
    "below": {"auth_token": "word", "a": 1},
    "rabbitcookie": "word",
    "swifthashsuffix": "word",
    "display_name": "shown",
    "image_source": "http://10.0.0.1/image",
    "number": 1,
}


def _untouched(plural: str, ident: str, body: dict[str, Any], field: str) -> list[Call]:
    path, same = f"/v1/{plural}/{ident}", {key: value for key, value in body.items() if key in {"extra", "name"}}
    return flat(
        post(f"/v1/{plural}", {"uuid": ident, **body}),
        [patch(path, swap(f"/{field}", body[field])), get(path), patch(path), get(path)],
        [patch(path, add(f"/{key}", value)) for key, value in same.items()],
        [patch(path, swap(f"/{field}", body[field]), swap(f"/{field}", body[field])), get(path)],
        [patch(path, swap(f"/{field}", f"{body[field]}2")), get(path)],
    )


def _verb(verb: str, **more: object) -> Call:
    return put(f"{_NODE}/states/provision", {"target": verb, **more}, until=_N)


def _asked() -> list[Call]:
    """Traits and steps that a deployment cannot have: told at once, in the state it was in."""
    core: dict[str, Any] = {"interface": "deploy", "step": "deploy", "args": {}}
    state = get(f"{_NODE}?fields=provision_state,last_error")
    wrong: tuple[Any, ...] = ("CUSTOM_A", ["CUSTOM_A"], [1], {"CUSTOM_A": 1}, ["CUSTOM_B", "CUSTOM_A"])
    return flat(
        [_verb("manage"), patch(_NODE, swap("/automated_clean", False)), _verb("provide")],
        put(f"{_NODE}/traits", {"traits": ["CUSTOM_B"]}),
        [one for each in wrong for one in (patch(_NODE, add("/instance_info/traits", each)), _verb("active"), state)],
        patch(_NODE, add("/instance_info/traits", ["CUSTOM_B"])),
        [_verb("active", deploy_steps=[{**core, "priority": 50}]), state],
        [_verb("active"), state],
        patch(_NODE, add("/instance_info/traits", ["CUSTOM_A"])),
        [put(f"{_NODE}/states/provision", {"target": "rebuild"}, until=_N, crash=400), state],
        [patch(_NODE, remove("/instance_info/traits"))],
        [_verb("rebuild", deploy_steps=[{**core, "priority": 1}]), state, _verb("deleted"), state],
    )


CALLS: list[Call] = flat(
    post("/v1/nodes", {"uuid": _N, "driver": "fake-hardware"}),
    put(f"{_NODE}/states/power", {"target": "power off"}, until=_N),
    [one for each in _RESOURCES for one in _untouched(*each)],
    patch(f"/v1/runbooks/{uuid(11, 1)}", swap("/steps/0/order", 2)),
    patches(_NODE, swap("/instance_info", _SECRETS), swap("/driver_info", _SECRETS)),
    [get(_NODE), get(f"{_NODE}?fields=instance_info,driver_info"), get("/v1/nodes?fields=instance_info")],
    [patch(_NODE, swap("/instance_info", {})), patch(_NODE, swap("/driver_info", {})), *_asked()],
    delete(f"/v1/ports/{_P}"),
)
