"""What schemathesis finds: one of everything, and for each operation a call that can succeed."""

from __future__ import annotations

import re
from typing import Any

from ingot.api import server
from ingot.cli import client as api

_FAKES = {f"{kind}_interface": "fake" for kind in ("console", "bios", "firmware", "raid", "vendor", "inspect")}
_STEP: dict[str, Any] = {"interface": "deploy", "step": "erase_devices", "args": {}}
_ACTION = {"op": "set-attribute", "args": {"path": "extra/a", "value": "b"}}
_EXTRA = [{"op": "add", "path": "/extra/seed", "value": 1}]
_IQN = {"type": "iqn", "connector_id": "iqn.2026-11.example:1"}
_TARGET = {"volume_type": "iscsi", "boot_index": 0, "volume_id": "volume"}
_EVENT = {"event": "network.bind_port", "port_id": "1" * 32, "mac_address": "52:54:00:00:00:01", "status": "ACTIVE"}


def settle(client: api.Client) -> dict[str, str]:
    """Make the things; what stands for each of them in paths."""
    made: dict[str, Any] = {
        name: client.call("POST", "/v1/nodes", {"driver": "fake-hardware", "name": name, **_FAKES})
        for name in ("node", "other")
    }
    node = made["node"]["uuid"]
    of_node = {"node_uuid": node}
    made["port"] = client.call("POST", "/v1/ports", {"address": "52:54:00:12:34:56", **of_node})
    made["portgroup"] = client.call("POST", "/v1/portgroups", of_node)
    made["webhook"] = client.call("POST", "/ingot/v1/webhooks", {"url": "http://127.0.0.1:9/", "enabled": False})
    made["chassis"] = client.call("POST", "/v1/chassis", {"description": "a rack"})
    made["runbooks"] = client.call("POST", "/v1/runbooks", {"name": "CUSTOM_ONE", "steps": [{**_STEP, "order": 1}]})
    template = {"name": "CUSTOM_ONE", "steps": [{**_STEP, "priority": 50}]}
    made["deploy_templates"] = client.call("POST", "/v1/deploy_templates", template)
    made["rule"] = client.call("POST", "/v1/inspection_rules", {"actions": [_ACTION]})
    made["allocation"] = client.call("POST", "/v1/allocations", {"resource_class": "none"})
    made["connectors"] = client.call("POST", "/v1/volume/connectors", {**of_node, **_IQN})
    made["targets"] = client.call("POST", "/v1/volume/targets", {**of_node, **_TARGET})
    client.call("PUT", f"/v1/nodes/{node}/traits", {"traits": ["CUSTOM_ONE"]})
    client.call("PUT", f"/v1/nodes/{node}/states/console", {"enabled": True})
    client.call("PUT", f"/v1/nodes/{node}/states/provision", {"target": "manage"})
    found = {name: one["uuid"] for name, one in made.items()}
    found["hostname"] = client.call("GET", "/v1/conductors")["conductors"][0]["hostname"]
    found["run"] = client.call("GET", f"/ingot/v1/nodes/{node}/runs")["runs"][0]["id"]
    return found


def calls(ids: dict[str, str]) -> dict[str, dict[str, Any]]:
    """A call for each operation, by "METHOD /path": its path parameters, and what else it needs."""
    more = _special(ids)
    found: dict[str, dict[str, Any]] = {}
    for route in server.ROUTES:
        names = re.findall(r"\{(\w+)\}", route.path)
        label = f"{route.method} {route.path}"
        body = {"body": _EXTRA} if route.method == "PATCH" and "vendor" not in route.path else {}
        found[label] = {"path_parameters": _parameters(ids, route.path, names), **body, **more.get(label, {})}
    return found


def _parameters(ids: dict[str, str], path: str, names: list[str]) -> dict[str, str]:
    """The words in a path; those that name nothing that can be named stand for themselves."""
    fixed = {"driver": "fake-hardware", "trait": "CUSTOM_ONE", "indicator": "led@system", "method": "echo"}
    collection = path.partition("/{")[0].rpartition("/")[2]
    known = {**fixed, **ids, "ident": ids.get(collection, "")}
    return {name: known.get(name) or name for name in names}


def _special(ids: dict[str, str]) -> dict[str, dict[str, Any]]:
    """What has to be sent beside the words in the path."""
    node = {"node_uuid": ids["node"]}
    step, priority = [{**_STEP, "order": 1}], [{**_STEP, "priority": 50}]
    return {
        "POST /v1/nodes": {"body": {"driver": "fake-hardware"}},
        "POST /v1/ports": {"body": {**node, "address": "52:54:00:12:34:57"}},
        "POST /v1/portgroups": {"body": node},
        "POST /v1/chassis": {"body": {}},
        "POST /v1/allocations": {"body": {"resource_class": "none"}},
        "POST /v1/runbooks": {"body": {"name": "CUSTOM_TWO", "steps": step}},
        "POST /v1/deploy_templates": {"body": {"name": "CUSTOM_TWO", "steps": priority}},
        "POST /v1/inspection_rules": {"body": {"actions": [_ACTION]}},
        "POST /v1/volume/connectors": {"body": {**node, **_IQN, "connector_id": "iqn.2026-11.example:2"}},
        "POST /v1/volume/targets": {"body": {**node, **_TARGET, "boot_index": 1}},
        "POST /v1/events": {"body": {"events": [_EVENT]}},
        "PATCH /v1/inspection_rules/{rule}": {"body": [{"op": "replace", "path": "/priority", "value": 1}]},
        "PATCH /ingot/v1/webhooks/{webhook}": {"body": [{"op": "replace", "path": "/enabled", "value": False}]},
        "GET /v1/nodes/validate": {"query": {"node": ids["node"]}},
        "PUT /v1/nodes/{node}/management/boot_device": {"body": {"boot_device": "pxe"}},
        "PUT /v1/nodes/{node}/management/indicators/{indicator}": {"body": {"state": "on"}},
        "POST /v1/nodes/{node}/vmedia": {"body": {"device_type": "cdrom", "image_url": "http://127.0.0.1:9/x.iso"}},
        "POST /v1/nodes/{node}/vifs": {"body": {"id": "4f3c2b1a-0000-4000-8000-000000000001"}},
        "PUT /v1/nodes/{node}/states/power": {"body": {"target": "power on"}},
        "PUT /v1/nodes/{node}/states/console": {"body": {"enabled": True}},
        "PUT /v1/nodes/{node}/states/boot_mode": {"body": {"target": "uefi"}},
        "PUT /v1/nodes/{node}/states/secure_boot": {"body": {"target": False}},
        "PUT /v1/nodes/{node}/states/provision": {
            "path_parameters": {"node": ids["other"]},
            "body": {"target": "manage"},
        },
        "PUT /v1/runbooks/{ident}/traits": {"body": {"traits": ["CUSTOM_ONE"]}},
        "POST /ingot/v1/webhooks": {"body": {"url": "http://127.0.0.1:9/", "enabled": False}},
        "GET /ingot/v1/static/{file}": {"path_parameters": {"file": "console.css"}},
        "PUT /v1/nodes/{node}/traits": {"body": {"traits": ["CUSTOM_ONE"]}},
        **{
            f"{method} /v1/nodes/{{node}}/vendor_passthru{end}": {"query": query, "body": {}}
            for method in ("GET", "POST")
            for end, query in (("", {"method": "echo"}), ("/{method}", {}))
        },
    }
