"""The machine's network interfaces, in the words of Ironic's inventory.

May not: give an interface an address. Invariant: only interfaces with a device behind them count.
"""

from __future__ import annotations

import fcntl
import os
import re
import socket
import struct
from typing import Any

from ingot_agent import log, settings, sysfile

_SIOCGIFADDR, _SIOCSIFFLAGS = 0x8915, 0x8914
_UP = 1  # IFF_UP of linux/if.h
_TENTATIVE = 0x40  # IFA_F_TENTATIVE of linux/if_addr.h
_PCI = re.compile(r"^[0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$")


def names(roots: settings.Roots) -> list[str]:
    """Names of all interfaces that have a device."""
    folder = f"{roots.sys}/class/net"
    return [name for name in sysfile.names(folder) if os.path.exists(f"{folder}/{name}/device")]


def addresses(roots: settings.Roots, first: str = "") -> list[str]:
    """Hardware addresses of all interfaces; the one we booted from comes first."""
    found = [sysfile.read(f"{roots.sys}/class/net/{name}/address").lower() for name in names(roots)]
    return sorted(filter(None, found), key=lambda address: address != first)


def ipv4(name: str) -> str | None:
    """The interface's IPv4 address, None when it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as query:
        try:
            answer = fcntl.ioctl(query, _SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
        except OSError:
            return None
    return socket.inet_ntoa(answer[20:24])


def ipv6(name: str, roots: settings.Roots) -> str | None:
    """The interface's first IPv6 address, a global one before a link-local one; None when it has none.

    One that the kernel still checks for a second owner is none: connections would go out from the link-local one.
    """
    rows = [line.split() for line in sysfile.read(f"{roots.proc}/net/if_inet6").splitlines()]
    usable = (row for row in rows if len(row) == 6 and row[5] == name and not int(row[4], 16) & _TENTATIVE)
    mine = sorted(usable, key=lambda row: row[3] != "00")
    return socket.inet_ntop(socket.AF_INET6, bytes.fromhex(mine[0][0])) if mine else None


def has_address(roots: settings.Roots) -> bool:
    """Tell whether any interface has an address that reaches beyond its own link."""
    found = (ipv4(name) or ipv6(name, roots) or "" for name in names(roots))
    return any(address and not address.startswith("fe80:") for address in found)


def _pci_address(device: str) -> str | None:
    return next((part for part in reversed(device.split("/")) if _PCI.match(part)), None)


def _interface(name: str, roots: settings.Roots) -> dict[str, Any]:
    folder = f"{roots.sys}/class/net/{name}"
    speed = sysfile.number(f"{folder}/speed", -1)
    device = sysfile.link(f"{folder}/device")
    pci = _pci_address(device)
    identity = device if os.path.exists(f"{device}/vendor") and "virtio" not in device else device.rpartition("/")[0]
    return {
        "name": name,
        "mac_address": sysfile.read(f"{folder}/address").lower(),
        "ipv4_address": ipv4(name),
        "ipv6_address": ipv6(name, roots),
        "has_carrier": sysfile.read(f"{folder}/carrier") == "1",
        "lldp": None,
        "vendor": sysfile.read(f"{identity}/vendor") or None,
        "product": sysfile.read(f"{identity}/device") or None,
        "client_id": None,
        "biosdevname": None,
        "speed_mbps": speed if speed > 0 else None,
        "pci_address": pci,
        "driver": os.path.basename(sysfile.link(f"{folder}/device/driver")) or None,
    }


def interfaces(roots: settings.Roots) -> list[dict[str, Any]]:
    """All interfaces as inventory objects, by name."""
    return [_interface(name, roots) for name in names(roots)]


def is_up(name: str, roots: settings.Roots) -> bool:
    """Whether an interface is switched on, with a link or without."""
    return bool(_flags(name, roots) & _UP)


def all_up(roots: settings.Roots) -> None:
    """Switch every interface on, so that its link shows and its switch is heard; those switched on here take no routes.

    Nothing where the folders are not the machine's own (see ``all_down``).
    """
    if roots != settings.Roots():
        return
    for name in names(roots):
        if not is_up(name, roots):
            switch_on(name, roots)


def switch_on(name: str, roots: settings.Roots) -> None:
    """Switch one interface on; it takes no routes."""
    try:
        with open(f"{roots.proc}/sys/net/ipv6/conf/{name}/accept_ra", "w", encoding="ascii") as file:
            file.write("0")
    except OSError:
        pass  # a kernel without IPv6
    _set_flags(name, _flags(name, roots) | _UP)


def all_down(roots: settings.Roots) -> None:
    """Take every interface off the network; nothing where the folders are not the machine's own.

    A test's folders may name an interface that its host has too, and the order would go to that one.
    """
    if roots != settings.Roots():
        return
    for name in names(roots):
        _set_flags(name, 0)


def _flags(name: str, roots: settings.Roots) -> int:
    """Those that an order holds (16 bits): what an order leaves out, as being heard by many, is switched off."""
    return int(sysfile.read(f"{roots.sys}/class/net/{name}/flags") or "0", 16) & 0xFFFF


def _set_flags(name: str, flags: int) -> None:
    """What the kernel refuses is left as it is."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        try:
            fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH14x", name.encode()[:15], flags))
        except OSError as error:
            log.line(f"{name} cannot be switched {'on' if flags else 'off'}: {error.strerror}")
