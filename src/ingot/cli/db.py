"""`ingot db`: the database. May not: know tables. Invariant: a backup is whole, also while the service writes."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ingot.cli import configuration
from ingot.domain import errors

if TYPE_CHECKING:
    from ingot.store.place import Place


def place_of(config: Path | None, data_dir: str | None, assigned: tuple[str, ...]) -> Place:
    """The database these options mean; its data directory is there afterwards."""
    from ingot.store import place

    settings = configuration.load(config, assigned, data_dir=data_dir)
    settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    return place.of(settings.database, settings.data)


@click.group()
def db() -> None:
    """Upgrade, check and back up the database."""


@db.command()
@configuration.source
def upgrade(config: Path | None, data_dir: str | None, assigned: tuple[str, ...]) -> None:
    """Bring the database to this program's version. The service does it at its start, too."""
    from ingot.store import place
    from ingot.store import upgrade as upgrades

    where = place_of(config, data_dir, assigned)
    changed = upgrades.upgrade(where)
    click.echo(f"{place.shown(where)} {'is now' if changed else 'was already'} at version {upgrades.HEAD}")


@db.command()
@configuration.source
def check(config: Path | None, data_dir: str | None, assigned: tuple[str, ...]) -> None:
    """Tell the database's version and whether it is sound.

    Of a server: whether it answers. Exit code 1 if not."""
    from ingot.store import place
    from ingot.store import upgrade as upgrades

    where = place_of(config, data_dir, assigned)
    path = place.shown(where)
    if not isinstance(where, str):
        with closing(_open(_existing(where))) as connection:
            problems = _problems(connection)
        if problems:
            raise errors.IngotError(f"{path} is damaged: {problems[0]}", hint="Restore a backup.")
    version = upgrades.current(where)
    if version != upgrades.HEAD:
        text = f"{path} is at version {version or 'none'}, this program needs {upgrades.HEAD}"
        raise errors.IngotError(text, hint='Run "ingot db upgrade".')
    click.echo(f"{path} {'answers' if isinstance(where, str) else 'is sound'} and is at version {version}")


@db.command("end-runs")
@configuration.source
def end_runs(config: Path | None, data_dir: str | None, assigned: tuple[str, ...]) -> None:
    """End all open runs of a restored database.

    No machine is touched: each run fails where it stands, nothing is undone, and its node goes into maintenance. No
    conductor may be at work.
    """
    import asyncio

    from ingot import app
    from ingot.flows import restored
    from ingot.store import seal

    settings = configuration.load(config, assigned, data_dir=data_dir)
    if not (settings.data / seal.KEY_FILE).is_file():
        raise errors.NotFound(f"There is no key {settings.data / seal.KEY_FILE}", hint="Restore it first.")
    deps = app.make_deps(settings)
    try:
        ended = asyncio.run(restored.end_all(deps))
    finally:
        deps.store.close()
    for one in ended:
        click.echo(f"{one.node}: {one.kind} ended ({one.where}); {one.state}, in maintenance")
    click.echo(f"{len(ended)} runs were ended")


def _problems(connection: sqlite3.Connection) -> list[str]:
    try:
        found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(10)")]
        foreign = connection.execute("PRAGMA foreign_key_check").fetchall()
    except sqlite3.DatabaseError as error:
        return [str(error)]
    return [one for one in found if one != "ok"] + [f"a row of {row[0]} points nowhere" for row in foreign]


@db.command()
@click.argument("target", required=False, type=click.Path(path_type=Path))
@configuration.source
def backup(target: Path | None, config: Path | None, data_dir: str | None, assigned: tuple[str, ...]) -> None:
    """Write a copy of the database to TARGET. The service may run meanwhile.

    Default: beside the SQLite file. Of a server: its own program writes it, by default to the data directory.
    """
    where = place_of(config, data_dir, assigned)
    target = target or _usual_target(where, configuration.load(config, assigned, data_dir=data_dir).data)
    if target.exists():
        raise errors.Conflict(f"{target} exists already", hint="Choose another name.")
    try:
        if isinstance(where, str):
            _dump(where, target)
        else:
            _copy(_existing(where), target)
    except (sqlite3.Error, OSError) as error:
        raise errors.IngotError(f"The backup to {target} failed: {error}", hint="Check space and rights.") from error
    click.echo(f"{target} ({target.stat().st_size / 1e6:.1f} MB); keep the file secret.key, too, in another place")


def _usual_target(where: Place, data: Path) -> Path:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    if isinstance(where, Path):
        return where.with_name(f"{where.name}.{stamp}")
    from ingot.store import dumps

    return data / f"ingot.{stamp}.{dumps.plan(where).suffix}"


def _dump(where: str, target: Path) -> None:
    from ingot.cli import db_dump

    db_dump.write(where, target)
    said = "To restore it into an empty database, with every ingot stopped, and then 'ingot db end-runs':"
    click.echo(f"{said}\n{db_dump.restoring(where, target)}", err=True)


def _copy(path: Path, target: Path) -> None:
    partial = target.with_name(f"{target.name}.partial")
    try:
        partial.touch(mode=0o600)
        with closing(_open(path)) as source, closing(sqlite3.connect(partial)) as copy:
            source.backup(copy)
        partial.replace(target)
    except (sqlite3.Error, OSError):
        partial.unlink(missing_ok=True)
        raise


@db.command("rotate-key")
@click.option("--settle", type=click.FloatRange(0), help="Seconds to wait for other processes' writes (default: 40).")
@configuration.source
def rotate_key(settle: float | None, config: Path | None, data_dir: str | None, assigned: tuple[str, ...]) -> None:
    """Replace the key that seals BMC passwords. It seals all other secrets, too; the service may run meanwhile.

    All rows are sealed anew; the old key is kept until that is done. Cut at any moment, it goes on when run again.
    """
    import asyncio

    from ingot.services import keys
    from ingot.store import engine, seal

    where = place_of(config, data_dir, assigned)
    key = configuration.load(config, assigned, data_dir=data_dir).data / seal.KEY_FILE
    store = engine.Store(where if isinstance(where, str) else _existing(where))
    wait = keys.SETTLE if settle is None else settle
    try:
        total = asyncio.run(keys.rotate(store, key, click.echo, wait))
    finally:
        store.close()
    click.echo(f"{total} rows are sealed with the new key; the old one is gone. Back the file {seal.KEY_FILE} up")


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise errors.NotFound(f"There is no database {path}", hint='Name its folder with --data-dir, or "ingot serve".')
    return path


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=30)
