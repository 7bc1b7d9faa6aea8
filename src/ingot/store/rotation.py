"""Sealing everything in the database anew under another key, while the service goes on.

Why: a key that somebody may have seen must be replaceable without a pause. Every process looks at the key file each
time it seals or opens, so the file is what tells them. May not: print or keep what it opens. Invariant: at every
moment, also after a kill, each sealed text opens with a key that is in the file.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Generator
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Column, Connection, Table, Text, or_, select, update

from ingot.domain import errors
from ingot.store import rows, schema, seal

_SEALED = re.compile(r"v1:[A-Za-z0-9+/]{38,}={0,2}")
_OWNERS = ("node_uuid", "uuid")


def begin(file: Path) -> bool:
    """Put a new key before the present one; False when an earlier rotation is not ended, which then goes on."""
    present, *older = seal.KeyFile(file).keys()
    if older:
        return False
    seal.replace_file(file, AESGCM.generate_key(256) + present)
    return True


def end(file: Path) -> None:
    """Forget all keys but the first; only after nothing is sealed with them any more."""
    newest, *_ = seal.KeyFile(file).keys()
    seal.replace_file(file, newest)


@contextlib.contextmanager
def alone(folder: Path) -> Generator[None]:
    """Be the only rotation in this data directory. Raises errors.Conflict."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise errors.Conflict(
            "Another rotation runs in this data directory", hint="Wait until it has ended."
        ) from error
    finally:
        os.close(descriptor)


def tables() -> list[Table]:
    """The tables that may hold sealed texts: those whose rows belong to a node or have secrets of their own."""
    found = schema.metadata.sorted_tables
    return [table for table in found if {"secrets", "node_uuid"} & set(table.c.keys()) and _texts(table)]


def list_sealed(connection: Connection, table: Table) -> list[tuple[Any, ...]]:
    """The primary keys of rows that may hold a sealed text."""
    found = or_(*(column.contains("v1:") for column in _texts(table)))
    return [tuple(row) for row in connection.execute(select(*table.primary_key.columns).where(found))]


def reseal(connection: Connection, table: Table, keys: list[tuple[Any, ...]], sealer: seal.Sealer) -> int:
    """Seal what these rows hold with the newest key; how many rows were not so yet."""
    changed = 0
    for key in keys:
        where = [column == value for column, value in zip(table.primary_key.columns, key, strict=True)]
        row = connection.execute(select(table).where(*where)).first()
        if row is None:
            continue
        present = rows.as_dict(row)
        owners = [str(present[name]) for name in _OWNERS if present.get(name)]
        texts = {column.name: str(present[column.name] or "") for column in _texts(table)}
        new = {name: _renew(text, owners, sealer) for name, text in texts.items()}
        differing = {name: text for name, text in new.items() if text != texts[name]}
        if differing:
            connection.execute(update(table).where(*where).values(differing))
            changed += 1
    return changed


def _texts(table: Table) -> list[Column[Any]]:
    return [column for column in table.c if isinstance(column.type, Text)]


def _renew(text: str, owners: list[str], sealer: seal.Sealer) -> str:
    """``text`` with what older keys sealed in it sealed anew; what no key opens is left alone."""

    def anew(found: re.Match[str]) -> str:
        renewed = (sealer.renew(owner, found[0]) for owner in owners)
        return next((one for one in renewed if one is not None), found[0])

    return _SEALED.sub(anew, text)
