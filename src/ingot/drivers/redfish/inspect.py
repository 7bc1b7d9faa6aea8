"""Inspection out of band: the BMC is asked what its machine is made of; nothing is booted."""

from __future__ import annotations

from ingot.clients.redfish import inventory
from ingot.domain import errors
from ingot.drivers.redfish import target
from ingot.interfaces.context import Context, StepContext
from ingot.interfaces.inspect import InspectInterface
from ingot.interfaces.steps import step


class RedfishInspect(InspectInterface):
    """Processors, memory, disks, network cards and boot mode from the service's resources."""

    def properties(self) -> dict[str, str]:
        """The keys of a Redfish service."""
        return target.PROPERTIES

    async def validate(self, ctx: Context) -> None:
        """The service must be described, and a CA file that is named must be here."""
        target.check_ca(target.of(ctx))

    @step()
    async def inspect(self, ctx: StepContext) -> None:
        """Read, and store what was found."""
        service = target.of(ctx)
        found = await inventory.read(ctx.kit.redfish, service)
        if not found["interfaces"] and not found["cpu"]["count"]:
            raise errors.Misbehaved(
                f"{service.name} tells neither processors nor network cards of its machine",
                hint="Many BMCs know their machine only after it was started once; or use the inspect interface agent.",
            )
        await ctx.journal.store_inventory(found, {})
