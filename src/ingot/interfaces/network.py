"""The network contract: which networks a machine is on, and which of its cards (or groups of them) a
tenant's network (vif) uses."""

from __future__ import annotations

from typing import Any

from ingot.domain import errors, node
from ingot.interfaces.context import Context, StepContext
from ingot.interfaces.contract import Interface

VIF = "tenant_vif_port_id"
"""The key of a port's internal_info under which its tenant's vif stands."""
Place = node.Port | node.Portgroup
"""What a vif can be on."""


class NetworkInterface(Interface):
    """One way to connect machines. Attaching a vif is bookkeeping that all implementations share."""

    async def add_provisioning(self, ctx: StepContext) -> None:
        """Let the machine reach the provisioning network (boot files, API)."""

    async def remove_provisioning(self, ctx: StepContext) -> None:
        """End what ``add_provisioning`` began."""

    async def configure_tenant(self, ctx: StepContext) -> None:
        """Connect the machine to its tenant's networks."""

    async def remove_tenant(self, ctx: StepContext) -> None:
        """Disconnect the machine from its tenant's networks."""

    def list_vifs(self, ctx: Context) -> list[str]:
        """The vifs attached to the node."""
        return [place.internal_info[VIF] for place in _places(ctx) if place.internal_info.get(VIF)]

    def choose_place(self, ctx: Context, vif: dict[str, Any]) -> tuple[Place, dict[str, Any]]:
        """The port or port group a new vif goes to and its internal_info with the vif in it.

        Prefers port groups, then ports that boot from the network. Raises errors.Conflict when the vif is attached
        already, errors.Invalid when nothing is free.
        """
        if vif["id"] in self.list_vifs(ctx):
            raise errors.Conflict(f"Unable to attach VIF because VIF {vif['id']} is already attached to the node.")
        free = _free(ctx, vif.get("port_uuid"), vif.get("portgroup_uuid"))
        if not free:
            raise errors.Invalid(
                f"Unable to attach VIF {vif['id']}, not enough free physical ports.",
                hint="Detach another VIF or add a port.",
            )
        place = min(free, key=_rank)
        return place, {**place.internal_info, VIF: vif["id"]}

    def find_vif(self, ctx: Context, vif_id: str) -> tuple[Place, dict[str, Any]]:
        """The port or port group a vif is on and its internal_info without it. Raises errors.Invalid."""
        for place in _places(ctx):
            if place.internal_info.get(VIF) == vif_id:
                return place, {key: value for key, value in place.internal_info.items() if key != VIF}
        raise errors.Invalid(f"Unable to detach VIF {vif_id} from node {ctx.node.uuid} because it is not attached.")


def _places(ctx: Context) -> list[Place]:
    return [*ctx.portgroups, *ctx.ports]


def _free(ctx: Context, port_uuid: str | None, group_uuid: str | None) -> list[Place]:
    """What a vif may be put on: groups with free ports none of whose ports is used by itself, and other ports."""
    used = {port.portgroup_uuid for port in ctx.ports if port.internal_info.get(VIF)}
    ports = [port for port in ctx.ports if not port.internal_info.get(VIF) and port_uuid in {None, port.uuid}]
    filled = {port.portgroup_uuid for port in ports}
    groups = [
        group
        for group in ctx.portgroups
        if group.uuid in filled and not group.internal_info.get(VIF) and group_uuid in {None, group.uuid}
    ]
    if group_uuid is not None:
        return [group for group in groups if group.uuid not in used]
    alone = [port for port in ports if port_uuid or port.portgroup_uuid is None or port.portgroup_uuid in used]
    return [*alone, *([] if port_uuid else [group for group in groups if group.uuid not in used])]


def _rank(place: Place) -> tuple[bool, bool]:
    return (False, False) if isinstance(place, node.Portgroup) else (True, not place.pxe_enabled)
