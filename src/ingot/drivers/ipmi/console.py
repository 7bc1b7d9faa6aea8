"""The serial console by serial over LAN. May not: share or log it: that is the conductor's work.

Names of Ironic, ipmitool-socat and ipmitool-shellinabox, mean this too: only how clients are told to reach it differs.
"""

from __future__ import annotations

from ingot.clients.ipmi import sol
from ingot.drivers.ipmi import target
from ingot.interfaces.context import Context
from ingot.interfaces.hardware import ConsoleInterface


class IpmiConsole(ConsoleInterface):
    """A line through the BMC."""

    def properties(self) -> dict[str, str]:
        """The keys of a BMC."""
        return target.PROPERTIES

    async def validate(self, ctx: Context) -> None:
        """The BMC must be described and not be one of IPMI 1.5, and the port be one."""
        sol.check(target.of(ctx))
        target.terminal_port(ctx)

    async def open(self, ctx: Context, *, take: bool = True) -> sol.SolLine:
        """Log in once more, for the console alone."""
        return await sol.open_line(target.of(ctx), take=take)

    def port(self, ctx: Context) -> int:
        """``ipmi_terminal_port``."""
        return target.terminal_port(ctx)
