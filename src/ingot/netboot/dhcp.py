"""The provisioning network: which addresses the DHCP server may give, worked out from the host's own address.

Why: zero settings must be enough, and a wrong range must be refused before it disturbs a network.
May not: keep leases, dnsmasq does. Invariant: the range lies inside the network, without the host's own
address, the network's and the broadcast address.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface, ip_address, ip_interface

import msgspec

from ingot.domain import errors
from ingot.netboot import hostnet
from ingot.settings import Settings

Interface = IPv4Interface | IPv6Interface
Address = IPv4Address | IPv6Address
_RANGE6 = (0x1000, 0x1FFF)


class Network(msgspec.Struct, frozen=True):
    """One provisioning network: ``interface`` is the host's, ``address`` its own with prefix (10.0.0.1/24).

    ``first``..``last`` is the dynamic range; ``gateway`` None means machines get no default route;
    ``lease_time`` in seconds. ``proxy``: another DHCP server gives the addresses, we add what to boot.
    """

    interface: str
    address: str
    first: str
    last: str
    gateway: str | None = None
    dns: tuple[str, ...] = ()
    lease_time: int = 3600
    proxy: bool = False

    @property
    def host(self) -> str:
        """The host's own address, without prefix."""
        return str(ip_interface(self.address).ip)

    @property
    def version(self) -> int:
        """4 or 6."""
        return ip_interface(self.address).version

    @property
    def netmask(self) -> str:
        """The network's mask in dotted form."""
        return str(ip_interface(self.address).netmask)

    @property
    def prefix_length(self) -> int:
        """The network's prefix length."""
        return ip_interface(self.address).network.prefixlen


def plan(
    interface: str,
    address: str,
    first: str | None = None,
    last: str | None = None,
    gateway: str | None = None,
    *,
    proxy: bool = False,
) -> Network:
    """Return the network around the host's ``address``; by default the range is the larger free side.

    Raises Invalid for an address or a range that does not fit.
    """
    try:
        own = ip_interface(address)
        low, high = _free_side(own)
        start, end = ip_address(first or str(low)), ip_address(last or str(high))
        router = None if gateway is None else ip_address(gateway)
    except ValueError as error:
        raise errors.Invalid(
            f"The provisioning network is not valid: {error}.", hint="Write addresses as 172.22.0.1/24."
        ) from error
    _check(own, proxy=proxy)
    if not proxy:
        _check_range(own, start, end)
    if router is not None and router not in own.network:
        raise errors.Invalid(f"The gateway {router} is outside {own.network}.", hint="Correct the gateway.")
    return Network(interface, str(own), str(start), str(end), None if router is None else str(router), proxy=proxy)


def of(settings: Settings) -> Network | None:
    """The network to serve DHCP on, if any. Raises errors.Invalid when interface or range do not fit."""
    if settings.provision_interface is None:
        return None
    address = settings.provision_address or hostnet.address_of(settings.provision_interface)
    first, _, last = (settings.provision_range or "").partition("-")
    return plan(settings.provision_interface, address, first or None, last or None, proxy=settings.dhcp_proxy)


def host(settings: Settings) -> str | None:
    """This host's address on the provisioning network; None when the settings name no such network."""
    network = of(settings)
    if network is not None:
        return network.host
    return settings.provision_address.split("/")[0] if settings.provision_address else None


def url_host(address: str) -> str:
    """An IP address as a URL has it: version 6 in brackets."""
    return f"[{address}]" if ":" in address else address


def _free_side(own: Interface) -> tuple[Address, Address]:
    network = own.network
    if own.version == 6:
        low, high = (network.network_address + offset for offset in _RANGE6)
        taken = int(low) <= int(own.ip) <= int(high)
        return (high + 1, high + 1 + (_RANGE6[1] - _RANGE6[0])) if taken else (low, high)
    before = (network.network_address + 1, own.ip - 1)
    after = (own.ip + 1, network.broadcast_address - 1)
    return max(before, after, key=lambda side: int(side[1]) - int(side[0]))


def _check(own: Interface, *, proxy: bool) -> None:
    if own.network.max_prefixlen - own.network.prefixlen < 3:
        raise errors.Invalid(
            f"The network {own.network} is too small to boot machines in.",
            hint="Use a prefix of /29 or shorter.",
        )
    if own.version == 6 and own.network.prefixlen != 64:
        raise errors.Invalid(
            f"The network {own.network} cannot give machines their addresses.", hint="IPv6 needs a /64 (RFC 4862)."
        )
    if own.version == 6 and proxy:
        raise errors.Invalid("DHCPv6 knows no proxy.", hint="Unset dhcp_proxy, or use an IPv4 provisioning address.")


def _check_range(own: Interface, start: Address, end: Address) -> None:
    network = own.network
    if start.version != own.version or end.version != own.version or not _inside(own, start, end):
        raise errors.Invalid(
            f"The range {start} to {end} does not lie inside {network}.",
            hint="Correct first and last address.",
        )
    if int(start) <= int(own.ip) <= int(end):
        raise errors.Invalid(
            f"The range {start} to {end} contains the host's own address {own.ip}.",
            hint="Leave it out of the range.",
        )


def _inside(own: Interface, start: Address, end: Address) -> bool:
    network = own.network
    return int(network.network_address) < int(start) <= int(end) < int(network.broadcast_address)
