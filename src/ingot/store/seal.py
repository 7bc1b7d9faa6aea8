"""Sealing: secrets are encrypted before they reach the database and opened only for the driver that needs them.

AES-256-GCM, bound to the node's uuid (a sealed text copied to another node does not open). The key lives in a
file outside the database. May not: log or cache what it opens.
"""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ingot.domain import errors

_VERSION = "v1:"


class Sealer:
    """Seals and opens JSON values with one 32-byte key."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def seal(self, node_uuid: str, value: Any) -> str:
        """``value`` (JSON-able) as sealed text for that node."""
        nonce = os.urandom(12)
        sealed = self._cipher.encrypt(nonce, msgspec.json.encode(value), node_uuid.encode())
        return _VERSION + base64.b64encode(nonce + sealed).decode()

    def open(self, node_uuid: str, text: str | None) -> Any:
        """The value again; None opens to None. Raises errors.Bug when the key or the node is not the right one."""
        if text is None:
            return None
        raw = base64.b64decode(text.removeprefix(_VERSION))
        try:
            return msgspec.json.decode(self._cipher.decrypt(raw[:12], raw[12:], node_uuid.encode()))
        except InvalidTag as error:
            raise errors.Bug(
                f"The secrets of node {node_uuid} cannot be opened: the key does not fit the database",
                hint="Put the secret.key file that belongs to this database back into the data directory.",
            ) from error


def load_key(path: Path) -> bytes:
    """The key in ``path`` (made, mode 0600, on first use)."""
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        return path.read_bytes()
    with os.fdopen(descriptor, "wb") as file:
        file.write(AESGCM.generate_key(256))
        file.flush()
        os.fsync(file.fileno())
    return path.read_bytes()
