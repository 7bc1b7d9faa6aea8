"""RAID of an imaginary machine: volumes are lines in the node's own ``raid_config``.

May not: accept a volume that no controller could make: what works here shall be worth trying on a real machine.
"""

from __future__ import annotations

from ingot.domain import raid
from ingot.drivers.fake import acts
from ingot.interfaces.context import StepContext
from ingot.interfaces.hardware import RaidInterface
from ingot.interfaces.steps import step


class FakeRaid(RaidInterface):
    """Makes any sensible volumes at once."""

    @step(clean=0, deploy=0, service=0)
    async def create_configuration(self, ctx: StepContext) -> None:
        """Make the volumes of ``target_raid_config`` in place of those there are."""
        target = (await ctx.refresh()).target_raid_config
        self.check_target(target)
        volumes = [{"volume_name": f"volume{number}", **each} for number, each in enumerate(raid.volumes(target))]
        await acts.act(ctx, "raid.create_configuration", "volumes made")
        await ctx.journal.change_node(raid_config={"logical_disks": volumes})

    @step(clean=0, deploy=0, service=0)
    async def delete_configuration(self, ctx: StepContext) -> None:
        """Forget every volume."""
        await acts.act(ctx, "raid.delete_configuration", "volumes deleted")
        await ctx.journal.change_node(raid_config={})
