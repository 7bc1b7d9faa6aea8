"""The plan of importing the database of Nova's old bare-metal driver: bm_nodes and bm_interfaces.

Facts: nova/virt/baremetal/db/sqlalchemy/models.py as of 2012 (no uuid, prov_mac_address in the node) and of 2014. That
service kept power users and passwords in clear, and cleaned nothing. May not: write. Invariant: a node without an
instance comes as ``enroll``, so that it is verified and cleaned before anybody gets it.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from typing import Any

from ingot.domain import errors
from ingot.domain.states import State
from ingot.imports import plan as plans
from ingot.imports import shapes, verdicts
from ingot.imports.source import Row, Source
from ingot.interfaces.registry import Registry
from ingot.store import schema

_DRIVER = "ipmi"
_SIZES = ("cpus", "memory_mb", "local_gb")
_FAILED = {"error": State.ERROR, "deleting": State.ERROR, "deleted": State.ERROR}
"""What becomes of a node whose instance was not running; everything else failed while it was deployed."""


def planned(source: Source, here: plans.Taken, registry: Registry, choices: verdicts.Choices) -> plans.Plan:
    """Read what is there and judge it. Raises errors.Invalid when the database is not of that driver."""
    if not source.has("bm_nodes") or not source.has("bm_interfaces"):
        text = f"{source.shown} has no tables bm_nodes and bm_interfaces"
        raise errors.Invalid(text, hint="Name the database of nova.conf's section [baremetal].")
    plan = plans.Plan(source=source.shown, version=source.version)
    found = [row for row in source.rows("bm_nodes") if not row.get("deleted")]
    cards = _cards(source, [row["id"] for row in found], found)
    for row in found:
        ident = _uuid(row)
        if ident in here.nodes:
            plan.present += 1
            continue
        verdict = _judge(row, registry, choices)
        reason = verdict.refused or here.conflict(row, cards[row["id"]])
        if reason is not None:
            plan.stays.append(plans.Stays("node", ident, row.get("instance_name"), reason))
            continue
        plan.nodes.append(plans.Coming(row["id"], ident, verdict.changes))
        plan.states[str(verdict.changes["provision_state"])] += 1
        plan.notes.update(verdict.notes)
    plan.counts["nodes"] = (len(found), len(plan.nodes))
    coming = {one.number for one in plan.nodes}
    macs = {number: len(own) for number, own in cards.items()}
    plan.counts["ports"] = (sum(macs.values()), sum(count for number, count in macs.items() if number in coming))
    return plan


def parts(source: Source, batch: Iterable[plans.Coming]) -> dict[str, list[Row]]:
    """These nodes with their ports as rows of ours; not sealed yet."""
    coming = {one.number: one for one in batch}
    found = source.rows("bm_nodes", where=("id", list(coming)))
    cards = _cards(source, list(coming), found)
    names = {row["id"]: coming[row["id"]].uuid for row in found}
    ports = [
        shapes.made(schema.ports, {}, uuid=_derived("port", address), node_uuid=names[number], address=address)
        for number, own in cards.items()
        for address in own
    ]
    return {"nodes": [_node(row, coming[row["id"]]) for row in found], "ports": ports}


def _judge(row: Row, registry: Registry, choices: verdicts.Choices) -> verdicts.Verdict:
    if not row.get("pm_address"):
        return verdicts.Verdict(refused="It has no address of a BMC. Enrol it by hand with the driver that fits.")
    if _DRIVER not in registry.enabled:
        return verdicts.Verdict(refused=f"The driver {_DRIVER} is not among the setting drivers. Add it.")
    task = str(row.get("task_state") or "")
    changes: dict[str, Any] = {"driver": _DRIVER, **registry.defaults(_DRIVER)}
    if not row.get("instance_uuid"):
        note = "free nodes come as enroll: manage and provide them, which checks their BMC and erases their disks"
        return verdicts.Verdict(changes={**changes, "provision_state": State.ENROLL}, notes=(note,))
    if task == "active":
        return verdicts.Verdict(changes={**changes, "provision_state": State.ACTIVE})
    if not choices.interrupted:
        hint = "Let it end there and import again, or end that service and say --interrupted."
        return verdicts.Verdict(refused=f'The node is being worked on ("{task}"). {hint}')
    state = _FAILED.get(task, State.DEPLOY_FAILED)
    text = f'The node was "{task}" in the service it was imported from. Nothing has been done to it since.'
    changes |= {"provision_state": state, "last_error": text}
    return verdicts.Verdict(changes=changes, notes=(f'"{task}" becomes "{state}"',))


def _cards(source: Source, numbers: list[int], found: list[Row]) -> dict[int, list[str]]:
    """The MAC addresses of each node, the one it boots from first."""
    cards = {row["id"]: [str(mac).lower() for mac in [row.get("prov_mac_address")] if mac] for row in found}
    for row in source.rows("bm_interfaces", where=("bm_node_id", numbers)):
        mac = str(row.get("address") or "").lower()
        if mac and not row.get("deleted") and mac not in cards[row["bm_node_id"]]:
            cards[row["bm_node_id"]].append(mac)
    return cards


def _node(row: Row, coming: plans.Coming) -> Row:
    info = {
        "ipmi_address": row["pm_address"],
        "ipmi_username": row.get("pm_user"),
        "ipmi_password": row.get("pm_password"),
        "ipmi_terminal_port": row.get("terminal_port"),
    }
    sizes = {name: row[name] for name in _SIZES if row.get(name)}
    instance = {"display_name": row["instance_name"]} if row.get("instance_name") else {}
    made = {
        **{name: row.get(name) for name in ("instance_uuid", "instance_name", "created_at", "updated_at")},
        "driver_info": json.dumps({name: value for name, value in info.items() if value}),
        "properties": json.dumps(sizes),
        "instance_info": json.dumps(instance),
        "extra": json.dumps({"nova_baremetal_id": row["id"]}),
    }
    return shapes.made(schema.nodes, made, uuid=coming.uuid, secrets=None, **coming.changes)


def _uuid(row: Row) -> str:
    """The node's uuid; one that is always the same where that version kept none."""
    return str(row["uuid"]).lower() if row.get("uuid") else _derived("node", f"{row.get('service_host')}/{row['id']}")


def _derived(kind: str, name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"nova-baremetal:{kind}:{name}"))
