"""`ingot init`: everything a new site needs, once. May not: change what is there already, or start anything.

Invariant: run again, it makes what is missing and says what it found.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from ingot.cli import configuration, options
from ingot.domain import errors
from ingot.settings import Settings

SYSTEM_DATA = "/var/lib/ingot"
"""Where root's ingot keeps its data; a package gives the folder to the service's own account."""


@click.command()
@click.option("--user", "name", default="admin", show_default=True, help="The first user; made if there is none yet.")
@click.option("--password-file", type=click.Path(path_type=Path), help="Write the new password there, not on screen.")
@configuration.source
def init(
    name: str, password_file: Path | None, config: Path | None, data_dir: str | None, assigned: tuple[str, ...]
) -> None:
    """Make a settings file, the database, keys, a certificate authority and the first admin user.

    What --set says is written into a new settings file. What is there already stays as it is.
    """
    file = config or configuration.usual_file(to_write=True)
    assert file is not None
    chosen = options.pairs(assigned, "--set")
    if data_dir or file == configuration.SYSTEM_FILE:
        chosen.setdefault("data_dir", data_dir or SYSTEM_DATA)
    written = _write_settings(file, chosen)
    settings = configuration.load(file, assigned, data_dir=data_dir)
    made = _make_folder(settings.data, file if written else None)
    _say(written, f"settings file {file}")
    _say(made, f"data directory {settings.data}")
    for what, new in _prepare(settings):
        _say(new, what)
    _add_user(settings, name, password_file)
    _give_to_owner(settings.data, file if written else None)
    _tell_next(file, settings)


def _say(made: bool, what: str) -> None:
    click.echo(f"{'made ' if made else 'kept '} {what}")


def _write_settings(file: Path, chosen: Mapping[str, str]) -> bool:
    from ingot.cli import settings_file
    from ingot.store import seal

    if file.exists():
        return False
    text = settings_file.render(chosen)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        seal.create_file(file, text.encode())  # its owner's only: URLs of database and broker hold passwords
    except OSError as error:
        raise errors.Forbidden(
            f"The settings file {file} cannot be written: {error.strerror}",
            hint="Run this as root, or name a place of your own with --config.",
        ) from error
    return True


def _make_folder(data: Path, new_settings: Path | None) -> bool:
    """Whether it was made now. Where it cannot be, settings that name it and were just written go again."""
    if data.exists():
        return False
    try:
        data.mkdir(parents=True, mode=0o700)
    except OSError as error:
        if new_settings is not None:
            new_settings.unlink()
        text = f"The data directory {data} cannot be made: {error.strerror}"
        raise errors.Forbidden(text, hint="Run this as root, or name another with --data-dir.") from error
    return True


def _prepare(settings: Settings) -> list[tuple[str, bool]]:
    """Keys, database and authority; each with whether it was made now."""
    from ingot.store import place, seal, upgrade
    from ingot.tls import authority

    data = settings.data
    found: list[tuple[str, bool]] = []
    for file, what in ((seal.KEY_FILE, "key for secrets"), ("url.key", "key for boot and image URLs")):
        path = data / file
        found.append((f"{what} {path}", not path.exists()))
        seal.open_keys(path)
    where = place.of(settings.database, data)
    found.append((f"database {place.shown(where)}, version {upgrade.HEAD}", upgrade.upgrade(where)))
    own = authority.Authority(data / authority.FOLDER)
    found.append((f"certificate authority {own.ca_file}", not own.ca_file.exists()))
    own.certificate()
    return found


def _add_user(settings: Settings, name: str, password_file: Path | None) -> None:
    import asyncio

    from ingot.services import users as service
    from ingot.store import engine, place, seal, users

    store = engine.Store(place.of(settings.database, settings.data))
    try:
        present = asyncio.run(_all_users(store, users.list_all))
        if present:
            _say(False, f"users: {', '.join(one.name for one in present)}")
            return
        words = secrets.token_urlsafe(15)
        if password_file is not None:
            if password_file.exists():
                raise errors.Conflict(f"{password_file} exists already", hint="Name another file.")
            seal.create_file(password_file, f"{words}\n".encode())
        asyncio.run(service.put(store, name, words, "admin"))
    finally:
        store.close()
    _say(True, f"user {name} with the role admin")
    shown = f"in {password_file}" if password_file else words
    click.echo(f"\n  password of {name}: {shown}\n  It is not shown again.")


async def _all_users(store: Any, unit: Any) -> Any:
    return await store.run(unit)


def _give_to_owner(data: Path, new_settings: Path | None) -> None:
    """What root made in another account's folder belongs to that account, which runs the service.

    A new settings file stays root's; the account's group may read it.
    """
    owner = data.stat()
    if os.geteuid() == 0 and owner.st_uid != 0:
        for path in data.rglob("*"):
            os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
        if new_settings is not None:
            os.chown(new_settings, 0, owner.st_gid)
            new_settings.chmod(0o640)


def _tell_next(file: Path, settings: Settings) -> None:
    from ingot.netboot import dhcp
    from ingot.tls import wanted

    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # all addresses are no URL's
    where = f"{wanted.scheme(settings, settings.host)}://{dhcp.url_host(host)}:{settings.port}"
    usual = file == configuration.usual_file()
    option = "" if usual else f" --config {file}"
    if configuration.load(file, ()).data != settings.data:  # settings that were there already name another
        option += f" --data-dir {settings.data}"
    lines = [
        f"Look at {file}; provision_interface names the network that servers boot on.",
        f"ingot doctor{option}",
        f"ingot ramdisk build{_output_option(settings, usual)}",
        "systemctl enable --now ingot" if Path("/run/systemd/system").exists() else f"ingot serve{option}",
        f"export INGOT_URL={where} INGOT_USER=... INGOT_PASSWORD=...",
    ]
    if where.startswith("https"):
        lines[-1] += f" INGOT_CACERT={settings.data / 'tls/ca.pem'}"
    click.echo("\nNext:\n" + "\n".join(f"  {line}" for line in lines))


def _output_option(settings: Settings, usual: bool) -> str:
    """Nothing where the builder finds the folder by itself: it reads the usual settings file and no other."""
    found = usual and configuration.load(None, ()).ramdisk == settings.ramdisk
    return "" if found else f" --output {settings.ramdisk}"
