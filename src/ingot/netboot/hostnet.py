"""This host's own addresses, asked from the kernel."""

from __future__ import annotations

import contextlib
import fcntl
import socket
import struct
from ipaddress import IPv4Interface

from ingot.domain import errors

_SIOCGIFADDR = 0x8915
_SIOCGIFNETMASK = 0x891B


def address_of(interface: str) -> str:
    """The IPv4 address of a network interface with its prefix ("10.0.0.1/24").

    Raises errors.Invalid when there is no such interface or it has no address. Source: netdevice(7).
    """
    try:
        address, mask = _ask(interface, _SIOCGIFADDR), _ask(interface, _SIOCGIFNETMASK)
    except OSError as error:
        raise errors.Invalid(
            f"The network interface {interface} cannot serve machines: {error.strerror}",
            hint="Check its name (ip address) and give it an IPv4 address.",
        ) from error
    return str(IPv4Interface(f"{address}/{mask}"))


def addresses() -> list[str]:
    """The first IPv4 address of each interface, loopback included."""
    found: list[str] = []
    for _, name in socket.if_nameindex():
        with contextlib.suppress(OSError):
            found.append(_ask(name, _SIOCGIFADDR))
    return found


def _ask(interface: str, request: int) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        answer = fcntl.ioctl(probe.fileno(), request, struct.pack("256s", interface.encode()[:15]))
    return socket.inet_ntoa(answer[20:24])
