"""Sealing: secrets are encrypted before they reach the database and opened only for the driver that needs them.

AES-256-GCM, bound to the node's uuid (a sealed text copied to another node does not open). The keys live in a
file outside the database. May not: log or cache what it opens, or load the library (4 MiB) before there is a secret.
"""

from __future__ import annotations

import base64
import contextlib
import os
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import msgspec

from ingot.domain import errors

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_VERSION = "v1:"
_KEY_SIZE = 32
KEY_FILE = "secret.key"
"""Its name in the data directory."""


class KeyFile:
    """A file of 32-byte keys: the first one seals; what follows only opens, until a rotation has ended.

    It is looked at each time, so that a process sees a rotation that another one began.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        # The file's state and its keys, put in place together: several threads ask.
        self._known: tuple[tuple[int, ...], tuple[bytes, ...]] = ((), ())

    def keys(self) -> tuple[bytes, ...]:
        """The keys of this moment. Raises errors.Invalid for a file that holds none."""
        try:
            found = self._path.stat()
            seen, (known, keys) = (found.st_ino, found.st_mtime_ns, found.st_size), self._known
            if seen != known:
                data = self._path.read_bytes()
                keys = tuple(data[at : at + _KEY_SIZE] for at in range(0, len(data), _KEY_SIZE))
                self._known = seen, keys
        except OSError as error:
            text = f"The key file {self._path} cannot be read: {error.strerror}"
            raise errors.Invalid(text, hint="Restore it from your backup.") from error
        if not keys or len(keys[-1]) != _KEY_SIZE:
            raise errors.Invalid(f"The file {self._path} holds no key", hint="Restore it from your backup.")
        return keys

    def changed_at(self) -> float:
        """When the file was written (epoch seconds), as of the last ``keys``."""
        seen, _ = self._known
        return seen[1] / 1e9 if seen else 0.0


class Sealer:
    """Seals and opens JSON values with one 32-byte key, or with those of a file."""

    def __init__(self, key: bytes | KeyFile) -> None:
        self._source = key
        self._ciphers: dict[bytes, AESGCM] = {}

    def seal(self, node_uuid: str, value: Any) -> str:
        """``value`` (JSON-able) as sealed text for that node."""
        nonce = os.urandom(12)
        sealed = self._present()[0].encrypt(nonce, msgspec.json.encode(value), node_uuid.encode())
        return _VERSION + base64.b64encode(nonce + sealed).decode()

    def open(self, node_uuid: str, text: str | None) -> Any:
        """The value again; None opens to None. Raises errors.Bug when the key or the node is not the right one."""
        if text is None:
            return None
        for cipher in self._present():
            found = _decrypt(cipher, node_uuid, text)
            if found is not None:
                return msgspec.json.decode(found)
        raise errors.Bug(
            f"The secrets of node {node_uuid} cannot be opened: the key does not fit the database",
            hint="Put the secret.key file that belongs to this database back into the data directory.",
        )

    def renew(self, node_uuid: str, text: str) -> str | None:
        """The same value sealed with the newest key; None when it is already, or when no key opens it."""
        newest, *older = self._present()
        if _decrypt(newest, node_uuid, text) is not None:
            return None
        opened = next((found for one in older if (found := _decrypt(one, node_uuid, text)) is not None), None)
        return None if opened is None else self.seal(node_uuid, msgspec.Raw(opened))

    def _present(self) -> list[AESGCM]:
        keys = (self._source,) if isinstance(self._source, bytes) else self._source.keys()
        ciphers = self._ciphers  # another thread may put others in their place
        if len(ciphers) != len(keys) or not all(key in ciphers for key in keys):
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM

            self._ciphers = ciphers = {key: AESGCM(key) for key in keys}
        return [ciphers[key] for key in keys]


def _decrypt(cipher: AESGCM, node_uuid: str, text: str) -> bytes | None:
    from cryptography.exceptions import InvalidTag

    try:
        raw = base64.b64decode(text.removeprefix(_VERSION))
        return cipher.decrypt(raw[:12], raw[12:], node_uuid.encode())
    except (InvalidTag, ValueError):
        return None


def open_keys(path: Path) -> KeyFile:
    """The keys in ``path``; one is made, mode 0600, where there is none."""
    if not path.exists():
        create_file(path, os.urandom(_KEY_SIZE))
    return KeyFile(path)


def replace_key(path: Path, *, at_once: bool) -> None:
    """Put a new key first; the present one stays behind it unless ``at_once``. Raises errors.Invalid."""
    present = b"" if at_once else open_keys(path).keys()[0]
    replace_file(path, os.urandom(_KEY_SIZE) + present)


def create_file(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Write a new file; one that is there already stays as it is.

    The file appears whole or not at all, whenever the process is killed and however many start at once.
    """
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".new-") as file:  # mode 0600
        _fill(file, data, mode)
        with contextlib.suppress(FileExistsError):
            os.link(file.name, path)
    _sync(path.parent)


def replace_file(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Write a file anew: readers see the old one or the new one, whenever the process is killed.

    What a killed process leaves has always the same name, so that the next call takes it away.
    """
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        _fill(file, data, mode)
    part.replace(path)
    _sync(path.parent)


def _fill(file: IO[bytes], data: bytes, mode: int) -> None:
    file.write(data)
    file.flush()
    os.fchmod(file.fileno(), mode)
    os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
