"""Where a BMC is and how to log in to it.

Why: every IPMI call names its peer by this one value, and the pool keys its kept sessions by it.
May not: open a connection. Invariant: its printed form never shows the password or the Kg key.
"""

from __future__ import annotations

from enum import IntEnum

import msgspec

from ingot.domain import errors

DEFAULT_PORT = 623
MAX_USERNAME = 16  # bytes, IPMI 2.0 section 22.28
MAX_PASSWORD = 20  # bytes, IPMI 2.0 section 22.30
KG_LENGTH = 20


class Privilege(IntEnum):
    """Session privilege level, IPMI 2.0 section 6.8."""

    CALLBACK = 1
    USER = 2
    OPERATOR = 3
    ADMINISTRATOR = 4


class Target(msgspec.Struct, frozen=True):
    """One BMC and the credentials for it; ``cipher_suite`` None means: 17, else 3.

    ``username`` and ``password`` may be empty (the null user). ``kg`` is the 20-byte BMC key, None when the
    BMC uses none. Raises ``errors.Invalid`` for values that no BMC can hold.
    """

    address: str
    port: int = DEFAULT_PORT
    username: str = ""
    password: str = ""
    privilege: Privilege = Privilege.ADMINISTRATOR
    cipher_suite: int | None = None
    kg: bytes | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be sent."""
        if not 0 < self.port < 65536:
            raise errors.Invalid(f"IPMI port {self.port} is not between 1 and 65535.")
        if len(self.username.encode()) > MAX_USERNAME:
            raise errors.Invalid(f"The IPMI user name for {self.address} is longer than {MAX_USERNAME} bytes.")
        if len(self.password.encode()) > MAX_PASSWORD:
            raise errors.Invalid(f"The IPMI password for {self.address} is longer than {MAX_PASSWORD} bytes.")
        if self.kg is not None and len(self.kg) != KG_LENGTH:
            raise errors.Invalid(f"The IPMI Kg key for {self.address} is not {KG_LENGTH} bytes (40 hex digits).")
        if self.cipher_suite not in (None, 3, 17):
            raise errors.Invalid(f"IPMI cipher suite {self.cipher_suite} is not supported; use 3 or 17.")

    def __repr__(self) -> str:
        return f"Target({self.name}, user={self.username!r})"

    @property
    def name(self) -> str:
        """``address:port`` as people write it."""
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"
