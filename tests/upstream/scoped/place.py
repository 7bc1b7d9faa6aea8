"""What callers of every scope ask about: nodes of two projects and of nobody, and something of every kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from upstream.call import Call, flat, patch, post, put, uuid
from upstream.sides import ALLOCATIONS

OURS, THIRDS, NOBODYS, CHILD = (uuid(1, number) for number in (1, 2, 3, 4))
"""Nodes: owner's, leased; the third project's; of nobody; a child of the first."""
PORT, GROUP, CHASSIS, CONNECTOR, TARGET = uuid(2, 1), uuid(3, 1), uuid(4, 1), uuid(8, 1), uuid(9, 1)
OWNED, OPEN, BARE = uuid(5, 1), uuid(5, 2), uuid(5, 3)
"""Runbooks: the owner's, a public one, one of nobody."""
TEMPLATE, RULE, ALLOCATION, OTHERS = uuid(6, 1), uuid(7, 1), uuid(10, 1), uuid(10, 2)
CALLERS = (
    *(f"system {role}" for role in ("admin", "reader", "service")),
    *(f"owner {role}" for role in ("manager", "member", "reader", "service")),
    *(f"lessee {role}" for role in ("admin", "reader", "service")),
    *(f"third {role}" for role in ("admin", "reader")),
)
"""One of each kind that sees something of its own; tests/upstream/test_policy.py has all of them."""
FAKES = {f"{kind}_interface": "fake" for kind in ("bios", "console", "raid", "rescue", "vendor")}
_STEP = {"interface": "bios", "step": "apply_configuration", "args": {"settings": [], "password": "hidden"}}
RUNBOOK_STEPS = [{**_STEP, "order": 1}]
TEMPLATE_STEPS = [{**_STEP, "priority": 150}]
RULE_ACTIONS = [{"op": "set-attribute", "args": {"path": "extra/a", "value": "b"}}]
_SECRETS = {"ipmi_password": "hidden", "fake_token": "hidden", "fake_address": "seen"}


def made(projects: Mapping[str, str]) -> list[Call]:
    """All of it, made by an administrator of the system."""
    owner, lessee, third = (projects[name] for name in ("owner", "lessee", "third"))
    node: dict[str, Any] = {"driver": "fake-hardware", "driver_info": _SECRETS, **FAKES}
    shown = {"instance_info": {"image_url": "http://x/y", "configdrive": "hidden", "ramdisk": "x"}, "shard": "s1"}
    return flat(
        post("/v1/chassis", {"uuid": CHASSIS, "extra": {"a": 1}}),
        post("/v1/nodes", {**node, **shown, "uuid": OURS, "name": "ours", "owner": owner, "lessee": lessee}),
        post("/v1/nodes", {**node, "uuid": THIRDS, "name": "thirds", "owner": third, "chassis_uuid": CHASSIS}),
        post("/v1/nodes", {**node, "uuid": NOBODYS, "name": "nobodys", "resource_class": "gold"}),
        post("/v1/nodes", {**node, "uuid": CHILD, "name": "child", "parent_node": OURS, "owner": owner}),
        patch(f"/v1/nodes/{OURS}", {"op": "add", "path": "/last_error", "value": "x"}),
        put(f"/v1/nodes/{OURS}/traits", {"traits": ["CUSTOM_ONE"]}),
        post("/v1/ports", {"uuid": PORT, "node_uuid": OURS, "address": "52:54:00:00:00:01"}),
        post("/v1/ports", {"uuid": uuid(2, 2), "node_uuid": THIRDS, "address": "52:54:00:00:00:02"}),
        post("/v1/portgroups", {"uuid": GROUP, "node_uuid": OURS, "name": "bond0"}),
        post("/v1/portgroups", {"uuid": uuid(3, 2), "node_uuid": THIRDS, "name": "bond1"}),
        post("/v1/volume/connectors", _connector(CONNECTOR, OURS)),
        post("/v1/volume/connectors", _connector(uuid(8, 2), THIRDS)),
        post("/v1/volume/targets", _target(TARGET, OURS)),
        post("/v1/volume/targets", _target(uuid(9, 2), THIRDS)),
        post("/v1/runbooks", {"uuid": OWNED, "name": "CUSTOM_OWNED", "steps": RUNBOOK_STEPS, "owner": owner}),
        post("/v1/runbooks", {"uuid": OPEN, "name": "CUSTOM_OPEN", "steps": RUNBOOK_STEPS, "public": True}),
        post("/v1/runbooks", {"uuid": BARE, "name": "CUSTOM_BARE", "steps": RUNBOOK_STEPS}),
        post("/v1/deploy_templates", {"uuid": TEMPLATE, "name": "CUSTOM_T", "steps": TEMPLATE_STEPS}),
        post("/v1/inspection_rules", {"uuid": RULE, "actions": RULE_ACTIONS, "sensitive": True}, crash=201),
        post("/v1/allocations", {"uuid": ALLOCATION, "resource_class": "none", "owner": owner}, until=ALLOCATIONS),
        post("/v1/allocations", {"uuid": OTHERS, "resource_class": "none", "owner": third}, until=ALLOCATIONS),
    )


def _connector(ident: str, node: str) -> dict[str, Any]:
    return {"uuid": ident, "node_uuid": node, "type": "iqn", "connector_id": f"iqn.2026-11.example:{ident[-1]}"}


def _target(ident: str, node: str) -> dict[str, Any]:
    secret = {"auth_username": "a", "auth_password": "hidden", "target_lun": 1}
    about = {"volume_type": "iscsi", "boot_index": 0, "volume_id": f"vol-{ident[-1]}", "properties": secret}
    return {"uuid": ident, "node_uuid": node, **about}
