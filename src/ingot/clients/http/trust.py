"""TLS contexts, one per way of trusting.

Why: building a context reads and parses files, and connections are reused only under one and the same
context object. May not: open a connection. Invariant: a context is made once per distinct trust.
"""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from ssl import TLSVersion

import msgspec

from ingot.domain import errors

MOST_CONTEXTS = 4096  # agents bring a certificate each; the oldest go first


class Pem(msgspec.Struct, frozen=True):
    """Trust exactly the certificates of this PEM text."""

    text: str


class Demands(msgspec.Struct, frozen=True):
    """Trust as ``verify`` says, with the oldest TLS allowed ("1.1" to "1.3") and the ciphers, None for the usual."""

    verify: bool | str
    minimum: str | None = None
    ciphers: str | None = None


Trust = bool | str | Pem | Demands
"""True: the system's CAs; False: no check; str: path of a CA file or folder; Pem: these certificates."""
VERSIONS = {"1.1": TLSVersion.TLSv1_1, "1.2": TLSVersion.TLSv1_2, "1.3": TLSVersion.TLSv1_3}


class Contexts:
    """The contexts of one HTTP client."""

    def __init__(self) -> None:
        self._made: dict[str | Pem | Demands, ssl.SSLContext] = {}
        self._making = asyncio.Lock()  # a thousand BMCs that are met at once share one

    async def find(self, trust: Trust) -> ssl.SSLContext | bool:
        """What aiohttp takes as ``ssl``. Raises ``errors.Invalid`` when the certificates cannot be read."""
        return trust if isinstance(trust, bool) else await self.make(trust)

    async def make(self, trust: Trust) -> ssl.SSLContext:
        """The context for ``trust``. Raises as ``find``."""
        if isinstance(trust, bool):
            trust = Demands(trust)
        context = self._made.get(trust)
        if context is not None:
            return context
        async with self._making:
            context = self._made.get(trust)
            if context is None:
                context = await asyncio.to_thread(_make, trust)
                while len(self._made) >= MOST_CONTEXTS:
                    del self._made[next(iter(self._made))]
                self._made[trust] = context
            return context


def _make(trust: str | Pem | Demands) -> ssl.SSLContext:
    if isinstance(trust, Demands):
        return _demanding(trust)
    try:
        if isinstance(trust, Pem):
            return _verifying(cadata=trust.text)
        if Path(trust).is_dir():
            return _verifying(capath=trust)
        return _verifying(cafile=trust)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        what = "The peer's PEM certificate" if isinstance(trust, Pem) else f"The CA file {trust}"
        raise errors.Invalid(f"{what} cannot be used: {error}.", hint="Give a readable PEM file.") from error


def _demanding(trust: Demands) -> ssl.SSLContext:
    context = _make(trust.verify) if isinstance(trust.verify, str) else _plain(trusting=not trust.verify)
    try:
        if trust.ciphers:
            context.set_ciphers(trust.ciphers)
    except ssl.SSLError as error:
        raise errors.Invalid(
            f"The TLS ciphers {trust.ciphers!r} cannot be used: {error}.", hint="Write them as OpenSSL does."
        ) from error
    if trust.minimum:
        context.minimum_version = VERSIONS[trust.minimum]
    return context


def _plain(*, trusting: bool) -> ssl.SSLContext:
    if not trusting:
        return _verifying()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _verifying(*, cafile: str | None = None, capath: str | None = None, cadata: str | None = None) -> ssl.SSLContext:
    """Without the strictness of newer Pythons: what makers put into their BMCs' certificates often fails it."""
    context = ssl.create_default_context(cafile=cafile, capath=capath, cadata=cadata)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context
