"""The network contract: which networks a machine is on, and which of its cards a tenant's network (vif) uses."""

from __future__ import annotations

from typing import Any

from ingot.domain import errors, node
from ingot.interfaces.context import Context, StepContext
from ingot.interfaces.contract import Interface

VIF = "tenant_vif_port_id"
"""The key of a port's internal_info under which its tenant's vif stands."""


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
        return [port.internal_info[VIF] for port in ctx.ports if port.internal_info.get(VIF)]

    def choose_port(self, ctx: Context, vif: dict[str, Any]) -> tuple[node.Port, dict[str, Any]]:
        """The port a new vif goes to and its internal_info with the vif in it.

        Prefers ports that boot from the network. Raises errors.Conflict when the vif is attached already,
        errors.Invalid when no port is free.
        """
        if vif["id"] in self.list_vifs(ctx):
            raise errors.Conflict(f"Unable to attach VIF because VIF {vif['id']} is already attached to the node.")
        free = [port for port in ctx.ports if not port.internal_info.get(VIF)]
        if vif.get("port_uuid"):
            free = [port for port in free if port.uuid == vif["port_uuid"]]
        if not free:
            raise errors.Invalid(
                f"Unable to attach VIF {vif['id']}, not enough free physical ports.",
                hint="Detach another VIF or add a port.",
            )
        port = min(free, key=lambda candidate: not candidate.pxe_enabled)
        return port, {**port.internal_info, VIF: vif["id"]}

    def find_vif(self, ctx: Context, vif_id: str) -> tuple[node.Port, dict[str, Any]]:
        """The port a vif is on and its internal_info without it. Raises errors.Invalid."""
        for port in ctx.ports:
            if port.internal_info.get(VIF) == vif_id:
                return port, {key: value for key, value in port.internal_info.items() if key != VIF}
        raise errors.Invalid(f"Unable to detach VIF {vif_id} from node {ctx.node.uuid} because it is not attached.")
