"""Renders dnsmasq's configuration from the provisioning network: addresses, and which program each firmware loads.

Why: constant for the network, with nothing of any node in it, so that dnsmasq is never told to read it again.
May not: do I/O. Sources: RFC 4578 section 2.1 and IANA's registry of processor architecture types (DHCP option 93,
DHCPv6 option 61); RFC 5970 (boot URL of DHCPv6); UEFI 2.10 section 24.7 (the word HTTPClient); dnsmasq(8).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from ingot.netboot import filenames
from ingot.netboot.dhcp import Network

_EFI: Mapping[str, tuple[int, ...]] = {"x64": (7, 9), "arm64": (11,)}
_EFI_HTTP: Mapping[str, tuple[int, ...]] = {"x64": (16,), "arm64": (19,)}
_FILES = {"x64": filenames.X64, "arm64": filenames.ARM64}
# dnsmasq can write this option only as texts, each after two bytes of its length. The first makes, length and all, the
# four bytes where the maker's number belongs (163454, nobody's); the second is the class.
_HTTP_CLASS6 = "~~,HTTPClient"
_NO_PROXY = "dhcp-option-force=tag:ipxe,encap:175,176,1b"
"""iPXE's option no-pxedhcp: without it iPXE goes on asking, for more than two seconds, whether a proxy answers, too."""


class Places(msgspec.Struct, frozen=True):
    """Where dnsmasq finds and keeps its files."""

    state: Path
    hosts: Path
    tftp_root: Path


def render(net: Network, places: Places, http_url: str) -> str:
    """The configuration's text; ``http_url`` is the base of our file server."""
    lines = [
        "port=0",
        f"interface={net.interface}",
        "bind-interfaces",
        "except-interface=lo" if net.interface != "lo" else "",
        "user=root",
        "log-facility=-",
        "log-dhcp",
        f"pid-file={places.state / 'dnsmasq.pid'}",
        f"dhcp-leasefile={places.state / 'leases'}",
        f"dhcp-hostsdir={places.hosts}",
        "dhcp-ignore=tag:!known",
        "enable-tftp",
        f"tftp-root={places.tftp_root}",
        "tftp-unique-root=mac",
        *_addresses(net),
        *_programs(net, http_url.rstrip("/")),
    ]
    return "\n".join(filter(None, lines)) + "\n"


def _addresses(net: Network) -> list[str]:
    if net.version == 6:
        # Both ways to an address: firmware asks DHCPv6, the ramdisk's kernel takes one from the advertisement.
        return ["enable-ra", f"dhcp-range={net.first},{net.last},slaac,{net.prefix_length},{net.lease_time}"]
    if net.proxy:
        return [f"dhcp-range={net.host},proxy,{net.netmask}"]
    return [
        "dhcp-authoritative",
        "no-ping",
        f"dhcp-range={net.first},{net.last},{net.netmask},{net.lease_time}",
        f"dhcp-option=option:router{',' + net.gateway if net.gateway else ''}",
        f"dhcp-option=option:dns-server{''.join(',' + server for server in net.dns)}",
    ]


def _programs(net: Network, http_url: str) -> list[str]:
    if net.version == 6:
        return _programs6(net, http_url)
    if net.proxy:
        return _programs_proxy()
    lines = ["dhcp-match=set:ipxe,175", *_matches("option:client-arch")]
    lines += [f"dhcp-boot=tag:ipxe,{filenames.IPXE_SCRIPT},,{net.host}", _NO_PROXY]
    for name, file in _FILES.items():
        lines += [
            f"dhcp-boot=tag:!ipxe,tag:http-{name},{http_url}{filenames.HTTP_PATH}/{file}",
            f"dhcp-option-force=tag:!ipxe,tag:http-{name},60,HTTPClient",
            f"dhcp-boot=tag:!ipxe,tag:{name},{file},,{net.host}",
        ]
    other = ",".join(f"tag:!{name},tag:!http-{name}" for name in _FILES)
    return [*lines, f"dhcp-boot=tag:!ipxe,{other},{filenames.BIOS},,{net.host}"]


def _matches(option: str) -> list[str]:
    tags = {**_EFI, **{f"http-{name}": codes for name, codes in _EFI_HTTP.items()}}
    return [f"dhcp-match=set:{name},{option},{code}" for name, codes in tags.items() for code in codes]


def _programs_proxy() -> list[str]:
    """dnsmasq as a proxy answers PXE clients alone, so firmware that boots over HTTP is not served."""
    lines = ["dhcp-match=set:ipxe,175"]
    kinds = {"X86PC": filenames.BIOS, "BC_EFI": filenames.X64, "X86-64_EFI": filenames.X64}
    for kind, file in {**kinds, "ARM64_EFI": filenames.ARM64}.items():
        lines.append(f'pxe-service=tag:!ipxe,{kind},"ingot",{file}')
        lines.append(f'pxe-service=tag:ipxe,{kind},"ingot",{filenames.IPXE_SCRIPT}')
    return lines


def _programs6(net: Network, http_url: str) -> list[str]:
    lines = ["dhcp-userclass=set:ipxe,iPXE", *_matches("option6:61")]
    lines.append(f"dhcp-option=tag:ipxe,option6:bootfile-url,{http_url}{filenames.HTTP_PATH}/{filenames.IPXE_SCRIPT}")
    for name, file in _FILES.items():
        lines += [
            f"dhcp-option=tag:!ipxe,tag:http-{name},option6:bootfile-url,{http_url}{filenames.HTTP_PATH}/{file}",
            f"dhcp-option-force=tag:!ipxe,tag:http-{name},option6:16,{_HTTP_CLASS6}",
            f"dhcp-option=tag:!ipxe,tag:{name},option6:bootfile-url,tftp://[{net.host}]/{file}",
        ]
    return lines
