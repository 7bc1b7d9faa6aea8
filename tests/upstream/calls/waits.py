"""All states in which a node waits, for its ramdisk or for an operator: power, verbs, changes, and the way out."""

from __future__ import annotations

from upstream.call import Call, add, delete, flat, get, patch, patches, post, put, puts, remove, swap, uuid

_N, _PORT = uuid(1, 1), uuid(3, 1)
_PATH = f"/v1/nodes/{_N}"
_STATES = f"{_PATH}/states"
_VERBS = "active rebuild deleted manage provide inspect adopt rescue unrescue unhold clean service abort"
_POWER = ("power on", "rebooting", "soft rebooting", "soft power off", "power off")
_ERASE = [{"interface": "deploy", "step": "erase_devices_metadata"}]
_SHOWN = "provision_state,target_provision_state,target_power_state,reservation,maintenance,fault,owner"


def _verb(verb: str, **more: object) -> Call:
    return put(f"{_STATES}/provision", {"target": verb, **more}, until=_N)


def _step(name: str, **more: object) -> list[dict[str, object]]:
    return [{"interface": "deploy", "step": name, "args": {}, **more}]


def _look() -> list[Call]:
    return [get(f"{_PATH}?fields={_SHOWN}"), get(f"{_PATH}?fields=power_state")]


def _here(*accepted: str) -> list[Call]:
    """What a waiting node is asked; ``accepted``: the verbs that would end the wait."""
    return flat(
        _look(),
        [one for target in _POWER for one in (put(f"{_STATES}/power", {"target": target}, until=_N), *_look())],
        [put(f"{_STATES}/power", {"target": "power on", "timeout": 5}, until=_N), *_look()],
        puts(f"{_STATES}/power", {"target": "none"}, {"target": "power on", "timeout": 0}, {}),
        put(f"{_STATES}/power", {"target": "soft power off"}, version="1.26"),
        [put(f"{_STATES}/provision", {"target": verb}) for verb in _VERBS.split() if verb not in accepted],
        patches(_PATH, swap("/retired", False), add("/extra/a", 1), swap("/resource_class", "z")),
        patches(_PATH, swap("/boot_interface", "fake"), swap("/parent_node", "none"), swap("/name", "a b")),
        put(f"{_PATH}/maintenance", {"reason": "r"}),
        [patch(_PATH, add("/extra/b", 1)), delete(f"{_PATH}/maintenance")],
        patches(f"/v1/ports/{_PORT}", swap("/pxe_enabled", False), swap("/extra", {"q": 1})),
        [put(f"{_STATES}/raid", {"logical_disks": [{"size_gb": 1, "raid_level": "1"}]}), delete(_PATH)],
        [put(f"{_PATH}/traits", {"traits": ["CUSTOM_A"]}), delete(f"{_PATH}/traits")],
        _look(),
    )


def _cleaning() -> list[Call]:
    """From manageable and back."""
    return flat(
        patch(_PATH, swap("/deploy_interface", "direct")),
        [_verb("clean", clean_steps=_ERASE), *_here("abort"), _verb("abort"), *_look(), _verb("manage")],
        [delete(f"{_PATH}/maintenance"), patch(_PATH, swap("/deploy_interface", "fake"))],
        [_verb("clean", clean_steps=_step("hold")), *_here("abort", "unhold"), _verb("abort"), *_look()],
        [_verb("manage"), delete(f"{_PATH}/maintenance"), *_look()],
    )


def _deploying() -> list[Call]:
    """From available and back."""
    return flat(
        [_verb("active", deploy_steps=_step("hold", priority=50)), *_here("abort", "unhold")],
        [_verb("abort"), *_look(), _verb("deleted"), *_look()],
    )


def _serving() -> list[Call]:
    """From active and back."""
    steps = ("abort", "deleted", "rescue", "service")
    return flat(
        [put(f"{_PATH}/maintenance", {}), patch(_PATH, swap("/deploy_interface", "direct"))],
        delete(f"{_PATH}/maintenance"),
        [_verb("service", service_steps=_ERASE), *_here(*steps), _verb("abort"), *_look(), _verb("abort"), *_look()],
        [put(f"{_PATH}/maintenance", {}), patch(_PATH, swap("/deploy_interface", "fake"))],
        delete(f"{_PATH}/maintenance"),
        [_verb("service", service_steps=_step("hold")), *_here(*steps, "unhold"), _verb("abort"), *_look()],
        [_verb("abort"), *_look()],
        # What boots nothing cannot rescue: "rescue wait" itself is walked in tests/flows/test_power_in_waits.py.
        [_verb("rescue", rescue_password="x"), *_look(), _verb("deleted"), *_look()],
    )


CALLS: list[Call] = flat(
    post("/v1/nodes", {"uuid": _N, "driver": "fake-hardware", "raid_interface": "fake", "automated_clean": False}),
    patches(_PATH, swap("/rescue_interface", "agent"), swap("/inspect_interface", "agent")),
    post("/v1/ports", {"uuid": _PORT, "node_uuid": _N, "address": "52:54:00:00:00:01"}),
    _verb("manage"),
    [_verb("inspect"), *_here("abort"), _verb("abort"), *_look(), _verb("manage"), *_look()],
    _cleaning(),
    [_verb("provide"), *_look()],
    _deploying(),
    [_verb("active"), *_look()],
    _serving(),
    patch(_PATH, remove("/extra")),
)
