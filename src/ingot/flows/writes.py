"""The units of work of a run: what is written together, fenced by the lease's generation.

May not: call hardware, wait. Invariant: a unit of a lease that another conductor's claim has ended is refused as
errors.LostLease, and nothing of it is written.
"""

from __future__ import annotations

import contextlib
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection

from ingot.deps import Deps
from ingot.domain import (
    bios,
    errors,
    firmware,
    node,
    orders,
    power,
    rule_actions,
    runs,
    secrets,
    states,
)
from ingot.interfaces.network import VIF
from ingot.store import allocations, contexts, history, journals, nodes, order_runs, power_runs, rows
from ingot.store import bios as bios_store
from ingot.store import firmware as firmware_store
from ingot.store import inspection_rules as rule_store
from ingot.store import portgroups as group_store
from ingot.store import ports as port_store
from ingot.store import runs as run_store
from ingot.store.seal import Sealer

_FIELDS = frozenset(node.Node.__struct_fields__)
_STEP_FIELDS = {
    runs.Kind.CLEAN: "clean_step",
    runs.Kind.TEAR_DOWN: "clean_step",
    runs.Kind.DEPLOY: "deploy_step",
    runs.Kind.SERVICE: "service_step",
}


class Due(NamedTuple):
    """What may be written together with the next write: a new plan, lines that confirm what has ended."""

    plan: list[runs.PlannedStep] | None = None
    lines: tuple[runs.Entry, ...] = ()


class Begun(NamedTuple):
    """The node when a step was to begin. ``held``: it was read for that, because others had changed it."""

    node: node.Node
    held: contexts.Held | None


class End(NamedTuple):
    """How a run ends: ``events`` move the node, ``columns`` of it are set."""

    status: runs.Status
    events: tuple[states.Event, ...]
    reason: str | None
    columns: dict[str, Any]


class Writes:
    """The units of one lease."""

    def __init__(self, deps: Deps, lease: run_store.Lease, run: runs.Run) -> None:
        self._sealer = deps.sealer
        self._clock = deps.clock
        self._lease = lease
        self._run = run

    def catch_up(self, connection: Connection, due: Due) -> None:
        """Write what is due."""
        self._set_plan(connection, due.plan)
        if due.lines:
            journals.append(connection, self._lease, *due.lines)

    def begin(
        self, connection: Connection, due: Due, started: runs.Entry, step: runs.PlannedStep, known: node.Node | None
    ) -> Begun:
        """Write what is due and, unless somebody asked the run to stop, that ``step`` begins; show it on the node.

        ``known``: the node as it was last read or written. Where nobody has changed it since, it is not read again.
        """
        self._set_plan(connection, due.plan)
        shown, lines = self._shown(step), (*due.lines, started)
        found = self._begin_known(connection, known, shown, lines)
        if found is not None:
            return Begun(found, None)
        held = contexts.get_held(connection, self._lease)
        if held.asked:
            journals.add(connection, self._lease, due.lines)
            return Begun(held.node, held)
        if shown:
            shown["updated_at"] = rows.now()
            nodes.change(connection, held.node.uuid, **shown)
        journals.add(connection, self._lease, lines)
        return Begun(msgspec.structs.replace(held.node, **shown), held)

    def _begin_known(
        self, connection: Connection, known: node.Node | None, shown: dict[str, Any], lines: tuple[runs.Entry, ...]
    ) -> node.Node | None:
        """Begin a step where the node is still as ``known``; the node as it is then, None where nothing was done.

        The statement that shows the step asks for that, for the lease and for an abort, too; where there is nothing to
        show that is the one which writes the first line.
        """
        if known is None:
            return None
        if all(getattr(known, name) == value for name, value in shown.items()):
            return known if journals.append_known(connection, self._lease, known, lines) else None
        found = self._change_known(connection, known, {**shown, "updated_at": rows.now()})
        if found is not None:
            journals.add(connection, self._lease, lines)
        return found

    def _shown(self, step: runs.PlannedStep) -> dict[str, Any]:
        """The column of a node that shows the step it is in; none where the flow shows none."""
        field = _STEP_FIELDS.get(self._run.kind)
        if field is None:
            return {}
        if step.interface == "flow":
            return {field: {}}  # no step of any interface: clients look names up and would find none
        args = secrets.split(step.args, {}, instance=True)[0]
        return {field: {"interface": step.interface, "step": step.step, "priority": step.priority, "args": args}}

    def _set_plan(self, connection: Connection, plan: list[runs.PlannedStep] | None) -> None:
        if plan is not None:
            sealed = [_sealed_step(self._sealer, self._run.node_uuid, one) for one in plan]
            run_store.change(connection, self._lease, plan=sealed)

    def _change_known(
        self, connection: Connection, known: node.Node | None, values: dict[str, Any]
    ) -> node.Node | None:
        """Set columns where the node is still as ``known``; the node as it is then, None where nothing was done."""
        if known is None or not nodes.change_known(connection, known, *self._named(), **values):
            return None
        return msgspec.structs.replace(known, **values)

    def _named(self) -> tuple[str, int]:
        return self._lease.run_id, self._lease.generation

    def append(self, connection: Connection, entry: runs.Entry) -> None:
        """Write a journal line."""
        journals.append(connection, self._lease, entry)

    def remember(self, connection: Connection, memo: dict[str, Any]) -> None:
        """Replace the run's memo."""
        run_store.change(connection, self._lease, memo=memo)

    def report(self, connection: Connection, progress: dict[str, Any]) -> None:
        """Show progress."""
        run_store.change(connection, self._lease, progress=progress)

    def park(self, connection: Connection, wait: runs.Wait, wake_at: float) -> None:
        """Give the run back; the node enters its wait state if the wait is for its agent."""
        run_store.park(connection, self._lease, wait, wake_at)
        if wait.held:
            if wait != self._run.wait:  # else it was released between the look and this, and must not be held again
                self._move(connection, states.Event.HOLD)
        elif wait.on_agent:
            self._move(connection, states.Event.WAIT)

    def release(self, connection: Connection, memo: dict[str, Any]) -> None:
        """Give the run back as it is, due at once."""
        run_store.release(connection, self._lease, memo, self._clock())

    def resumed(self, connection: Connection) -> None:
        """The wait is over; the node leaves its wait state."""
        run_store.resume(connection, self._lease)
        self._move(connection, states.Event.RESUME)

    def enter(self, connection: Connection, event: states.Event) -> None:
        """Move the node by a state event."""
        run_store.check(connection, self._lease)
        self._move(connection, event)

    def _move(self, connection: Connection, event: states.Event) -> None:
        """Apply an event where the table allows it from here, else leave the state."""
        present = nodes.get_state(connection, self._run.node_uuid)
        after = states.find_next(present, event)
        if after is not None:
            nodes.move(connection, self._run.node_uuid, present, after)

    def finish(self, connection: Connection, seen: states.State | None, end: End) -> None:
        """Close the run, move the node by the end's events one after another, and set its columns.

        ``seen``: the state that the run knows the node in; where it is another one, that is found out.
        """
        now = self._clock()
        run_store.finish(connection, self._lease, end.status, end.reason, now)
        after = self._leave(connection, seen, end)
        text = f"{self._run.kind}: {end.status}" + (f": {end.reason}" if end.reason else "")
        history.add(
            connection,
            self._run.node_uuid,
            text,
            severity="INFO" if end.status == runs.Status.SUCCEEDED else "ERROR",
            event_type="provisioning",
            conductor=self._lease.owner.rsplit("/", 1)[0],
            state=after,
            duration_seconds=round(now - self._run.started_at, 3),
        )

    def _leave(self, connection: Connection, seen: states.State | None, end: End) -> states.State:
        """Change the node as an end does; the state that it is in then."""
        if seen is not None and end.events:
            with contextlib.suppress(errors.Refused):  # somebody moved it meanwhile
                return self._leave_from(connection, seen, end)
        return self._leave_from(connection, nodes.get_state(connection, self._run.node_uuid), end)

    def _leave_from(self, connection: Connection, before: states.State, end: End) -> states.State:
        uuid, after = self._run.node_uuid, before
        for event in end.events:
            after = states.transition(after, event)
        fields: dict[str, Any] = {
            "clean_step": {},
            "deploy_step": {},
            "service_step": {},
            "inspection_started_at": None,
            "target_power_state": None,
            "last_error": end.reason,
            "reservation": None,
            **end.columns,
        }
        if not end.events:
            nodes.change(connection, uuid, **fields)
        else:
            rests = states.TABLE[after].kind == states.Kind.STABLE
            goal = {"target_provision_state": None} if rests else {}
            nodes.move(connection, uuid, before, after, **goal, **fields)
        return after

    def change_node(self, connection: Connection, columns: dict[str, Any], known: node.Node | None) -> node.Node | None:
        """Set columns of the node; the node as it is then, None where that would have to be read."""
        columns = {"updated_at": rows.now(), **columns}
        if not columns.keys() <= _FIELDS:
            known = None
        found = self._change_known(connection, known, columns)
        if found is None and not nodes.change_held(connection, self._run.node_uuid, *self._named(), **columns):
            raise errors.LostLease()
        return found

    def end_asked_power(
        self, connection: Connection, memo: dict[str, Any], columns: dict[str, Any], event: str, severity: str
    ) -> None:
        """A power change that was asked for while the run waits is over: the memo without it, the node, its history."""
        run_store.change(connection, self._lease, memo=memo)
        nodes.change(connection, self._run.node_uuid, target_power_state=None, **columns)
        history.add(connection, self._run.node_uuid, event, severity=severity)

    def keep_internal(self, connection: Connection, values: dict[str, Any]) -> node.Node:
        """Set keys of driver_internal_info; the node as it is then."""
        run_store.check(connection, self._lease)
        return nodes.keep_internal(connection, self._run.node_uuid, values)

    def forget_instance(self, connection: Connection) -> None:
        """Clear what belonged to the node's instance."""
        run_store.check(connection, self._lease)
        uuid = self._run.node_uuid
        held = allocations.find_of_node(connection, uuid)
        if held is not None:
            allocations.destroy(connection, held.uuid)
        kept: dict[str, Any] = self._sealer.open(uuid, nodes.get_secrets(connection, uuid)[0]) or {}
        kept.pop("instance_info", None)
        sealed = self._sealer.seal(uuid, kept)
        gone = dict.fromkeys(("instance_uuid", "instance_name", "allocation_uuid", "agent_url", "agent_heartbeat_at"))
        nodes.change(connection, uuid, instance_info={}, secrets=sealed, agent_token=None, **gone)
        for table in (port_store, group_store):
            for place in table.list_of_node(connection, uuid):
                if VIF in place.internal_info:
                    left = {key: value for key, value in place.internal_info.items() if key != VIF}
                    table.change(connection, place.uuid, internal_info=left)

    def switch_relative(self, connection: Connection, uuid: str, target: power.Target, timeout: float) -> None:
        """Open a power run on another node."""
        run_store.check(connection, self._lease)
        power_runs.open_power(connection, uuid, target, timeout, self._clock())

    def order_step(self, connection: Connection, child: str, run_id: str, planned: runs.PlannedStep) -> None:
        """Open a run of one step on a child, unless that was done."""
        run_store.check(connection, self._lease)
        if run_store.exists(connection, run_id):
            return
        if nodes.get(connection, child).parent_node != self._run.node_uuid:
            raise errors.Invalid(f"Node {child} is no longer a child of this one", hint="Ask for the steps again.")
        asked = {"interface": planned.interface, "step": planned.step, "args": planned.args, "word": self._run.kind}
        params = {"order": orders.Order.STEP.value, "sealed": self._sealer.seal(child, asked)}
        order_runs.open_order(connection, child, params, self._clock(), run_id)

    def store_inventory(self, connection: Connection, inventory: dict[str, Any], plugin_data: dict[str, Any]) -> None:
        """Keep what inspection found."""
        run_store.check(connection, self._lease)
        history.set_inventory(connection, self._run.node_uuid, inventory, plugin_data)

    def keep_findings(self, connection: Connection, found: rule_actions.Findings, key: str) -> None:
        """Write what inspection rules changed, and that they were applied."""
        run_store.change(connection, self._lease, memo={**self._run.memo, key: True})
        rule_store.keep(connection, self._sealer, self._run.node_uuid, found)

    def store_bios(self, connection: Connection, settings: list[bios.Setting]) -> None:
        """Keep firmware settings."""
        run_store.check(connection, self._lease)
        bios_store.replace(connection, self._run.node_uuid, settings)

    def store_firmware(self, connection: Connection, components: list[firmware.Component]) -> None:
        """Keep firmware versions."""
        run_store.check(connection, self._lease)
        firmware_store.replace(connection, self._run.node_uuid, components)

    def change_port(self, connection: Connection, uuid: str, columns: dict[str, Any]) -> None:
        """Set columns of a port."""
        run_store.check(connection, self._lease)
        port_store.change(connection, uuid, **columns)

    def add_ports(self, connection: Connection, found: list[node.Port]) -> None:
        """Register ports whose address is new."""
        run_store.check(connection, self._lease)
        for port in found:
            if port_store.find(connection, port.address) is None:
                port_store.create(connection, port)

    def note(self, connection: Connection, event: str, severity: str) -> None:
        """Write a line into the node's history."""
        run_store.check(connection, self._lease)
        history.add(connection, self._run.node_uuid, event, severity=severity)


def _sealed_step(sealer: Sealer, node_uuid: str, step: runs.PlannedStep) -> runs.PlannedStep:
    """A step as it is stored: the secrets among its arguments sealed."""
    public, hidden = secrets.split(step.args, {}, instance=True)
    return msgspec.structs.replace(step, args=public, sealed=sealer.seal(node_uuid, hidden)) if hidden else step
