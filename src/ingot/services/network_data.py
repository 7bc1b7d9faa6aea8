"""What a node's ``network_data`` may hold: the form of Nova's network metadata (links, networks, services).

May not: read the database. Source: the schema that Ironic's API reference names; keys beyond it are left alone.
"""

from __future__ import annotations

import ipaddress
from typing import Annotated, Any, Literal

import msgspec

from ingot.domain import errors, schema_texts, typed

_Mac = Annotated[str, msgspec.Meta(pattern="^(?i:[0-9a-f]{2}[:-]){5}(?i:[0-9a-f]{2})$")]
_Mtu = Annotated[int | float, msgspec.Meta(ge=1, le=65535)] | None


class _Phy(msgspec.Struct, frozen=True):
    id: str
    ethernet_mac_address: _Mac
    type: Literal["bridge", "dvs", "hw_veb", "hyperv", "ovs", "tap", "vhostuser", "vif", "phy"]
    mtu: _Mtu = None
    vif_id: str = ""


class _Bond(msgspec.Struct, frozen=True):
    id: str
    ethernet_mac_address: _Mac
    type: Literal["bond"]
    bond_mode: Literal[
        "802.3ad", "balance-rr", "active-backup", "balance-xor", "broadcast", "balance-tlb", "balance-alb"
    ]
    bond_links: list[str]
    mtu: _Mtu = None
    vif_id: str = ""


class _Vlan(msgspec.Struct, frozen=True):
    id: str
    vlan_mac_address: _Mac
    type: Literal["vlan"]
    vlan_link: str
    vlan_id: int
    mtu: _Mtu = None
    vif_id: str = ""


class _Service(msgspec.Struct, frozen=True):
    address: str
    type: Literal["dns"]


class _Route(msgspec.Struct, frozen=True):
    network: str
    netmask: str
    gateway: str
    services: list[_Service] = []


class _Network(msgspec.Struct, frozen=True):
    id: str
    link: str
    network_id: str
    type: Literal["ipv4", "ipv4_dhcp", "ipv6", "ipv6_dhcp", "ipv6_slaac"]
    ip_address: str | None = None
    netmask: str | None = None
    routes: list[_Route] = []


class _Data(msgspec.Struct, frozen=True):
    links: list[dict[str, Any]]
    networks: list[_Network]
    services: list[_Service]


_LINKS: dict[object, type[_Phy | _Bond | _Vlan]] = {"bond": _Bond, "vlan": _Vlan}


def check(value: object) -> None:
    """Raise errors.Invalid unless ``value`` is network data."""
    try:
        found = typed.convert(value, _Data)
        for link in found.links:
            typed.convert(link, _LINKS.get(link.get("type"), _Phy))
    except msgspec.ValidationError as error:
        text = f"Invalid network_data: {schema_texts.told(error, value)}"
        raise errors.Invalid(text, hint="It has the form of Nova's metadata.") from error
    for network in found.networks:
        _check_addresses(network)
    for service in found.services:
        _address(service.address, (4, 6))


def _check_addresses(network: _Network) -> None:
    version = 4 if network.type.startswith("ipv4") else 6
    if network.ip_address is not None:
        _address(network.ip_address.partition("/")[0] if version == 6 else network.ip_address, (version,))
    masks = [network.netmask] if network.netmask is not None else []
    for route in network.routes:
        masks.append(route.netmask)
        for text in (route.network, route.gateway, *(service.address for service in route.services)):
            _address(text, (version,))
    for mask in masks:
        _address(mask, (version,))


def _address(text: str, versions: tuple[int, ...]) -> None:
    try:
        right = ipaddress.ip_address(text).version in versions
    except ValueError:
        right = False
    if not right:
        kinds = " or ".join(f"IPv{version}" for version in versions)
        raise errors.Invalid(f"Invalid network_data: {text} is no {kinds} address", hint="Correct it and send again.")
