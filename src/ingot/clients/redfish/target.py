"""Where a Redfish service is and how to log in to it.

Why: every Redfish call names its peer by this one value. May not: open a connection.
Invariant: its printed form never shows the password.
"""

from __future__ import annotations

from enum import StrEnum
from urllib.parse import urlsplit

import msgspec

from ingot.clients.http import trust
from ingot.domain import errors

DEFAULT_ROOT = "/redfish/v1/"


class AuthType(StrEnum):
    """How to prove who we are; ``AUTO`` is a session, and basic where the BMC has none, or none left, for us."""

    AUTO = "auto"
    SESSION = "session"
    BASIC = "basic"
    NONE = "none"


class Target(msgspec.Struct, frozen=True):
    """One Redfish service.

    ``address``: URL, "https://" when without scheme, a path replaces "/redfish/v1/". ``system_id``: path or
    id of the ComputerSystem, None for the only one. Empty ``username``: no login. ``verify_ca``: True checks
    against the system's CAs, a path against these, False checks nothing. ``tls_minimum``: a key of
    ``trust.VERSIONS``, ``tls_ciphers``: as OpenSSL writes them; None: as this system has it. Raises ``errors.Invalid``.
    """

    address: str
    system_id: str | None = None
    username: str = ""
    password: str = ""
    verify_ca: bool | str = True
    auth_type: AuthType = AuthType.AUTO
    tls_minimum: str | None = None
    tls_ciphers: str | None = None

    def __post_init__(self) -> None:
        """Refuse an address that cannot be one."""
        if not _is_origin(self.origin):
            raise errors.Invalid(
                "The Redfish address is not a URL such as https://bmc.example.org.",
                hint="Correct redfish_address; user name and password have fields of their own.",
            )

    def __repr__(self) -> str:
        return f"Target({self.origin}, user={self.username!r})"

    @property
    def origin(self) -> str:
        """Scheme, host and port, without a path."""
        scheme, rest = self._split()
        return f"{scheme}://{rest.partition('/')[0]}"

    @property
    def trust(self) -> trust.Trust:
        """What TLS must be like."""
        if self.tls_minimum is None and self.tls_ciphers is None:
            return self.verify_ca
        return trust.Demands(self.verify_ca, self.tls_minimum, self.tls_ciphers)

    @property
    def login(self) -> tuple[str, str, AuthType]:
        """What a session depends on beside the origin: nodes of one service that have it in common share one."""
        return self.username, self.password, self.auth_type

    @property
    def root(self) -> str:
        """Path of the service root, with a slash at its end."""
        path = self._split()[1].partition("/")[2].strip("/")
        return f"/{path}/" if path else DEFAULT_ROOT

    @property
    def name(self) -> str:
        """What errors call this peer."""
        return f"Redfish service {self._split()[1].partition('/')[0]}"

    def _split(self) -> tuple[str, str]:
        scheme, separator, rest = self.address.partition("://")
        return (scheme.lower(), rest) if separator else ("https", scheme)


def _is_origin(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and "@" not in text
    except ValueError:
        return False
