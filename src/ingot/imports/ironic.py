"""The plan of importing an Ironic database: which of its rows become which of ours.

Facts: the tables of Ironic 39.0.0 (ironic/db/sqlalchemy/models.py); older versions lack some, and their columns.
May not: write. Invariant: conductors, reservations, tags, sessions of agents and their tokens are left behind.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ingot.domain import errors, inspection_rules, node, secrets
from ingot.imports import plan as plans
from ingot.imports import shapes, verdicts
from ingot.imports.source import Row, Source
from ingot.interfaces.registry import Registry
from ingot.store import schema

_JUDGED = (
    *("id", "uuid", "name", "driver", "provision_state", "reservation", "instance_uuid", "parent_node"),
    *("console_enabled", *(f"{kind}_interface" for kind in node.INTERFACES)),
)
_PARTS = {
    "ports": "ports",
    "portgroups": "port groups",
    "node_traits": "traits",
    "volume_connectors": "volume connectors",
    "volume_targets": "volume targets",
    "node_history": "lines of history",
    "node_inventory": "inventories",
    "bios_settings": "BIOS settings",
    "firmware_information": "firmware components",
}
_LEFT = ("agent_url", "agent_version", "agent_last_heartbeat", "agent_secret_token_pregenerated", "boot")
"""Keys of driver_internal_info that tell of a ramdisk which ingot did not start, or that mean something of ours."""


def planned(source: Source, here: plans.Taken, registry: Registry, choices: verdicts.Choices) -> plans.Plan:
    """Read what is there and judge it. Raises errors.Invalid when the database is not Ironic's."""
    if not source.has("nodes") or not source.has("conductors"):
        raise errors.Invalid(f"{source.shown} is no database of Ironic", hint="Name the one of its [database] section.")
    plan = plans.Plan(source=source.shown, version=source.version)
    _judge_nodes(plan, source, here, registry, choices)
    _count_parts(plan, source)
    plans.add_shared(
        plan, here, "chassis", "chassis", [shapes.made(schema.chassis, one) for one in source.rows("chassis")]
    )
    plans.add_shared(plan, here, "deploy templates", "deploy_templates", _templates(source))
    plans.add_shared(plan, here, "runbooks", "runbooks", _runbooks(source))
    plans.add_shared(plan, here, "inspection rules", "inspection_rules", _rules(plan, source))
    _allocations(plan, source, here)
    return plan


def _judge_nodes(
    plan: plans.Plan, source: Source, here: plans.Taken, registry: Registry, choices: verdicts.Choices
) -> None:
    found = source.rows("nodes", only=_JUDGED)
    addresses: dict[int, list[str]] = {}
    for row in [
        *source.rows("ports", only=("node_id", "address")),
        *source.rows("portgroups", only=("node_id", "address")),
    ]:
        addresses.setdefault(row["node_id"], []).append(str(row["address"]).lower())
    reasons: dict[str, str] = {}
    verdict_of: dict[str, verdicts.Verdict] = {}
    for row in found:
        verdict = verdicts.judge(row, registry, choices)
        reason = verdict.refused or here.conflict(row, addresses.get(row["id"], []))
        verdict_of[row["uuid"]] = verdict
        if reason is not None and row["uuid"] not in here.nodes:
            reasons[row["uuid"]] = reason
    reasons |= _orphans(found, reasons)
    for row in found:
        uuid = row["uuid"]
        if uuid in here.nodes:
            plan.present += 1
        elif uuid in reasons:
            plan.stays.append(plans.Stays("node", uuid, row.get("name"), reasons[uuid]))
        else:
            verdict = verdict_of[uuid]
            plan.nodes.append(plans.Coming(row["id"], uuid, verdict.changes))
            plan.states[str(verdict.changes["provision_state"])] += 1
            plan.notes.update(verdict.notes)
    plan.counts["nodes"] = (len(found), len(plan.nodes))


def _orphans(found: list[Row], reasons: dict[str, str]) -> dict[str, str]:
    """Children of nodes that stay behind; an operation of the parent would miss them."""
    lost: dict[str, str] = {}
    fresh = True
    while fresh:
        gone = reasons.keys() | lost.keys()
        text = "Its parent node stays behind. Import both, or take the parent off the child."
        fresh = {row["uuid"]: text for row in found if row.get("parent_node") in gone and row["uuid"] not in gone}
        lost |= fresh
    return lost


def _count_parts(plan: plans.Plan, source: Source) -> None:
    coming = {one.number for one in plan.nodes}
    for name, kind in _PARTS.items():
        numbers = source.numbers(name, "node_id")
        plan.counts[kind] = (sum(numbers.values()), sum(count for key, count in numbers.items() if key in coming))


def _templates(source: Source) -> list[Row]:
    steps = _steps(source, "deploy_template_steps", "deploy_template_id", "priority")
    found = source.rows("deploy_templates")
    return [shapes.made(schema.deploy_templates, one, steps=steps.get(one["id"], [])) for one in found]


def _runbooks(source: Source) -> list[Row]:
    steps = _steps(source, "runbook_steps", "runbook_id", "order")
    traits: dict[int, list[str]] = {}
    for row in source.rows("runbook_traits"):
        traits.setdefault(row["runbook_id"], []).append(row["trait"])
    return [
        shapes.made(schema.runbooks, one, steps=steps.get(one["id"], []), traits=sorted(traits.get(one["id"], [])))
        for one in source.rows("runbooks")
    ]


def _steps(source: Source, table: str, owner: str, number: str) -> dict[int, list[Row]]:
    found: dict[int, list[Row]] = {}
    for row in source.rows(table):
        step = {name: row[name] for name in ("interface", "step", number)}
        found.setdefault(row[owner], []).append({**step, "args": shapes.parsed(row["args"], "args")})
    return found


def _rules(plan: plans.Plan, source: Source) -> list[Row]:
    made: list[Row] = []
    for row in source.rows("inspection_rules"):
        parts = {name: shapes.parsed(row.get(name), name) for name in ("conditions", "actions")}
        shown = shapes.made(schema.inspection_rules, row, phase=row.get("phase") or "main", secrets=None)
        try:
            if row.get("scope"):
                raise errors.NotSupported(f"It holds in the scope {row['scope']} only", hint="ingot's rules have none.")
            inspection_rules.check(inspection_rules.Rule(**{key: shown[key] for key in _RULE}, **parts))
        except errors.Refused as error:
            plan.stays.append(plans.Stays("inspection rule", row["uuid"], row.get("description"), error.sentence()))
            continue
        made.append({**shown, **parts})
    return made


_RULE = ("uuid", "description", "priority", "sensitive", "phase")


def _allocations(plan: plans.Plan, source: Source, here: plans.Taken) -> None:
    """Those of coming nodes come with them (``parts``); those that failed come alone, a search under way does not."""
    coming = {one.number for one in plan.nodes}
    alone: list[Row] = []
    found = source.rows("allocations")
    for row in found:
        if row["node_id"] is None and row["state"] == "error":
            alone.append(shapes.made(schema.allocations, row, node_uuid=None))
        elif row["node_id"] not in coming and row["uuid"] not in here.shared["allocations"].values():
            why = "It has no node yet. Ask ingot for one." if row["node_id"] is None else "Its node does not come now."
            plan.stays.append(plans.Stays("allocation", row["uuid"], row.get("name"), why))
    plans.add_shared(plan, here, "allocations", "allocations", alone)
    beside = sum(row["node_id"] in coming for row in found)
    plan.counts["allocations"] = (len(found), plan.counts["allocations"][1] + beside)


def parts(source: Source, batch: Iterable[plans.Coming]) -> dict[str, list[Row]]:
    """Everything of these nodes as rows of ours by table, in an order that keeps every reference; not sealed yet."""
    coming = {one.number: one for one in batch}
    numbers = list(coming)
    boxes = {row["id"]: row["uuid"] for row in source.rows("chassis", only=("id", "uuid"))}
    held = {row["id"]: row["uuid"] for row in source.rows("allocations", only=("id", "uuid"))}

    def of(theirs: str, ours: Any, **more: Any) -> list[Row]:
        rows = source.rows(theirs, where=("node_id", numbers))
        return [shapes.made(ours, row, node_uuid=coming[row["node_id"]].uuid, **_named(row, more)) for row in rows]

    groups = {row["id"]: row["uuid"] for row in source.rows("portgroups", where=("node_id", numbers))}
    return {
        "nodes": [_node(row, coming[row["id"]], boxes, held) for row in source.rows("nodes", where=("id", numbers))],
        "node_traits": of("node_traits", schema.node_traits),
        "portgroups": of("portgroups", schema.portgroups),
        "ports": of("ports", schema.ports, portgroup_uuid=("portgroup_id", groups)),
        "volume_connectors": of("volume_connectors", schema.volume_connectors),
        "volume_targets": of("volume_targets", schema.volume_targets),
        "node_history": of("node_history", schema.node_history),
        "node_inventory": _inventories(of("node_inventory", schema.node_inventory, inventory=("inventory_data", None))),
        "node_bios": of("bios_settings", schema.node_bios),
        "node_firmware": of("firmware_information", schema.node_firmware),
        "allocations": of("allocations", schema.allocations),
    }


def _named(row: Row, more: dict[str, tuple[str, dict[int, str] | None]]) -> Row:
    """Columns that are called otherwise there: what stands in them, or what it points to."""
    return {
        name: row.get(there) if names is None else names.get(row.get(there) or 0)
        for name, (there, names) in more.items()
    }


def _inventories(found: list[Row]) -> list[Row]:
    return [{**row, "inventory": shapes.parsed(row["inventory"], "inventory")} for row in found]


def _node(found: Row, coming: plans.Coming, boxes: dict[int, str], held: dict[int, str]) -> Row:
    internal, _ = secrets.split(shapes.parsed(found.get("driver_internal_info"), "driver_internal_info"), {})
    internal = {key: value for key, value in internal.items() if key not in _LEFT and value != secrets.MASK}
    fixed: Row = {
        "chassis_uuid": boxes.get(found.get("chassis_id") or 0),
        "allocation_uuid": held.get(found.get("allocation_id") or 0),
        "driver_internal_info": internal,
        **dict.fromkeys(("reservation", "secrets", "agent_token", "agent_token_told", "agent_url", "agent_version")),
    }
    return shapes.made(schema.nodes, found, **{**fixed, **coming.changes})
