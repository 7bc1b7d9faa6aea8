"""Where a BMC is and how to log in to it.

Why: every IPMI call names its peer by this one value, and the pool keys its kept sessions by it.
May not: open a connection. Invariant: its printed form never shows the password or the Kg key.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum

import msgspec

from ingot.clients.ipmi import suites
from ingot.domain import errors

DEFAULT_PORT = 623
BMC_ADDRESS = 0x20
MAX_USERNAME = 16  # bytes, IPMI 2.0 section 22.28
MAX_PASSWORD = 20  # bytes, IPMI 2.0 section 22.30
MAX_PASSWORD_V15 = 16  # bytes, the same place
KG_LENGTH = 20


class Privilege(IntEnum):
    """Session privilege level, IPMI 2.0 section 6.8."""

    CALLBACK = 1
    USER = 2
    OPERATOR = 3
    ADMINISTRATOR = 4


class Version(StrEnum):
    """Which protocol sessions are opened with."""

    V15 = "1.5"
    V20 = "2.0"


class Bridge(msgspec.Struct, frozen=True):
    """The way to a controller behind the BMC: over bus ``channel`` to ``address`` (section 6.13).

    ``transit``: channel and address of the controller in between, when there is one; the channel above is that
    controller's then. ``local``: the address that the BMC, or the controller in between, has on the last bus.
    """

    channel: int
    address: int
    transit: tuple[int, int] | None = None
    local: int = BMC_ADDRESS

    def __post_init__(self) -> None:
        """Refuse what cannot be sent."""
        channels = [self.channel, *(self.transit or ())[:1]]
        addresses = [self.address, self.local, *(self.transit or ())[1:]]
        if not all(0 <= one <= 0x0F for one in channels) or not all(0 <= one <= 0xFF for one in addresses):
            raise errors.Invalid("An IPMI bridging channel is over 15, or an address is over 255.")


class Target(msgspec.Struct, frozen=True):
    """One BMC and the credentials for it; ``cipher_suite`` None means: 17, else 3. IPMI 1.5 has neither suites nor Kg.

    ``username`` and ``password`` may be empty (the null user). ``kg`` is the 20-byte BMC key, None when the
    BMC uses none. With ``bridge`` commands are for a controller behind the BMC; the session is the BMC's, and shared.
    Raises ``errors.Invalid`` for values that no BMC can hold.
    """

    address: str
    port: int = DEFAULT_PORT
    username: str = ""
    password: str = ""
    privilege: Privilege = Privilege.ADMINISTRATOR
    cipher_suite: int | None = None
    kg: bytes | None = None
    bridge: Bridge | None = None
    version: Version = Version.V20

    def __post_init__(self) -> None:
        """Refuse what cannot be sent."""
        if not 0 < self.port < 65536:
            raise errors.Invalid(f"IPMI port {self.port} is not between 1 and 65535.")
        if len(self.username.encode()) > MAX_USERNAME:
            raise errors.Invalid(f"The IPMI user name for {self.address} is longer than {MAX_USERNAME} bytes.")
        if len(self.password.encode()) > MAX_PASSWORD:
            raise errors.Invalid(f"The IPMI password for {self.address} is longer than {MAX_PASSWORD} bytes.")
        if self.version is Version.V15 and len(self.password.encode()) > MAX_PASSWORD_V15:
            raise errors.Invalid(
                f"The IPMI password for {self.address} is longer than {MAX_PASSWORD_V15} bytes, all that IPMI 1.5 has.",
                hint="Give the user a shorter password on the BMC, or use IPMI 2.0.",
            )
        if self.kg is not None and len(self.kg) != KG_LENGTH:
            raise errors.Invalid(f"The IPMI Kg key for {self.address} is not {KG_LENGTH} bytes (40 hex digits).")
        if self.cipher_suite is not None and self.cipher_suite not in suites.BY_NUMBER:
            numbers = ", ".join(map(str, sorted(suites.BY_NUMBER)))
            raise errors.Invalid(
                f"IPMI cipher suite {self.cipher_suite} is not supported: it proves no password (0), encrypts by RC4, "
                "or is unknown.",
                hint=f"Use 17 or 3, by default the better one that the BMC has; known are {numbers}.",
            )

    def __repr__(self) -> str:
        return f"Target({self.name}, user={self.username!r})"

    @property
    def name(self) -> str:
        """``address:port`` as people write it, and the address behind it."""
        name = f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"
        return f"{name} (behind it {self.bridge.address:#04x})" if self.bridge else name

    @property
    def login(self) -> Target:
        """The BMC whose session is used: this one, without what is behind it."""
        return msgspec.structs.replace(self, bridge=None) if self.bridge else self

    @property
    def controller(self) -> int:
        """The bus address of the controller that commands are for."""
        return self.bridge.address if self.bridge else BMC_ADDRESS
