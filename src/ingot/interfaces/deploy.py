"""The deploy contract: the durable steps that put an operating system on a machine, and those around cleaning.

The steps of a deployment are the methods an implementation declares with ``@step(deploy=<priority>)``.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Callable
from typing import ClassVar

from ingot.interfaces.context import Context, StepContext
from ingot.interfaces.contract import Interface


class DeployInterface(Interface):
    """One way to deploy. An implementation adds its deploy steps as declared methods.

    ``agent_after``: the step after which the ramdisk's agent can be asked for steps of its own, None for none.
    """

    agent_after: ClassVar[str | None] = None

    @abstractmethod
    async def start_ramdisk(self, ctx: StepContext, unless: Callable[[], Awaitable[bool]] | None = None) -> None:
        """Have the ramdisk's agent running and speaking to us; goes on with a running one where that is allowed.

        ``unless``: what makes it needless to wait any longer for the agent's call.
        """

    @abstractmethod
    async def stop_ramdisk(self, ctx: StepContext) -> None:
        """End the ramdisk: machine off, networks and boot files as before."""

    @abstractmethod
    async def tear_down(self, ctx: StepContext) -> None:
        """Take the machine back from its tenant: off, tenant networks gone."""

    @abstractmethod
    async def start_instance(self, ctx: StepContext) -> None:
        """End a ramdisk that may run and boot the machine's own system, on its tenant's networks."""

    async def validate_adoption(self, ctx: Context) -> None:
        """Raise errors.Invalid when a machine that others deployed could later not be rebuilt. Opens no connection."""

    async def take_over(self, ctx: StepContext) -> None:
        """Note what must be known of a machine that others deployed; the machine itself is not touched."""
