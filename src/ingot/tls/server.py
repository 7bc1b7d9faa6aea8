"""The TLS context of this process's listeners, kept fresh while they serve.

Who calls by address gets the certificate of ingot's own authority (ramdisks do, and know that authority); who calls
by name gets the operator's certificate, if the settings name one. May not: listen. Invariant: a certificate is
replaced before it ends, without a restart.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable
from pathlib import Path

import structlog

from ingot.domain import errors
from ingot.settings import Settings
from ingot.tls import authority

_log = structlog.get_logger("ingot.tls")
_LOOK_EVERY = 5.0


def authority_of(settings: Settings) -> authority.Authority:
    """The authority of this data directory."""
    return authority.Authority(settings.data / authority.FOLDER)


class Identity:
    """What this host shows to callers. ``names``: its names and addresses."""

    def __init__(self, settings: Settings, names: Iterable[str]) -> None:
        self._names = tuple(names)
        self._authority = authority_of(settings)
        self._given = _given(settings)
        self._changed_at = 0.0
        self._authority.issue(self._names)
        self.context = _context()
        self._by_name = _context()
        self._load()
        if self._given is not None:
            self.context.sni_callback = self._choose

    async def keep_fresh(self) -> None:
        """Renew what ends within a month, and read files again that were replaced. Runs for ever."""
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            try:
                renewed = await asyncio.to_thread(self._authority.issue, self._names)
                if renewed or self._stamp() != self._changed_at:
                    self._load()
                    _log.info("certificates were read anew")
            except (errors.IngotError, OSError) as error:
                _log.error("certificates cannot be renewed", reason=str(error))

    def _load(self) -> None:
        own = self._authority.server_file
        _read(self.context, own, own)
        if self._given is not None:
            _read(self._by_name, *self._given)
        self._changed_at = self._stamp()

    def _stamp(self) -> float:
        return sum(path.stat().st_mtime for path in (self._authority.server_file, *(self._given or ())))

    def _choose(self, connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        if name is not None:
            connection.context = self._by_name


def _given(settings: Settings) -> tuple[Path, Path] | None:
    if not settings.tls_cert and not settings.tls_key:
        return None
    if not settings.tls_cert or not settings.tls_key:
        raise errors.Invalid("Of tls_cert and tls_key only one is set", hint="Name both files, or neither.")
    return Path(settings.tls_cert), Path(settings.tls_key)


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def _read(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise errors.Invalid(
            f"The certificate {certificate} with the key {key} cannot be used: {error}",
            hint="Both are PEM files; the key belongs to the first certificate and has no passphrase.",
        ) from error
