"""Whether an address is served by TLS: everywhere but on loopback, unless the settings say otherwise.

May not: read files. Invariant: a password or token leaves this host in clear only where ``tls = false`` was written.
"""

from __future__ import annotations

import ipaddress

from ingot.settings import Settings


def is_wanted(settings: Settings, address: str) -> bool:
    """Whether a listener on ``address`` speaks TLS."""
    return not is_loopback(address) if settings.tls is None else settings.tls


def scheme(settings: Settings, address: str) -> str:
    """What URLs of a listener on ``address`` begin with."""
    return "https" if is_wanted(settings, address) else "http"


def is_loopback(host: str) -> bool:
    """Whether only this host itself reaches what listens on ``host`` (an address, or the name localhost)."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
