"""`ingot doctor`: everything on this host that may keep machines from being deployed, each with its cure.

May not: change anything. Invariant: exit code 1 if and only if something is bad.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ingot.cli import configuration, exits, options, output
from ingot.domain import errors

if TYPE_CHECKING:
    from ingot.cli.doctor.findings import Finding
    from ingot.settings import Settings

_MARKS = {"fine": ("ok", "green"), "odd": ("??", "yellow"), "bad": ("!!", "red")}


@click.command()
@options.as_json
@configuration.source
def doctor(as_json: bool, config: Path | None, data_dir: str | None, assigned: tuple[str, ...]) -> None:
    """Look at settings, network, DHCP, ports, programs, clock, disk, keys, certificates, ramdisk and BMCs.

    Each finding has its cure. Exit code 0 if nothing is bad, else 1. It changes nothing; the look for other DHCP
    servers asks on the provisioning interface for six seconds, takes no address, and needs root.
    """
    found: list[Finding] = []
    for one in _look(config, assigned, data_dir):
        found.append(one)
        if not as_json:
            _tell(one)
    if as_json:
        output.show_json(
            [{"check": one.check, "level": one.level, "text": one.text, "cure": one.cure} for one in found]
        )
    sys.exit(exits.FAILED if any(one.level == "bad" for one in found) else exits.DONE)


def _look(config: Path | None, assigned: tuple[str, ...], data_dir: str | None) -> Iterator[Finding]:
    from ingot import settings as known
    from ingot.cli.doctor import findings, host, network, site

    for name, meant in known.misspelt_variables().items():
        yield findings.odd("environment", f"{name} names no setting and is ignored", f"Did you mean {meant}?")
    try:
        settings = configuration.load(config, assigned, data_dir=data_dir)
    except errors.IngotError as error:
        yield findings.bad("settings", error.message, error.hint)
        return
    file = config or configuration.usual_file()
    yield findings.fine("settings", f"read from {file}" if file else "defaults; there is no settings file")
    for check in (host.CHECKS, site.CHECKS, network.CHECKS):
        for look in check:
            yield from _guarded(look, settings)


def _guarded(look: Callable[[Settings], Iterator[Finding]], settings: Settings) -> Iterator[Finding]:
    """A look that fails is a finding, too."""
    from ingot.cli.doctor import findings

    try:
        yield from look(settings)
    except (errors.IngotError, OSError, sqlite3.Error) as error:
        cure = error.hint if isinstance(error, errors.IngotError) else "Run it as the account that runs the service."
        yield findings.bad(look.__name__.replace("_", " "), str(error), cure or "See the text.")


def _tell(one: Finding) -> None:
    mark, colour = _MARKS[one.level]
    click.echo(f"{click.style(mark, fg=colour)} {one.check}: {one.text}")
    if one.cure:
        click.echo(f"     {one.cure}")
