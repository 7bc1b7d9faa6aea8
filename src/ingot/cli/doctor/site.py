"""What the doctor looks at in the data directory: rights, keys, database, certificates, ramdisk.

May not: change anything, or open a secret. Invariant: what is missing before the first start is no fault.
"""

from __future__ import annotations

import asyncio
import datetime
import json
import platform
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

from cryptography.hazmat.primitives import serialization

from ingot.cli.doctor.findings import Finding, bad, fine, odd
from ingot.domain import errors
from ingot.settings import Settings
from ingot.store import place, seal, upgrade
from ingot.store import users as stored
from ingot.store.engine import Store
from ingot.tls import authority, server, wanted

_OLD_RAMDISK = 180 * 86400.0
_SOON = datetime.timedelta(days=21)


def data_directory(settings: Settings) -> Iterator[Finding]:
    """The folder and its secret files are for their owner only."""
    data = settings.data
    if not data.exists():
        yield odd("data directory", f"{data} does not exist yet", 'Run "ingot init"; the first start makes it, too.')
        return
    private = [data / name for name in (seal.KEY_FILE, "url.key", "tls/ca.key", "tls/server.pem", "ingot.db")]
    exposed = [path for path in private if path.exists() and path.stat().st_mode & 0o077 and _is_open(data)]
    if exposed:
        names = " ".join(map(str, exposed))
        yield bad("data directory", f"others can read {names}", f"chmod 700 {data}; chmod 600 {names}")
    else:
        yield fine("data directory", str(data))


def _is_open(folder: Path) -> bool:
    return bool(folder.stat().st_mode & 0o011)


def key(settings: Settings) -> Iterator[Finding]:
    """The key that seals secrets."""
    file = settings.data / seal.KEY_FILE
    if not file.exists():
        where = place.of(settings.database, settings.data)
        if isinstance(where, Path) and where.exists():
            yield bad("key", f"{file} is missing: no BMC password can be opened", "Restore it from your backup.")
        return
    if len(seal.KeyFile(file).keys()) > 1:
        yield odd("key", f"{file} holds an old key, too: a rotation was cut", 'Run "ingot db rotate-key" again.')
    else:
        yield fine("key", str(file))


def database(settings: Settings) -> Iterator[Finding]:
    """Version and soundness; of a server, whether it answers."""
    where = place.of(settings.database, settings.data)
    if isinstance(where, str) or where.exists():
        yield from _version(where)
    if not isinstance(where, str) and where.exists():
        yield _soundness(where)


def _version(where: place.Place) -> Iterator[Finding]:
    path = place.shown(where)
    try:
        version = upgrade.current(where)
    except errors.StoreDown as error:
        yield bad("database", error.message, error.hint)
        return
    if version is None or version < upgrade.HEAD:
        yield odd(
            "database", f"{path} is at version {version}, this program at {upgrade.HEAD}", "Back it up, then start."
        )
    elif version > upgrade.HEAD:
        yield bad("database", f"{path} was made by a newer ingot ({version})", "Install that one again.")
    elif isinstance(where, str):
        yield fine("database", f"{path} answers")


def _soundness(path: Path) -> Finding:
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5)) as connection:
            [told] = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        told = str(error)
    if told != "ok":
        return bad("database", f"{path} is damaged: {told}", "Stop the service and restore a backup.")
    return fine("database", f"{path} is sound")


def find_database(settings: Settings) -> place.Place | None:
    """Where the database is, None when there is none that can be asked now (``database`` tells why)."""
    where = place.of(settings.database, settings.data)
    if isinstance(where, Path) and not where.exists():
        return None
    with suppress(errors.StoreDown):
        return where if upgrade.current(where) == upgrade.HEAD else None
    return None


def users(settings: Settings) -> Iterator[Finding]:
    """Somebody can log in."""
    where = None if settings.noauth else find_database(settings)
    if where is None:
        return
    count = sum(one.role == "admin" for one in asyncio.run(_users(where)))
    if count:
        yield fine("users", f"{count} with the role admin")
    else:
        yield bad("users", "nobody has the role admin", "ingot user add admin --generate")


async def _users(where: place.Place) -> list[stored.User]:
    store = Store(where, patience=5)
    try:
        return await store.read(stored.list_all)
    finally:
        await asyncio.to_thread(store.close)


def certificates(settings: Settings) -> Iterator[Finding]:
    """Of the authority, of this host, and the operator's own."""
    own = server.authority_of(settings)
    renewed = "The service renews it a month before; is it running?"
    for path, cure in ((own.ca_file, f"Remove {own.ca_file.parent} and start again; copy ca.pem to clients."),
                       (own.server_file, renewed)):  # fmt: skip
        if path.exists():
            yield _expiry("certificates", path, cure)
    if settings.tls_cert and settings.tls_key:
        given = Path(settings.tls_cert)
        yield _expiry("certificates", given, "Renew it; a running service reads the new files by itself.")
        if not _belongs(Path(settings.tls_key), given):
            yield bad("certificates", f"{settings.tls_key} is not the key of {given}", "Name the files that fit.")
    if settings.tls is False and not wanted.is_loopback(settings.host):
        text = f"tls = false and host = {settings.host}: passwords and tokens cross the network in clear"
        yield odd("certificates", text, "Remove tls from the settings.")


def _belongs(key_file: Path, certificate: Path) -> bool:
    try:
        found = serialization.load_pem_private_key(key_file.read_bytes(), None)
    except (OSError, ValueError):
        return False
    return found.public_key() == authority.read(certificate).public_key()


def _expiry(check: str, path: Path, cure: str) -> Finding:
    try:
        end = authority.read(path).not_valid_after_utc
    except errors.Invalid as error:
        return bad(check, error.message, error.hint)
    left = end - datetime.datetime.now(datetime.UTC)
    if left < datetime.timedelta():
        return bad(check, f"{path} ended on {end:%Y-%m-%d}", cure)
    if left < _SOON:
        return odd(check, f"{path} ends in {left.days} days", cure)
    return fine(check, f"{path} is good until {end:%Y-%m-%d}")


def ramdisk(settings: Settings) -> Iterator[Finding]:
    """There, not old, and of a kernel that is known."""
    folder = settings.ramdisk
    missing = [name for name in ("vmlinuz", "initrd") if not (folder / name).is_file()]
    if missing:
        make = bad if settings.provision_interface else odd
        yield make("ramdisk", f"{folder} has no {' and no '.join(missing)}", f"ingot ramdisk build --output {folder}")
        return
    age = time.time() - (folder / "initrd").stat().st_mtime
    try:
        kernel = json.loads((folder / "manifest.json").read_text()).get("kernel_release", "unknown")
    except (OSError, ValueError):
        kernel = "unknown"
    told = f"{folder}, kernel {kernel}, {age / 86400:.0f} days old"
    if age > _OLD_RAMDISK:
        yield odd("ramdisk", told, "Build it anew for kernel fixes and drivers: ingot ramdisk build")
    else:
        yield fine("ramdisk", f"{told} (this host runs {platform.release()})")


CHECKS: tuple[Callable[[Settings], Iterator[Finding]], ...] = (
    data_directory,
    key,
    database,
    users,
    certificates,
    ramdisk,
)
