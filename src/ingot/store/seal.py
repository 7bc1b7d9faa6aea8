"""Sealing: secrets are encrypted before they reach the database and opened only for the driver that needs them.

AES-256-GCM, bound to the node's uuid (a sealed text copied to another node does not open). The key lives in a
file outside the database. May not: log or cache what it opens.
"""

from __future__ import annotations

import base64
import contextlib
import os
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ingot.domain import errors

_VERSION = "v1:"
_KEY_SIZE = 32


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
    """The key in ``path`` (made, mode 0600, on first use). Raises errors.Invalid for a file that holds no key."""
    if not path.exists():
        create_file(path, AESGCM.generate_key(256))
    key = path.read_bytes()
    if len(key) != _KEY_SIZE:
        raise errors.Invalid(f"The file {path} holds no key", hint="Restore it from your backup.")
    return key


def create_file(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Write a new file; one that is there already stays as it is.

    The file appears whole or not at all, whenever the process is killed and however many start at once.
    """
    with _written(path, data, mode) as name, contextlib.suppress(FileExistsError):
        os.link(name, path)
    _sync(path.parent)


def replace_file(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Write a file anew: readers see the old one or the new one, whenever the process is killed."""
    with _written(path, data, mode) as name:
        spare = f"{name}.new"
        os.link(name, spare)
        Path(spare).replace(path)
    _sync(path.parent)


@contextlib.contextmanager
def _written(path: Path, data: bytes, mode: int) -> Generator[str]:
    """The name of a file beside ``path`` that holds ``data`` on disk; it is gone afterwards."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".new-") as file:  # mode 0600
        file.write(data)
        file.flush()
        os.fchmod(file.fileno(), mode)
        os.fsync(file.fileno())
        yield file.name


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
