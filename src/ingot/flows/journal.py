"""The run's hand on the database: every write of a run and of its node, fenced by the lease's generation.

May not: call hardware. Invariant: each method is one unit of work, refused as errors.LostLease once another
conductor has the run; what belongs together (journal line and node fields) is in the same unit.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

import msgspec
from sqlalchemy import Connection

from ingot.deps import Deps
from ingot.domain import bios, errors, firmware, inspection_rules, node, power, rule_actions, runs, secrets, states
from ingot.interfaces.network import VIF
from ingot.store import allocations, history, nodes, run_logs
from ingot.store import bios as bios_store
from ingot.store import firmware as firmware_store
from ingot.store import inspection_rules as rule_store
from ingot.store import portgroups as group_store
from ingot.store import ports as port_store
from ingot.store import runs as run_store
from ingot.store.seal import Sealer
from ingot.telemetry import counts

P = ParamSpec("P")
T = TypeVar("T")

_STEP_FIELDS = {
    runs.Kind.CLEAN: "clean_step",
    runs.Kind.TEAR_DOWN: "clean_step",
    runs.Kind.DEPLOY: "deploy_step",
    runs.Kind.SERVICE: "service_step",
}
_REPORT_EVERY = 1.0


class RunJournal:
    """Implements interfaces.context.Journal for one lease, and what flows/run.py needs besides."""

    def __init__(self, deps: Deps, lease: run_store.Lease, run: runs.Run, entries: list[runs.Entry]) -> None:
        self.lease = lease
        self.run = run
        self.plan = list(run.plan or [])
        self.entries = entries
        self._deps = deps
        self._reported = 0.0
        self._sure()

    # --- the journal proper -------------------------------------------------------------------------------------

    async def mark(self, step: int, mark: runs.Mark, detail: str | None = None) -> None:
        """Write one journal line; a start also shows the step on the node."""
        entry = runs.Entry(len(self.entries) + 1, step, mark, self._deps.clock(), detail)
        await self._write(self._mark, entry)
        self.entries.append(entry)

    async def set_plan(self, plan: list[runs.PlannedStep]) -> None:
        """Store the plan."""
        await self._fenced(plan=[_sealed_step(self._deps.sealer, self.run.node_uuid, one) for one in plan])
        self.plan = list(plan)

    async def insert_steps(self, steps: list[runs.PlannedStep]) -> None:
        """Put ``steps`` behind the step being run; does nothing when they stand there already."""
        after = runs.fold(len(self.plan), self.entries).next + 1
        if self.plan[after : after + len(steps)] != steps:
            await self.set_plan([*self.plan[:after], *steps, *self.plan[after:]])

    async def park(self, wait: runs.Wait, wake_at: float) -> None:
        """Give the run back while it waits; the node enters its wait state if the wait is for its agent."""
        await self._write(self._park, wait, wake_at)

    async def resumed(self) -> None:
        """Note that the wait is over; the node leaves its wait state."""
        await self._write(self._resumed)

    async def finish(
        self, status: runs.Status, events: tuple[states.Event, ...], reason: str | None, **node: Any
    ) -> None:
        """Close the run and move the node by ``events``, one after another, setting other node columns."""
        await self._write(self._finish, status, events, reason, node)
        counts.RUNS.count(self.run.kind, status)

    # --- what steps may do --------------------------------------------------------------------------------------

    async def remember(self, key: str, value: Any) -> None:
        """Keep ``value`` in the run's memo."""
        self.run.memo[key] = value
        await self._fenced(memo=self.run.memo)

    async def change_node(self, **columns: Any) -> None:
        """Set columns of the node."""
        if "provision_state" in columns:
            raise errors.Bug("A step tried to change provision_state: only a flow's events may.")
        await self._write(self._change_node, columns)

    async def keep_internal(self, values: dict[str, Any]) -> node.Node:
        """Set keys of the node's driver_internal_info; the node as it is then."""
        return await self._write(self._keep_internal, values)

    async def set_agent_token(self, token: str | None) -> None:
        """Replace the agent's token; None also forgets the agent itself."""
        sealed = None if token is None else self._deps.sealer.seal(self.run.node_uuid, token)
        gone = {} if token else {"agent_url": None, "agent_heartbeat_at": None, "agent_verify_ca": None}
        await self.change_node(agent_token=sealed, agent_token_told=None, **gone)

    async def change_port(self, uuid: str, **columns: Any) -> None:
        """Set columns of a port."""
        await self._write(self._change_port, uuid, columns)

    async def add_ports(self, ports: list[node.Port]) -> None:
        """Register ports, leaving out addresses that exist already."""
        await self._write(self._add_ports, ports)

    async def note(self, event: str, severity: str = "INFO") -> None:
        """Write a line into the node's history."""
        await self._write(self._note, event, severity)

    async def report(self, done: float, total: float | None, phase: str) -> None:
        """Show progress, at most once a second."""
        now = self._deps.clock()
        if now - self._reported >= _REPORT_EVERY or done == total:
            self._reported = now
            await self._fenced(progress={"done": done, "total": total, "phase": phase})

    async def read_fresh(self) -> tuple[node.Node, str | None]:
        """The node's row and the agent's token as they are now."""
        found, sealed = await self._deps.store.read(_read_fresh, self.run.node_uuid)
        return found, self._deps.sealer.open(found.uuid, sealed)

    async def list_relatives(self) -> list[node.Node]:
        """The nodes that share the node's power supply."""
        return await self._deps.store.read(nodes.list_relatives, self.run.node_uuid)

    async def switch_relative(self, uuid: str, target: power.Target, timeout: float) -> None:
        """Open a power run on another node and ring."""
        await self._write(self._switch_relative, uuid, target, timeout)
        self._deps.bus.ring(uuid)

    async def find_inventory(self) -> tuple[str, dict[str, Any], dict[str, Any]] | None:
        """(time stored, inventory, plugin data) or None."""
        return await self._deps.store.read(history.find_inventory, self.run.node_uuid)

    async def store_inventory(self, inventory: dict[str, Any], plugin_data: dict[str, Any]) -> None:
        """Store what inspection found."""
        await self._write(self._store_inventory, inventory, plugin_data)

    async def read_for_rules(self) -> tuple[list[inspection_rules.Rule], node.Node, list[node.Port]]:
        """The inspection rules, oldest first, and the node and its ports as they are now."""
        return await self._deps.store.read(_read_for_rules, self._deps.sealer, self.run.node_uuid)

    async def keep_findings(self, found: rule_actions.Findings, key: str) -> None:
        """Write what inspection rules changed, and that they were applied: both or neither."""
        await self._write(self._keep_findings, found, key)

    async def store_bios(self, settings: list[bios.Setting]) -> None:
        """Keep these firmware settings as the node's."""
        await self._write(self._store_bios, settings)

    async def store_firmware(self, components: list[firmware.Component]) -> None:
        """Keep these firmware versions as the node's."""
        await self._write(self._store_firmware, components)

    async def keep_logs(self, bundle: bytes) -> None:
        """Keep what the ramdisk logged with the run."""
        await self._write(run_logs.put, self.lease, bundle, self._deps.clock())

    async def forget_instance(self) -> None:
        """Clear everything of the node that belonged to its instance, secrets included."""
        await self._write(self._forget_instance)

    async def enter(self, event: str) -> None:
        """Move the node by a state event in mid-run; does nothing when it is there already."""
        await self._write(self._enter, states.Event(event))

    async def check(self) -> None:
        """Raise errors.LostLease when another conductor has the run.

        The database is asked only where half a lease has passed since it last said so, by either clock: one may be set,
        the other stands still while a host sleeps.
        """
        since = max(time.monotonic() - self._sure_at[0], self._deps.clock() - self._sure_at[1])
        if since > self._deps.settings.lease / 2:
            await self._deps.store.read(run_store.check, self.lease)
            self._sure()

    def _sure(self) -> None:
        self._sure_at = (time.monotonic(), self._deps.clock())

    # --- units of work ------------------------------------------------------------------------------------------

    async def _write(self, unit: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """One unit of work.

        A process that was held up in it (stopped, swapped out) asks whether the run is still its own before anything
        more is done to hardware.
        """
        began = self._deps.clock()
        result = await self._deps.store.run(unit, *args, **kwargs)
        if self._deps.clock() - began > self._deps.settings.lease / 2:
            await self._deps.store.run(run_store.check, self.lease)
        self._sure()
        return result

    async def _fenced(self, **columns: Any) -> None:
        await self._write(run_store.change, self.lease, **columns)

    def _mark(self, connection: Connection, entry: runs.Entry) -> None:
        run_store.append(connection, self.lease, entry)
        field = _STEP_FIELDS.get(self.run.kind)
        if entry.mark == runs.Mark.STARTED and field:
            step = self.plan[entry.step]
            shown: dict[str, Any] = {
                "interface": step.interface,
                "step": step.step,
                "priority": step.priority,
                "args": secrets.split(step.args, {}, instance=True)[0],
            }
            nodes.change(connection, self.run.node_uuid, **{field: shown})

    def _park(self, connection: Connection, wait: runs.Wait, wake_at: float) -> None:
        run_store.park(connection, self.lease, wait, wake_at)
        if wait.held:
            if wait != self.run.wait:  # else it was released between the look and this, and must not be held again
                self._move(connection, states.Event.HOLD)
        elif wait.on_agent:
            self._move(connection, states.Event.WAIT)

    def _resumed(self, connection: Connection) -> None:
        run_store.resume(connection, self.lease)
        self._move(connection, states.Event.RESUME)

    def _enter(self, connection: Connection, event: states.Event) -> None:
        run_store.check(connection, self.lease)
        self._move(connection, event)

    def _move(self, connection: Connection, event: states.Event) -> None:
        """Apply an event where the table allows it from here, else leave the state."""
        present = nodes.get(connection, self.run.node_uuid).provision_state
        after = states.find_next(present, event)
        if after is not None:
            nodes.move(connection, self.run.node_uuid, present, after)

    def _finish(
        self,
        connection: Connection,
        status: runs.Status,
        events: tuple[states.Event, ...],
        reason: str | None,
        extra: Any,
    ) -> None:
        now = self._deps.clock()
        run_store.finish(connection, self.lease, status, reason, now)
        uuid = self.run.node_uuid
        fields: dict[str, Any] = {
            "clean_step": {},
            "deploy_step": {},
            "service_step": {},
            "last_error": reason,
            **extra,
        }
        before = nodes.get(connection, uuid)
        after = before.provision_state
        for event in events:
            after = states.transition(after, event)
        if not events:
            nodes.change(connection, uuid, **fields)
        else:
            rests = states.TABLE[after].kind == states.Kind.STABLE
            goal = {"target_provision_state": None} if rests else {}
            nodes.move(connection, uuid, before.provision_state, after, **goal, **fields)
        text = f"{self.run.kind}: {status}" + (f": {reason}" if reason else "")
        history.add(
            connection,
            uuid,
            text,
            severity="INFO" if status == runs.Status.SUCCEEDED else "ERROR",
            event_type="provisioning",
            conductor=self.lease.owner.rsplit("/", 1)[0],
            state=after,
            duration_seconds=round(now - self.run.started_at, 3),
        )

    def _change_node(self, connection: Connection, columns: dict[str, Any]) -> None:
        run_store.check(connection, self.lease)
        nodes.change(connection, self.run.node_uuid, **columns)

    def _keep_internal(self, connection: Connection, values: dict[str, Any]) -> node.Node:
        run_store.check(connection, self.lease)
        return nodes.keep_internal(connection, self.run.node_uuid, values)

    def _forget_instance(self, connection: Connection) -> None:
        run_store.check(connection, self.lease)
        uuid = self.run.node_uuid
        held = allocations.find_of_node(connection, uuid)
        if held is not None:
            allocations.destroy(connection, held.uuid)
        kept: dict[str, Any] = self._deps.sealer.open(uuid, nodes.get_secrets(connection, uuid)[0]) or {}
        kept.pop("instance_info", None)
        sealed = self._deps.sealer.seal(uuid, kept)
        gone = dict.fromkeys(("instance_uuid", "instance_name", "allocation_uuid", "agent_url", "agent_heartbeat_at"))
        nodes.change(connection, uuid, instance_info={}, secrets=sealed, agent_token=None, **gone)
        for table in (port_store, group_store):
            for place in table.list_of_node(connection, uuid):
                if VIF in place.internal_info:
                    left = {key: value for key, value in place.internal_info.items() if key != VIF}
                    table.change(connection, place.uuid, internal_info=left)

    def _switch_relative(self, connection: Connection, uuid: str, target: power.Target, timeout: float) -> None:
        run_store.check(connection, self.lease)
        run_store.open_power(connection, uuid, target, timeout, self._deps.clock())

    def _store_inventory(self, connection: Connection, inventory: dict[str, Any], plugin_data: dict[str, Any]) -> None:
        run_store.check(connection, self.lease)
        history.set_inventory(connection, self.run.node_uuid, inventory, plugin_data)

    def _keep_findings(self, connection: Connection, found: rule_actions.Findings, key: str) -> None:
        run_store.change(connection, self.lease, memo={**self.run.memo, key: True})
        rule_store.keep(connection, self._deps.sealer, self.run.node_uuid, found)

    def _store_bios(self, connection: Connection, settings: list[bios.Setting]) -> None:
        run_store.check(connection, self.lease)
        bios_store.replace(connection, self.run.node_uuid, settings)

    def _store_firmware(self, connection: Connection, components: list[firmware.Component]) -> None:
        run_store.check(connection, self.lease)
        firmware_store.replace(connection, self.run.node_uuid, components)

    def _change_port(self, connection: Connection, uuid: str, columns: dict[str, Any]) -> None:
        run_store.check(connection, self.lease)
        port_store.change(connection, uuid, **columns)

    def _add_ports(self, connection: Connection, found: list[node.Port]) -> None:
        run_store.check(connection, self.lease)
        for port in found:
            if port_store.find(connection, port.address) is None:
                port_store.create(connection, port)

    def _note(self, connection: Connection, event: str, severity: str) -> None:
        run_store.check(connection, self.lease)
        history.add(connection, self.run.node_uuid, event, severity=severity)


def _read_fresh(connection: Connection, uuid: str) -> tuple[node.Node, str | None]:
    return nodes.get(connection, uuid), nodes.get_secrets(connection, uuid)[1]


def _read_for_rules(
    connection: Connection, sealer: Sealer, uuid: str
) -> tuple[list[inspection_rules.Rule], node.Node, list[node.Port]]:
    found = rule_store.list_all(connection, sealer)
    return found, nodes.get(connection, uuid), port_store.list_of_node(connection, uuid)


def _sealed_step(sealer: Sealer, node_uuid: str, step: runs.PlannedStep) -> runs.PlannedStep:
    """A step as it is stored: the secrets among its arguments sealed."""
    public, hidden = secrets.split(step.args, {}, instance=True)
    return msgspec.structs.replace(step, args=public, sealed=sealer.seal(node_uuid, hidden)) if hidden else step


def opened_plan(sealer: Sealer, run: runs.Run) -> list[runs.PlannedStep] | None:
    """A stored plan with its secrets in place again; None where there is none yet."""
    if run.plan is None:
        return None
    return [
        msgspec.structs.replace(one, args=secrets.merge(one.args, sealer.open(run.node_uuid, one.sealed)), sealed=None)
        if one.sealed
        else one
        for one in run.plan
    ]
