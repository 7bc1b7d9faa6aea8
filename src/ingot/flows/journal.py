"""The run's hand on the database: every write of a run and of its node, fenced by the lease's generation.

May not: call hardware. Invariant: each method is one unit of work (flows/writes.py), refused as errors.LostLease once
another conductor has the run; what belongs together (journal line and node fields) is in the same unit.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

import msgspec
from sqlalchemy import Connection

from ingot.deps import Deps
from ingot.domain import bios, errors, firmware, inspection_rules, node, power, rule_actions, runs, secrets, states
from ingot.flows import writes
from ingot.store import claims, history, nodes, ports, run_logs
from ingot.store import inspection_rules as rule_store
from ingot.store import runs as run_store
from ingot.store.seal import Sealer
from ingot.telemetry import counts

P = ParamSpec("P")
T = TypeVar("T")

_REPORT_EVERY = 1.0


class RunJournal:
    """Implements interfaces.context.Journal for one lease, and what flows/run.py needs besides."""

    def __init__(
        self, deps: Deps, lease: run_store.Lease, run: runs.Run, entries: list[runs.Entry], known: node.Node
    ) -> None:
        self.lease = lease
        self.run = run
        self.plan = list(run.plan or [])
        self.entries = entries
        self._deps = deps
        self._writes = writes.Writes(deps, lease, run)
        self._due = writes.Due()
        self._known: node.Node | None = known
        self._reported = 0.0
        self.moved: Callable[[], None] = _nobody
        """Called when the run has come a step forward: a line of its journal or a result in its memo is on disk."""
        # A run that was read long after it was claimed may be another's by now.
        sure = run.generation == lease.generation and self._lasts(run.lease_until)
        self._sure_at = self._now() if sure else (-math.inf, -math.inf)

    # --- the journal proper -------------------------------------------------------------------------------------

    async def begin(self, step: int, token: str | None) -> tuple[node.Node, str | None]:
        """Write that a step begins; the node and its agent's token as they are then. ``token``: as it was last read.

        ``run`` has the deadline of then. Raises errors.Aborted where somebody asked the run to stop: then it does not
        begin.
        """
        started = self._entry(step, runs.Mark.STARTED)
        found, held = await self._with_due(
            self.run.node_uuid, self._writes.begin, started, self.plan[step], self._known
        )
        self._known = found
        await self.check()
        if held is not None:
            self.run = msgspec.structs.replace(self.run, deadline=held.until)
        if held is not None and held.asked:
            raise errors.Aborted(held.reason or "Aborted on request")
        self.entries.append(started)
        self.moved()
        return found, token if held is None else self._deps.sealer.open(found.uuid, held.token)

    async def mark(self, step: int, mark: runs.Mark, detail: str | None = None) -> None:
        """Write one journal line."""
        entry = self._entry(step, mark, detail)
        await self._write(self._writes.append, entry)
        self.entries.append(entry)
        self.moved()

    def mark_later(self, step: int, mark: runs.Mark) -> None:
        """A line that goes with the next write, which has to follow at once: it only confirms what has ended.

        A crash before that is one in the step, as it would be before a write of its own.
        """
        entry = self._entry(step, mark)
        self.entries.append(entry)
        self._due = self._due._replace(lines=(*self._due.lines, entry))

    def set_plan(self, plan: list[runs.PlannedStep]) -> None:
        """Have the plan; it is stored with the next write, a crash before that makes it anew."""
        self.plan = list(plan)
        self._due = self._due._replace(plan=self.plan)

    async def insert_steps(self, steps: list[runs.PlannedStep]) -> None:
        """Put ``steps`` behind the step being run; does nothing when they stand there already."""
        after = runs.fold(len(self.plan), self.entries).next + 1
        if self.plan[after : after + len(steps)] != steps:
            self.set_plan([*self.plan[:after], *steps, *self.plan[after:]])

    async def merge_steps(self, steps: list[runs.PlannedStep]) -> None:
        """Put ``steps`` among those behind the step being run, by priority; those that the plan has are left out."""
        after = runs.fold(len(self.plan), self.entries).next + 1
        present = {one.title() for one in self.plan}
        if new := [one for one in steps if one.title() not in present]:
            rest = sorted([*self.plan[after:], *new], key=lambda one: -one.priority)
            self.set_plan([*self.plan[:after], *rest])

    async def park(self, wait: runs.Wait, wake_at: float) -> None:
        """Give the run back while it waits; the node enters its wait state if the wait is for its agent."""
        await self._write_last(self._writes.park, wait, wake_at)

    async def release(self) -> None:
        """Give the run back as it is, due at once: another conductor goes on with it."""
        await self._write_last(self._writes.release, self.run.memo)

    async def resumed(self) -> None:
        """Note that the wait is over; the node leaves its wait state."""
        self._known = None
        await self._write(self._writes.resumed)

    async def end_asked_power(self, event: str, severity: str, **columns: Any) -> None:
        """Note that the power change which was asked for while the run waits is over, setting node columns."""
        del self.run.memo[runs.POWER_ASKED]
        self._known = None
        await self._write(self._writes.end_asked_power, self.run.memo, columns, event, severity)
        self.moved()

    async def finish(
        self, status: runs.Status, events: tuple[states.Event, ...], reason: str | None, **node: Any
    ) -> None:
        """Close the run and move the node by ``events``, one after another, setting other node columns."""
        seen = None if self._known is None else self._known.provision_state
        await self._write_last(self._writes.finish, seen, writes.End(status, events, reason, node))
        counts.RUNS.count(self.run.kind, status)

    # --- what steps may do --------------------------------------------------------------------------------------

    async def remember(self, key: str, value: Any) -> None:
        """Keep ``value`` in the run's memo."""
        self.run.memo[key] = value
        await self._write(self._writes.remember, self.run.memo)
        self.moved()

    async def change_node(self, **columns: Any) -> None:
        """Set columns of the node."""
        if "provision_state" in columns:
            raise errors.Bug("A step tried to change provision_state: only a flow's events may.")
        self._known = await self._write(self._writes.change_node, columns, self._known)

    async def keep_internal(self, values: dict[str, Any]) -> node.Node:
        """Set keys of the node's driver_internal_info; the node as it is then."""
        return await self._write(self._writes.keep_internal, values)

    async def set_agent_token(self, token: str | None) -> None:
        """Replace the agent's token; None also forgets the agent itself."""
        sealed = None if token is None else self._deps.sealer.seal(self.run.node_uuid, token)
        gone = {} if token else {"agent_url": None, "agent_heartbeat_at": None, "agent_verify_ca": None}
        await self.change_node(agent_token=sealed, agent_token_told=None, **gone)

    async def change_port(self, uuid: str, **columns: Any) -> None:
        """Set columns of a port."""
        await self._write(self._writes.change_port, uuid, columns)

    async def add_ports(self, ports: list[node.Port]) -> None:
        """Register ports, leaving out addresses that exist already."""
        await self._write(self._writes.add_ports, ports)

    async def note(self, event: str, severity: str = "INFO") -> None:
        """Write a line into the node's history."""
        await self._write(self._writes.note, event, severity)

    async def report(self, done: float, total: float | None, phase: str) -> None:
        """Show progress, at most once a second."""
        now = self._deps.clock()
        if now - self._reported >= _REPORT_EVERY or done == total:
            self._reported = now
            await self._write(self._writes.report, {"done": done, "total": total, "phase": phase})

    async def read_fresh(self) -> tuple[node.Node, str | None]:
        """The node's row and the agent's token as they are now."""
        found, _, sealed = await self._deps.store.peek(nodes.get_sealed, self.run.node_uuid)
        return found, self._deps.sealer.open(found.uuid, sealed)

    async def list_relatives(self) -> list[node.Node]:
        """The nodes that share the node's power supply."""
        return await self._deps.store.read(nodes.list_relatives, self.run.node_uuid)

    async def find_other_agent(self, url: str, since: float) -> tuple[str, float] | None:
        """The other node whose agent called from ``url`` after ``since``, and when."""
        return await self._deps.store.read(nodes.find_other_agent, self.run.node_uuid, url, since)

    async def switch_relative(self, uuid: str, target: power.Target, timeout: float) -> None:
        """Open a power run on another node and ring."""
        await self._write_further(self._writes.switch_relative, uuid, target, timeout)
        self._deps.bus.ring(uuid)

    async def order_step(self, child: str, run_id: str, planned: runs.PlannedStep) -> None:
        """Open a run of one step on a child, unless that was done, and ring."""
        await self._write_further(self._writes.order_step, child, run_id, planned)
        self._deps.bus.ring(child)

    async def find_run(self, run_id: str) -> runs.Run:
        """Any run as it is now."""
        return await self._deps.store.peek(run_store.get, run_id)

    async def find_inventory(self) -> tuple[str, dict[str, Any], dict[str, Any]] | None:
        """(time stored, inventory, plugin data) or None."""
        return await self._deps.store.read(history.find_inventory, self.run.node_uuid)

    async def store_inventory(self, inventory: dict[str, Any], plugin_data: dict[str, Any]) -> None:
        """Store what inspection found."""
        await self._write(self._writes.store_inventory, inventory, plugin_data)

    async def list_rules(self) -> list[inspection_rules.Rule]:
        """The inspection rules, oldest first."""
        return await self._deps.store.read(rule_store.list_all, self._deps.sealer)

    async def read_whole(self) -> tuple[node.Node, list[node.Port]]:
        """The node and its ports as they are now."""
        return await self._deps.store.read(_read_whole, self.run.node_uuid)

    async def keep_findings(self, found: rule_actions.Findings, key: str) -> None:
        """Write what inspection rules changed, and that they were applied: both or neither."""
        await self._write_further(self._writes.keep_findings, found, key)

    async def store_bios(self, settings: list[bios.Setting]) -> None:
        """Keep these firmware settings as the node's."""
        await self._write(self._writes.store_bios, settings)

    async def store_firmware(self, components: list[firmware.Component]) -> None:
        """Keep these firmware versions as the node's."""
        await self._write(self._writes.store_firmware, components)

    async def keep_logs(self, bundle: bytes) -> None:
        """Keep what the ramdisk logged with the run."""
        await self._write(run_logs.put, self.lease, bundle, self._deps.clock())

    async def forget_instance(self) -> None:
        """Clear everything of the node that belonged to its instance, secrets included."""
        await self._write(self._writes.forget_instance)

    async def enter(self, event: str) -> None:
        """Move the node by a state event in mid-run; does nothing when it is there already."""
        self._known = None
        await self._write(self._writes.enter, states.Event(event))

    async def check(self) -> None:
        """Raise errors.LostLease when another conductor has the run.

        The database is asked only where half a lease has passed since it last said so, by either clock: one may be set,
        the other stands still while a host sleeps. A lease that nobody could renew (the database was away) may be
        anybody's the moment after, so it is renewed first; one that was given back is not.
        """
        while self._is_unsure():
            asked = self._now()
            ends_at = await self._deps.store.read(run_store.held_until, self.lease)
            until = self._deps.clock() + self._deps.pace.lease
            held = ends_at > 0
            if held and not self._lasts(ends_at) and await self._deps.store.run(claims.renew, [self.lease], until):
                raise errors.LostLease()
            self._sure_at = asked  # what was said before a long sleep says nothing of now

    def _lasts(self, lease_until: float) -> bool:
        """Whether a lease goes on for as long as it is not asked about again."""
        return lease_until - self._deps.clock() > self._deps.settings.lease / 2

    def _is_unsure(self) -> bool:
        limit = self._deps.settings.lease / 2
        slept, passed = self._sure_at
        return time.monotonic() - slept > limit or self._deps.clock() - passed > limit

    def _now(self) -> tuple[float, float]:
        return time.monotonic(), self._deps.clock()

    # --- units of work ------------------------------------------------------------------------------------------

    def _entry(self, step: int, mark: runs.Mark, detail: str | None = None) -> runs.Entry:
        return runs.Entry(len(self.entries) + 1, step, mark, self._deps.clock(), detail)

    async def _write(self, unit: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """One unit of work on what belongs to the node, what is due before it included.

        A process that was held up in it (stopped, swapped out) asks whether the run is still its own before anything
        more is done to hardware. That it was written says no more than whose the run was then: its lease may be over.
        """
        result = await self._put(self.run.node_uuid, lambda connection: unit(connection, *args, **kwargs))
        await self.check()
        return result

    async def _write_further(
        self, unit: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """``_write`` of a unit that also touches what belongs to other nodes."""
        result = await self._put(None, lambda connection: unit(connection, *args, **kwargs))
        await self.check()
        return result

    async def _write_last(self, unit: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """``_write`` before the run is let go: nothing more is done to hardware, so it does not matter whose it is."""
        return await self._put(self.run.node_uuid, lambda connection: unit(connection, *args, **kwargs))

    async def _put(self, of: str | None, unit: Callable[[Connection], T]) -> T:
        """A unit and what is due before it; ``of``: as ``Store.run_of`` has it."""
        if self._due == writes.Due():
            return await self._deps.store.run_of(of, unit)
        return await self._with_due(of, self._after, unit)

    async def _with_due(
        self,
        of: str | None,
        unit: Callable[Concatenate[Connection, writes.Due, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """A unit that writes what is due, too: where it is refused, all that is due still."""
        due, self._due = self._due, writes.Due()
        try:
            return await self._deps.store.run_of(of, unit, due, *args, **kwargs)
        except errors.IngotError:
            self._due = due  # nothing of the unit was written
            raise

    def _after(self, connection: Connection, due: writes.Due, unit: Callable[[Connection], T]) -> T:
        self._writes.catch_up(connection, due)
        return unit(connection)


def _nobody() -> None:
    """Nobody wants to know."""


def _read_whole(connection: Connection, uuid: str) -> tuple[node.Node, list[node.Port]]:
    return nodes.get(connection, uuid), ports.list_of_node(connection, uuid)


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
