"""What the ramdisk's agent calls: lookup, heartbeat, continue_inspection. Open without authentication.

May not: decide who may be told what (services/heartbeat.py). Invariant: the answer never tells whether an unknown
machine or a wrong state was the reason for a refusal.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from ingot.api import query, spec, versions, wire
from ingot.api.v1 import nodes
from ingot.deps import Deps
from ingot.domain import errors, ids, node, schema_texts, typed
from ingot.services import heartbeat as service

_HEARTBEAT: dict[str, tuple[int, int]] = {
    # key -> (first microversion, longest text)
    "callback_url": (22, 255),
    "agent_version": (36, 64),
    "agent_token": (62, 255),
    "agent_verify_ca": (68, 65_536),
    "agent_status": (72, 255),
    "agent_status_message": (72, 65_536),
}
_INVENTORY_SINCE = 84


_WELCOME = spec.fields(node=dict[str, Any], config=dict[str, Any])
_INSPECTED = spec.fields("uuid", "node", "config", uuid=str, node=dict[str, Any], config=dict[str, Any])
_BEAT = spec.fields(*(name for name in _HEARTBEAT if name != "callback_url"), **dict.fromkeys(_HEARTBEAT, str | None))
_FOUND = spec.anything(
    "What was found", type="object", properties={"inventory": {"type": "object"}}, required=["inventory"]
)


class _Card(msgspec.Struct, frozen=True):
    """The part of a network card's inventory that identifies the machine."""

    mac_address: str | None = None


class _Inventory(msgspec.Struct, frozen=True):
    """The part of an inventory that has to be there."""

    interfaces: Annotated[list[_Card], msgspec.Meta(min_length=1)]


@spec.tells("A ramdisk asks which node it runs on", answer=_WELCOME)
async def lookup(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /v1/lookup?addresses=..&node_uuid=.."""
    asked = query.Query(request, "addresses", "node_uuid")
    addresses = _addresses(list(asked.words("addresses") or ()))
    node_uuid = asked.uuid("node_uuid")
    if not addresses and node_uuid is None:
        raise errors.Invalid("At least one of 'addresses' and 'node_uuid' parameters is required")
    found, token = await service.lookup(deps, addresses, node_uuid and node_uuid.lower(), request.client)
    return wire.ok(_welcome(deps, request, found, token))


@spec.tells("An agent says that it lives", 202, body=_BEAT)
async def heartbeat(deps: Deps, request: wire.Request) -> wire.Answer:
    """POST /v1/heartbeat/{node}."""
    query.Query(request)
    body = request.object("heartbeat")
    for name, value in body.items():
        if name not in _HEARTBEAT:
            raise errors.Invalid(f"Unexpected arguments: {name}", hint=f"Known: {', '.join(_HEARTBEAT)}.")
        first, longest = _HEARTBEAT[name]
        if request.version < first:
            raise errors.Invalid(f'Field "{name}" not recognised in this version', hint=f"It needs 1.{first}.")
        if value is not None and (not isinstance(value, str) or len(value) > longest):
            raise errors.Invalid(f"Expected string for {name}: {str(value)[:80]}", hint=f"At most {longest} letters.")
    url = body.get("callback_url")
    if url is None:
        raise errors.Invalid("Missing mandatory parameter: callback_url")
    if not url.startswith(("http://", "https://")):
        raise errors.Invalid(
            'An issue with the supplied "callback_url" has been detected.', hint="It begins with http:// or https://."
        )
    await service.beat(deps, nodes.known_ident(request.args["node"], request.version), body)
    return wire.accepted()


@spec.tells("A ramdisk sends what it found out about its machine", 202, answer=_INSPECTED, body=_FOUND)
async def continue_inspection(deps: Deps, request: wire.Request) -> wire.Answer:
    """POST /v1/continue_inspection; from 1.84 on, and at exactly 1.1 because agents send no version header."""
    if versions.MIN < request.version < _INVENTORY_SINCE:
        raise errors.NotFound(f"API version 1.{_INVENTORY_SINCE} or newer is required", hint="Ask for it.")
    asked = query.Query(request, "node_uuid")
    body = request.object("data")
    inventory: Any = body.pop("inventory", None)
    if not isinstance(inventory, dict):
        raise errors.Invalid("Schema error for data: 'inventory' is a required property", hint="Send an object.")
    learned: dict[str, Any] = inventory  # pyright: ignore[reportUnknownVariableType] # JSON keys are always text
    _check_interfaces(learned)
    node_uuid = asked.uuid("node_uuid")
    asker = None if request.version == versions.MIN else request.client
    found, token = await service.receive_inventory(deps, learned, body, node_uuid and node_uuid.lower(), asker)
    if asker is None:
        return wire.ok({"uuid": found.uuid}, 202)
    return wire.ok(_welcome(deps, request, found, token), 202)


def _check_interfaces(inventory: dict[str, Any]) -> None:
    try:
        typed.convert(inventory, _Inventory)
    except msgspec.ValidationError as error:
        raise errors.Invalid(f"Schema error for data: {schema_texts.told(error, inventory)}") from error


def _addresses(given: list[str]) -> list[str]:
    """The well-formed ones: machines report cards of other kinds too."""
    found: list[str] = []
    for text in given:
        try:
            found.append(ids.mac(text))
        except errors.Invalid:
            continue
    return found


_AGENT_CONFIG: dict[str, Any] = {
    "metrics": {
        "backend": "noop",
        "prepend_host": False,
        "prepend_uuid": False,
        "prepend_host_reverse": True,
        "global_prefix": None,
    },
    "metrics_statsd": {"statsd_host": "localhost", "statsd_port": 8125},
    "agent_containers": {
        "allow_arbitrary_containers": False,
        "allowed_containers": [],
        "container_steps_file": "/etc/ironic-python-agent.d/mysteps.yaml",
        "runner": "podman",
        "pull_options": "",
        "run_options": "",
    },
    "agent_token_required": True,
    "agent_md5_checksum_enable": False,
    "disable_deep_image_inspection": False,
    "permitted_image_formats": ["raw", "qcow2", "iso"],
    "enable_bios_bootloader_install": False,
    "tls_min_version": None,
    "tls_cipher_suites": None,
}


def _welcome(deps: Deps, request: wire.Request, found: node.Node, token: str) -> dict[str, Any]:
    """What an agent is told: its node and how to behave."""
    shown = {
        "uuid": found.uuid,
        "properties": found.properties,
        "instance_info": found.instance_info,
        "driver_internal_info": found.driver_internal_info,
        "links": request.links("nodes", found.uuid),
    }
    config = {
        **_AGENT_CONFIG,
        "heartbeat_timeout": int(deps.settings.heartbeat_timeout),
        "agent_token": token,
        "agent_skip_bmc_detect": found.management_interface == "redfish",
    }
    return {"node": shown, "config": config}
