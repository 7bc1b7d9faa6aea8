"""What an interface's methods get to work with: one node, the rooms below, and (in a run) memo, waits, progress.

May not: hold a connection or a lock. Invariant: only the engine's implementation of ``Journal`` writes to the
database, fenced by the run's generation; a driver cannot write ``provision_state`` at all.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import msgspec

from ingot.domain import bios, firmware, inspection_rules, node, power, rule_actions, runs
from ingot.interfaces.kit import Kit
from ingot.interfaces.registry import Registry

if TYPE_CHECKING:
    from ingot.interfaces.boot import BootInterface
    from ingot.interfaces.deploy import DeployInterface
    from ingot.interfaces.inspect import InspectInterface
    from ingot.interfaces.management import ManagementInterface
    from ingot.interfaces.network import NetworkInterface
    from ingot.interfaces.power import PowerInterface

T = TypeVar("T")


class Context(msgspec.Struct):
    """One node as its drivers see it. ``driver_info`` and ``instance_info`` hold the secrets in clear."""

    node: node.Node
    ports: list[node.Port]
    portgroups: list[node.Portgroup]
    driver_info: dict[str, Any]
    instance_info: dict[str, Any]
    agent_token: str | None
    kit: Kit
    registry: Registry
    keep_internal: Callable[[dict[str, Any]], Awaitable[node.Node]]

    def __repr__(self) -> str:
        """Without the secrets: it may be part of a traceback."""
        return f"{type(self).__name__}({self.node.uuid})"

    async def keep(self, values: dict[str, Any]) -> None:
        """Set keys of the node's driver_internal_info, JSON-able; None removes one."""
        self.node = await self.keep_internal(values)

    def interface(self, kind: str) -> Any:
        """The node's implementation of an interface. Raises errors.NotSupported when it has none that acts."""
        return self.registry.implementation(kind, self.node.interface(kind))

    @property
    def power(self) -> PowerInterface:
        """The node's power interface."""
        return self.interface("power")

    @property
    def management(self) -> ManagementInterface:
        """The node's management interface."""
        return self.interface("management")

    @property
    def boot(self) -> BootInterface:
        """The node's boot interface."""
        return self.interface("boot")

    @property
    def deploy(self) -> DeployInterface:
        """The node's deploy interface."""
        return self.interface("deploy")

    @property
    def network(self) -> NetworkInterface:
        """The node's network interface."""
        return self.interface("network")

    @property
    def inspect(self) -> InspectInterface:
        """The node's inspect interface."""
        return self.interface("inspect")

    def macs(self) -> list[str]:
        """MAC addresses of the cards that may boot from the network."""
        return [port.address for port in self.ports if port.pxe_enabled]


class Journal(Protocol):
    """What the engine lets a step write and wait for; every write is refused once the lease is lost."""

    async def remember(self, key: str, value: Any) -> None:
        """Keep ``value`` (JSON-able) in the run's memo."""
        ...

    async def change_node(self, **columns: Any) -> None:
        """Set columns of the node (never provision_state)."""
        ...

    async def set_agent_token(self, token: str | None) -> None:
        """Replace the agent's token; None ends the present agent's right to speak."""
        ...

    async def change_port(self, uuid: str, **columns: Any) -> None:
        """Set columns of one of the node's ports."""
        ...

    async def add_ports(self, ports: list[node.Port]) -> None:
        """Register ports found on the node."""
        ...

    async def note(self, event: str, severity: str = "INFO") -> None:
        """Write a line into the node's history."""
        ...

    async def insert_steps(self, steps: list[runs.PlannedStep]) -> None:
        """Put steps into the plan right after the present one (once: a repeated call changes nothing)."""
        ...

    async def merge_steps(self, steps: list[runs.PlannedStep]) -> None:
        """Put steps among those to come, by priority; those that the plan has already are left out."""
        ...

    async def report(self, done: float, total: float | None, phase: str) -> None:
        """Show progress; written at most once a second."""
        ...

    async def read_fresh(self) -> tuple[node.Node, str | None]:
        """The node's row and the agent's token as they are now."""
        ...

    async def list_relatives(self) -> list[node.Node]:
        """The nodes that share the node's power: parent and children, but for children with a supply of their own."""
        ...

    async def find_other_agent(self, url: str, since: float) -> tuple[str, float] | None:
        """The uuid of another node whose agent called from ``url`` after ``since``, and when (epoch seconds)."""
        ...

    async def switch_relative(self, uuid: str, target: power.Target, timeout: float) -> None:
        """Ask for a power change of another node, by a run of its own. Raises errors.Locked, Conflict."""
        ...

    async def order_step(self, child: str, run_id: str, planned: runs.PlannedStep) -> None:
        """Ask for a step of a child node, by a run with this id; once. Raises errors.Locked, NotFound, Invalid."""
        ...

    async def find_run(self, run_id: str) -> runs.Run:
        """Any run as it is now. Raises errors.NotFound."""
        ...

    async def find_inventory(self) -> tuple[str, dict[str, Any], dict[str, Any]] | None:
        """(time stored, inventory, plugin data) or None."""
        ...

    async def store_inventory(self, inventory: dict[str, Any], plugin_data: dict[str, Any]) -> None:
        """Store what inspection found."""
        ...

    async def list_rules(self) -> list[inspection_rules.Rule]:
        """The inspection rules, oldest first."""
        ...

    async def read_whole(self) -> tuple[node.Node, list[node.Port]]:
        """The node and its ports as they are now."""
        ...

    async def keep_findings(self, found: rule_actions.Findings, key: str) -> None:
        """Write what inspection rules changed, and in the same unit ``key`` into the run's memo."""
        ...

    async def store_bios(self, settings: list[bios.Setting]) -> None:
        """Keep these firmware settings as the node's, in place of those known before."""
        ...

    async def store_firmware(self, components: list[firmware.Component]) -> None:
        """Keep these firmware versions as the node's; what was first and what was flashed last is worked out."""
        ...

    async def keep_logs(self, bundle: bytes) -> None:
        """Keep what the ramdisk logged (a tar.gz) with the run."""
        ...

    async def forget_instance(self) -> None:
        """Clear everything of the node that belonged to its instance, secrets included."""
        ...

    async def enter(self, event: str) -> None:
        """Let the run's flow apply a state event in mid-run (tear down -> cleaning)."""
        ...


class Waits(Protocol):
    """Waiting: while nothing has happened the run is given back as a row, and the step is entered again later.

    So nothing that must happen once may stand between the start of a step and a wait, except in ``ctx.once``.
    """

    async def until(self, condition: Callable[[], Awaitable[bool]], what: WaitFor) -> None:
        """Return when ``condition()`` is true. Raises errors.TimedOut with a reason at the deadline."""
        ...

    async def close(self) -> None:
        """For the engine: the step has ended and waits for nothing more."""
        ...


class WaitFor(msgspec.Struct, frozen=True):
    """What is waited for: words for people, the usual and the longest time, how often to look (seconds).

    ``explain`` may add what is known about the cause, at each look and at the deadline;
    ``on_agent``: the node's state shows as a wait state; ``held``: as a hold state, until an operator releases it.
    """

    what: str
    timeout: float
    usual: float | None = None
    poll: float = 5.0
    on_agent: bool = False
    held: bool = False
    explain: Callable[[], Awaitable[str | None]] | None = None
    hint: str | None = None


class StepContext(Context):
    """What a step gets: the node, and its place in a run. ``undoing``: the run failed, its steps are taken back."""

    run: runs.Run
    journal: Journal
    wait: Waits
    now: Callable[[], float]
    params: dict[str, Any] = {}
    args: dict[str, Any] = {}
    memo: dict[str, Any] = {}
    index: int = 0
    scope: str = ""
    undoing: bool = False

    @property
    def patient(self) -> bool:
        """Whether the run may outwait a BMC that is away. Not where somebody waits for the answer, nor in an undo."""
        return not self.undoing and self.run.kind not in {runs.Kind.VERIFY, runs.Kind.POWER, runs.Kind.ORDER}

    def within(self, scope: str) -> StepContext:
        """The same context with notes of its own: for what one step does several times, each with its ``once``."""
        return msgspec.structs.replace(self, scope=f"{self.scope}{scope}: ")

    async def once(self, key: str, action: Callable[[], Awaitable[T]]) -> T:
        """Run ``action`` and remember its JSON-able result, or give the result remembered from before.

        A crash between the action and the note repeats the action: it must bear that.
        """
        full = self._full(key)
        if full not in self.memo:
            result = await action()
            await self.journal.remember(full, result)
            self.memo[full] = result
        return self.memo[full]

    def noted(self, key: str) -> Any:
        """What ``once`` remembers under ``key``, None while there is nothing."""
        return self.memo.get(self._full(key))

    def _full(self, key: str) -> str:
        return f"{self.index}:{self.scope}{key}"

    async def refresh(self) -> node.Node:
        """Read the node and its agent's token again; ports and info stay as they were when the run was taken up."""
        self.node, self.agent_token = await self.journal.read_fresh()
        return self.node
