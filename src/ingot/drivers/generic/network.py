"""Networks: ``noop`` leaves them to others; ``flat`` is one network, with ingot's own DHCP."""

from __future__ import annotations

from ingot.domain import errors
from ingot.interfaces.context import Context, StepContext
from ingot.interfaces.network import NetworkInterface


class NoopNetwork(NetworkInterface):
    """Someone else's DHCP answers; nothing is configured."""


class FlatNetwork(NetworkInterface):
    """One network for provisioning and tenants; ingot's DHCP answers the node's cards."""

    async def validate(self, ctx: Context) -> None:
        """There must be a card that may boot from the network."""
        if not ctx.macs():
            raise errors.Invalid(
                f"Node {ctx.node.uuid} has no port with pxe_enabled", hint="Create one: ingot port create NODE MAC."
            )

    async def add_provisioning(self, ctx: StepContext) -> None:
        """Admit every card to DHCP (it stays admitted: the tenant's system asks for its address there too)."""
        await ctx.kit.boot.admit([port.address for port in ctx.ports])
