"""Power, verbs and changes while a node waits for a ramdisk, in inspection and in cleaning, and the way out.

The other states in which nodes wait need a machine that boots: tests/flows/test_power_in_waits.py goes through them.
"""

from __future__ import annotations

from upstream.call import Call, add, delete, flat, get, patch, patches, post, put, puts, swap, uuid

_N, _PORT = uuid(1, 1), uuid(3, 1)
_PATH = f"/v1/nodes/{_N}"
_STATES = f"{_PATH}/states"
_VERBS = "active rebuild deleted manage provide inspect adopt rescue unrescue unhold clean service abort"
_POWER = ("power on", "rebooting", "soft rebooting", "soft power off", "power off")
_ERASE = [{"interface": "deploy", "step": "erase_devices_metadata"}]
_SHOWN = "provision_state,target_provision_state,target_power_state,reservation,maintenance,fault,owner"


def _verb(verb: str, **more: object) -> Call:
    return put(f"{_STATES}/provision", {"target": verb, **more}, until=_N)


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


CALLS: list[Call] = flat(
    post("/v1/nodes", {"uuid": _N, "driver": "fake-hardware", "raid_interface": "fake", "automated_clean": False}),
    patches(_PATH, swap("/rescue_interface", "agent"), swap("/inspect_interface", "agent")),
    post("/v1/ports", {"uuid": _PORT, "node_uuid": _N, "address": "52:54:00:00:00:01"}),
    _verb("manage"),
    [_verb("inspect"), *_here("abort"), _verb("abort"), *_look(), _verb("manage"), *_look()],
    patch(_PATH, swap("/deploy_interface", "direct")),
    [_verb("clean", clean_steps=_ERASE), *_here("abort"), _verb("abort"), *_look(), _verb("manage"), *_look()],
    [delete(f"{_PATH}/maintenance"), patch(_PATH, swap("/deploy_interface", "fake"))],
)
