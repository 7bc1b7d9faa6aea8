"""Where a request came from and where its links lead, also behind a proxy.

Why its own place: what a proxy says of a request is believed by setting only, and everything that believes it is here.
May not: know a route. Invariant: without the setting ``proxy_headers`` no such header changes anything.
Source: oslo.middleware's http_proxy_to_wsgi and Ironic's choice of the public URL, by which links are built there.
"""

from __future__ import annotations

import ipaddress
import re

from ingot.domain import errors
from ingot.netboot import dhcp
from ingot.settings import Settings

HEADERS = frozenset(
    {b"forwarded", *(f"x-forwarded-{word}".encode() for word in ("for", "proto", "host", "port", "prefix"))}
)
"""What a proxy says of a request, in lower case."""
_HOST = re.compile(r"^(\[[0-9a-fA-F:.]+\]|[a-zA-Z0-9._-]+)(:[0-9]{1,5})?$")
_PREFIX = re.compile(r"^(/[\w.~-]+)+/?$", re.ASCII)
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


class Origins:
    """What links of this process begin with, and who asks. Raises errors.Invalid for a setting that cannot be."""

    def __init__(self, settings: Settings) -> None:
        self._proxied = settings.proxy_headers
        self._proxies = [_network(text) for text in settings.proxies]
        self._public = (settings.public_url or "").rstrip("/")
        self._fallback = f"{dhcp.url_host(settings.host)}:{settings.port}"

    def base(self, scheme: str, headers: dict[str, str]) -> str:
        """What links begin with: what the proxy says, or else the setting, or else scheme and Host header."""
        if self._proxied:
            return self._behind_proxy(scheme, headers)
        return self._public or self._url(scheme, headers.get("host", ""))

    def client(self, address: str, headers: dict[str, str]) -> str:
        """The address that asks; behind a proxy the one that it names last, as those before it anyone may write.

        Unlike in links, where upstream's order counts, X-Forwarded-For goes first: nearly every proxy writes that one
        and lets a Forwarded pass as the client made it up. Who is no proxy of ours names nobody but itself.
        """
        if not self._proxied or not self._is_proxy(address):
            return address
        named = headers.get("x-forwarded-for") or _last(_forwarded(headers), "for")
        return _without_port(named.rpartition(",")[2].strip().strip('"')) or address

    def _is_proxy(self, address: str) -> bool:
        try:
            peer = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(peer in network for network in self._proxies)

    def _behind_proxy(self, scheme: str, headers: dict[str, str]) -> str:
        if headers.get("forwarded"):
            first = _forwarded(headers)[0]
            proto, host = first.get("proto"), first.get("host")
        else:
            proto, host = (_first(headers.get(f"x-forwarded-{word}", "")) for word in ("proto", "host"))
        host, port = host or headers.get("host", ""), _first(headers.get("x-forwarded-port", ""))
        if port.isdecimal() and not re.search(r":\d+$", host):
            host = f"{host}:{port}"
        prefix = headers.get("x-forwarded-prefix", "")
        below = prefix.rstrip("/") if _PREFIX.match(prefix) else ""
        return self._url(proto if proto in _DEFAULT_PORTS else scheme, host) + below

    def _url(self, scheme: str, host: str) -> str:
        shown = host if _HOST.match(host) else self._fallback
        return f"{scheme}://{shown.removesuffix(_DEFAULT_PORTS.get(scheme, ' '))}"


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise errors.Invalid(f"The setting proxies has {text!r}: {error}", hint="Write 192.0.2.0/24.") from error


def _without_port(named: str) -> str:
    """An address as proxies write it: IPv6 perhaps in brackets, perhaps with the port, which no two requests share."""
    if named.startswith("["):
        return named[1:].partition("]")[0]
    host, _, rest = named.partition(":")
    return named if ":" in rest else host


def _first(listed: str) -> str:
    return listed.partition(",")[0].strip()


def _forwarded(headers: dict[str, str]) -> list[dict[str, str]]:
    """The header Forwarded (RFC 7239): one entry for each proxy, the nearest to the client first."""
    found: list[dict[str, str]] = []
    for proxy in headers.get("forwarded", "").split(","):
        pairs = (pair.partition("=") for pair in proxy.split(";"))
        found.append({name.strip().lower(): value.strip().strip('"') for name, _, value in pairs})
    return found


def _last(entries: list[dict[str, str]], name: str) -> str:
    return next((entry[name] for entry in reversed(entries) if name in entry), "")
