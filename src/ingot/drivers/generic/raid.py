"""RAID ``agent``: software RAID, made and removed by steps of the ramdisk's agent.

May not: declare a step; a plan takes the agent's step of a name that no interface declares. Source of the rules:
Ironic's documentation of software RAID; the agent, which knows the disks, checks the rest.
"""

from __future__ import annotations

from typing import Any

from ingot.domain import errors, raid
from ingot.interfaces.context import StepContext
from ingot.interfaces.hardware import RaidInterface

_LEVELS = ("0", "1", "5", "6", "1+0")


class AgentRaid(RaidInterface):
    """What any machine with two disks can do."""

    def check_target(self, target: dict[str, Any]) -> None:
        """One or two volumes of the controller "software", the first of them RAID 1."""
        super().check_target(target)
        volumes = raid.volumes(target)
        if len(volumes) > 2:
            raise _wrong("there may be one or two logical disks")
        if any(one.get("controller") != "software" for one in volumes):
            raise _wrong('each logical disk needs "controller": "software"')
        if volumes[0]["raid_level"] != "1":
            raise _wrong("the first logical disk must be RAID 1, for the machine boots from it")
        if any(one["raid_level"] not in _LEVELS for one in volumes):
            raise _wrong(f"its levels are {', '.join(_LEVELS)}")

    async def create_configuration(self, ctx: StepContext) -> None:
        """The agent's, never called here."""
        raise errors.Bug("Software RAID is made by the agent's step raid.create_configuration")

    async def delete_configuration(self, ctx: StepContext) -> None:
        """The agent's, never called here."""
        raise errors.Bug("Software RAID is removed by the agent's step raid.delete_configuration")


def _wrong(why: str) -> errors.Invalid:
    return errors.Invalid(f"Software RAID cannot be made so: {why}", hint="Correct target_raid_config.")
