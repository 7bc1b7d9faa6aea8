"""Filling upstream's service through its own API with some of everything, and what to ask both sides afterwards."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from upstream.call import LATEST, Call, get, post, put, uuid
from upstream.sides import Side

NODES = 6
"""n0 is taken up, n1 available, n2 active by an allocation, n3 manageable, n4 a child of n3, n5 is just enrolled."""
SECRETS = ("bmc-password", "drive-secret", "template-secret", "chap-secret", "rule-secret")

LISTS = (
    "nodes/detail?include_children=true",
    "ports/detail",
    "portgroups/detail",
    "chassis/detail",
    "volume/connectors?detail=true",
    "volume/targets?detail=true",
    "allocations?sort_key=uuid",
    "deploy_templates?detail=true",
    "runbooks?detail=true",
    "inspection_rules?detail=true",
)
PARTS = ("", "/traits", "/bios?detail=true", "/firmware", "/history?detail=true", "/inventory", "/ports", "/portgroups")
PARTS += ("/volume/connectors", "/volume/targets", "/allocation", "/states", "/children", "/vifs")


def node(number: int) -> str:
    return uuid(1, number)


def questions() -> list[Call]:
    """Every resource, in lists and one by one."""
    calls = [get(f"/v1/{path}") for path in LISTS]
    calls += [get(f"/v1/nodes/{node(number)}{part}") for number in range(NODES) for part in PARTS]
    singles = {"ports": 3, "portgroups": 4, "chassis": 2, "allocations": 5, "deploy_templates": 6, "runbooks": 7}
    singles |= {"inspection_rules": 8, "volume/connectors": 9, "volume/targets": 10}
    return calls + [get(f"/v1/{plural}/{uuid(kind, 1)}") for plural, kind in singles.items()]


def fill(side: Side, database: Path) -> None:
    """Make it all; what the API cannot make (BIOS settings, firmware) is written as a conductor would."""
    calls = [*_shared(), *_nodes(), *_parts(), *_verbs()]
    for call in calls:
        answer = side.send(call)
        assert answer.status < 300, f"{call}: {answer}"
        if call.until:
            side.settle(call.until)
    _write_findings(database)


def _shared() -> list[Call]:
    step = {"interface": "deploy", "step": "deploy", "priority": 90, "args": {"password": SECRETS[2], "word": "x"}}
    run = {"interface": "power", "step": "reboot", "order": 1, "args": {}}
    rule = {"op": "set-attribute", "args": {"path": "/driver_info/redfish_password", "value": SECRETS[4]}}
    return [
        post("/v1/chassis", {"uuid": uuid(2, 1), "description": "box", "extra": {"row": 4}}),
        post("/v1/deploy_templates", {"uuid": uuid(6, 1), "name": "CUSTOM_T", "steps": [step], "extra": {"a": 1}}),
        post("/v1/runbooks", {"uuid": uuid(7, 1), "name": "book", "steps": [run], "public": True}),
        put(f"/v1/runbooks/{uuid(7, 1)}/traits", {"traits": ["CUSTOM_B", "CUSTOM_A"]}),
        post(
            "/v1/inspection_rules",
            {
                "uuid": uuid(8, 1),
                "description": "rule",
                "priority": 5,
                "conditions": [{"op": "is-none", "args": {"value": "{node.shard}"}}],
                "actions": [rule],
            },
        ),
    ]


def _nodes() -> list[Call]:
    more: dict[int, dict[str, Any]] = {
        0: {"chassis_uuid": uuid(2, 1), "lessee": "p2", "shard": "s1", "description": "first"},
        2: {"resource_class": "big", "instance_info": {"image_source": "http://x/y", "configdrive": SECRETS[1]}},
        3: {"network_data": {"links": [], "networks": [], "services": []}, "retired": True, "retired_reason": "old"},
        4: {"parent_node": node(3), "extra": {"deep": [{"a": None}, "é"]}},
        5: {"bios_interface": "fake", "automated_clean": False, "disable_power_off": True},
    }
    info = {"fake_address": "10.0.0.1", "fake_password": SECRETS[0], "url": "https://u:pw@h/p"}
    return [
        post(
            "/v1/nodes",
            {"uuid": node(number), "name": f"n{number}", "driver": "fake-hardware", "driver_info": info}
            | {"properties": {"memory_mb": 4096, "capabilities": "boot_mode:uefi"}}
            | more.get(number, {}),
        )
        for number in range(NODES)
    ]


def _parts() -> list[Call]:
    link = {"switch_id": "0a:1b:2c:3d:4e:5f", "port_id": "Eth1", "switch_info": "s"}
    group = {
        "uuid": uuid(4, 1),
        "node_uuid": node(0),
        "name": "bond",
        "address": "52:54:00:00:01:01",
        "mode": "802.3ad",
    }
    port = {"uuid": uuid(3, 1), "node_uuid": node(0), "portgroup_uuid": uuid(4, 1), "local_link_connection": link}
    target = {"uuid": uuid(10, 1), "node_uuid": node(1), "volume_type": "iscsi", "boot_index": 0, "volume_id": "v1"}
    connector = {"uuid": uuid(9, 1), "node_uuid": node(1), "type": "iqn", "connector_id": "iqn.2026-11.example:1"}
    return [
        post("/v1/portgroups", {**group, "properties": {"miimon": "100"}}),
        post("/v1/ports", {**port, "address": "52:54:00:AA:00:01", "physical_network": "net", "name": "p"}),
        *(
            post("/v1/ports", {"uuid": uuid(3, 10 + at), "node_uuid": node(at), "address": f"52:54:00:00:00:{at:02x}"})
            for at in range(1, NODES)
        ),
        post("/v1/volume/connectors", connector),
        post("/v1/volume/targets", {**target, "properties": {"auth_password": SECRETS[3], "target_iqn": "i"}}),
        *(put(f"/v1/nodes/{node(at)}/traits", {"traits": ["CUSTOM_Z", "HW_CPU_X86_VMX"]}) for at in (0, 2)),
    ]


def _verbs() -> list[Call]:
    def verb(number: int, target: str, **more: Any) -> Call:
        body = {"target": target, **more}
        return put(f"/v1/nodes/{node(number)}/states/provision", body, until=node(number))

    taken = {"uuid": uuid(5, 1), "name": "hold", "resource_class": "big", "traits": ["CUSTOM_Z"], "extra": {"b": 2}}
    missing = {"uuid": uuid(5, 2), "name": "none", "resource_class": "nothing"}
    return [
        *(verb(number, "manage") for number in (0, 1, 2, 3)),
        verb(3, "inspect"),
        *(verb(number, "provide") for number in (0, 1, 2)),
        # A node whose power is not known yet is given to nobody.
        put(f"/v1/nodes/{node(2)}/states/power", {"target": "power off"}, until=node(2)),
        post("/v1/allocations", taken, until="allocations"),
        post("/v1/allocations", missing, until="allocations"),
        verb(2, "active"),
        put(f"/v1/nodes/{node(1)}/maintenance", {"reason": "broken fan"}),
        Call("PATCH", f"/v1/nodes/{node(2)}", [{"op": "add", "path": "/protected", "value": True}], LATEST),
        Call("PATCH", f"/v1/nodes/{node(0)}", [{"op": "add", "path": "/owner", "value": "p1"}], LATEST),
    ]


def _write_findings(database: Path) -> None:
    at = "2026-11-20 10:11:12.000000"
    choices = json.dumps(["Enabled", "Disabled"])
    with closing(sqlite3.connect(database, timeout=30)) as connection, connection:
        (number,) = connection.execute("SELECT id FROM nodes WHERE uuid = ?", (node(5),)).fetchone()
        connection.execute(
            "INSERT INTO bios_settings (node_id, name, value, attribute_type, allowable_values, reset_required,"
            " lower_bound, created_at, version)"
            " VALUES (?, 'Virtualization', 'Enabled', 'Enumeration', ?, 1, 3, ?, '1.1')",
            (number, choices, at),
        )
        connection.execute(
            "INSERT INTO firmware_information (node_id, component, initial_version, current_version, created_at,"
            " version) VALUES (?, 'bmc', '1.0', '1.2', ?, '1.0')",
            (number, at),
        )
        data = json.dumps({"cpu": {"count": 4}, "disks": [{"name": "/dev/sda"}]})
        connection.execute(
            "INSERT INTO node_inventory (node_id, inventory_data, plugin_data, created_at, version)"
            " VALUES (?, ?, ?, ?, '1.0')",
            (number, data, json.dumps({"lldp": {}}), at),
        )
