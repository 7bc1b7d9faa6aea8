"""The deploy contract: the durable steps that put an operating system on a machine, and those around cleaning.

The steps of a deployment are the methods an implementation declares with ``@step(deploy=<priority>)``.
"""

from __future__ import annotations

from abc import abstractmethod

from ingot.interfaces.context import StepContext
from ingot.interfaces.contract import Interface


class DeployInterface(Interface):
    """One way to deploy. An implementation adds its deploy steps as declared methods."""

    @abstractmethod
    async def start_ramdisk(self, ctx: StepContext) -> None:
        """Have the ramdisk's agent running and speaking to us; goes on with a running one where that is allowed."""

    @abstractmethod
    async def stop_ramdisk(self, ctx: StepContext) -> None:
        """End the ramdisk: machine off, networks and boot files as before."""

    @abstractmethod
    async def tear_down(self, ctx: StepContext) -> None:
        """Take the machine back from its tenant: off, tenant networks gone."""
