"""RAID of an imaginary machine: volumes are lines in the node's own ``raid_config``.

May not: accept a volume that no controller could make: what works here shall be worth trying on a real machine.
"""

from __future__ import annotations

from typing import Any, cast

from ingot.domain import errors
from ingot.drivers.fake import acts
from ingot.interfaces.context import StepContext
from ingot.interfaces.hardware import RaidInterface
from ingot.interfaces.steps import step

_LEVELS = ("0", "1", "5", "6", "1+0", "5+0", "6+0", "JBOD")
_PROPERTIES = {
    "size_gb": 'Size in GiB, a whole number, or "MAX" for all that is left. Required.',
    "raid_level": f"One of {', '.join(_LEVELS)}. Required.",
    "volume_name": "Name of the volume (default: volume0, volume1, ...).",
    "is_root_volume": "Whether the instance's system goes onto it; at most one volume may say so.",
}


class FakeRaid(RaidInterface):
    """Makes any sensible volumes at once."""

    @step(clean=0, deploy=0)
    async def create_configuration(self, ctx: StepContext) -> None:
        """Make the volumes of ``target_raid_config`` in place of those there are."""
        volumes = _volumes((await ctx.refresh()).target_raid_config)
        await acts.act(ctx, "raid.create_configuration", "volumes made")
        await ctx.journal.change_node(raid_config={"logical_disks": volumes})

    @step(clean=0, deploy=0)
    async def delete_configuration(self, ctx: StepContext) -> None:
        """Forget every volume."""
        await acts.act(ctx, "raid.delete_configuration", "volumes deleted")
        await ctx.journal.change_node(raid_config={})

    def logical_disk_properties(self) -> dict[str, str]:
        """What a volume may say of itself."""
        return dict(_PROPERTIES)


def _volumes(target: dict[str, Any]) -> list[dict[str, Any]]:
    """The volumes of a target configuration, each with a name. Raises errors.Invalid."""
    wanted: Any = target.get("logical_disks")
    if not isinstance(wanted, list) or not wanted:
        raise errors.Invalid(
            "The node has no target_raid_config with logical_disks", hint="Set it before asking for the volumes."
        )
    volumes = [
        {"volume_name": f"volume{number}", **_checked(each)} for number, each in enumerate(cast("list[Any]", wanted))
    ]
    if sum(bool(each.get("is_root_volume")) for each in volumes) > 1:
        raise errors.Invalid("More than one logical disk has is_root_volume")
    return volumes


def _checked(given: Any) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise errors.Invalid(f"A logical disk must be an object, not {given!r}")
    disk = cast("dict[str, Any]", given)
    unknown = sorted(set(disk) - set(_PROPERTIES))
    if unknown:
        raise errors.Invalid(
            f"A logical disk cannot have {', '.join(unknown)}", hint=f"Keys: {', '.join(_PROPERTIES)}."
        )
    size = disk.get("size_gb")
    if size != "MAX" and (not isinstance(size, int) or isinstance(size, bool) or size <= 0):
        raise errors.Invalid(f'size_gb of a logical disk must be a whole number above 0 or "MAX", not {size!r}')
    if disk.get("raid_level") not in _LEVELS:
        raise errors.Invalid(f"raid_level must be one of {', '.join(_LEVELS)}, not {disk.get('raid_level')!r}")
    return disk
