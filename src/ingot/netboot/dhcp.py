"""The provisioning network: which addresses the DHCP server may give, worked out from the host's own address.

Why: zero settings must be enough, and a wrong range must be refused before it disturbs a network.
May not: keep leases, dnsmasq does. Invariant: the range lies inside the network, without the host's own
address, the network's and the broadcast address.
"""

from __future__ import annotations

from ipaddress import AddressValueError, IPv4Address, IPv4Interface

import msgspec

from ingot.domain import errors


class Network(msgspec.Struct, frozen=True):
    """One provisioning network: ``interface`` is the host's, ``address`` its IPv4 with prefix (10.0.0.1/24).

    ``first``..``last`` is the dynamic range; ``gateway`` None means machines get no default route;
    ``lease_time`` in seconds.
    """

    interface: str
    address: str
    first: str
    last: str
    gateway: str | None = None
    dns: tuple[str, ...] = ()
    lease_time: int = 3600

    @property
    def host(self) -> str:
        """The host's own address, without prefix."""
        return str(IPv4Interface(self.address).ip)

    @property
    def netmask(self) -> str:
        """The network's mask in dotted form."""
        return str(IPv4Interface(self.address).netmask)


def plan(
    interface: str,
    address: str,
    first: str | None = None,
    last: str | None = None,
    gateway: str | None = None,
) -> Network:
    """Return the network around the host's ``address``; by default the range is the larger free side.

    Raises Invalid for an address or a range that does not fit.
    """
    try:
        own = IPv4Interface(address)
        low, high = _free_side(own)
        start, end = IPv4Address(first or low), IPv4Address(last or high)
        router = None if gateway is None else IPv4Address(gateway)
    except (AddressValueError, ValueError) as error:
        raise errors.Invalid(
            f"The provisioning network is not valid: {error}.", hint="Write addresses as 172.22.0.1/24."
        ) from error
    if own.network.prefixlen > 29:
        raise errors.Invalid(
            f"The network {own.network} is too small to boot machines in.",
            hint="Use a prefix of /29 or shorter.",
        )
    _check_range(own, start, end)
    if router is not None and router not in own.network:
        raise errors.Invalid(f"The gateway {router} is outside {own.network}.", hint="Correct the gateway.")
    return Network(interface, str(own), str(start), str(end), None if router is None else str(router))


def _free_side(own: IPv4Interface) -> tuple[IPv4Address, IPv4Address]:
    network = own.network
    before = (network.network_address + 1, own.ip - 1)
    after = (own.ip + 1, network.broadcast_address - 1)
    return max(before, after, key=lambda side: int(side[1]) - int(side[0]))


def _check_range(own: IPv4Interface, start: IPv4Address, end: IPv4Address) -> None:
    inside = own.network.network_address < start <= end < own.network.broadcast_address
    if not inside:
        raise errors.Invalid(
            f"The range {start} to {end} does not lie inside {own.network}.",
            hint="Correct first and last address.",
        )
    if start <= own.ip <= end:
        raise errors.Invalid(
            f"The range {start} to {end} contains the host's own address {own.ip}.",
            hint="Leave it out of the range.",
        )
