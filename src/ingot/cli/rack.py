"""`ingot rack`: virtual racks and the images that are deployed on them, by ingot_rack.

May not: hold logic of virtual hardware. Invariant: the rack's own sentence reaches the reader.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any, cast

import click

from ingot.cli import options, output, stopping
from ingot.domain import errors

COLUMNS = ("name", "power", "firmware", "bmc", "bmc_address", "bmc_port", "mac", "memory_mb", "serial_log")


@contextlib.contextmanager
def rack_errors() -> Generator[None]:
    """Turn the rack's errors into ingot's."""
    from ingot_rack import errors as theirs

    try:
        yield
    except theirs.RackError as error:
        raise errors.IngotError(error.message, hint=error.hint) from error


@click.group()
def rack() -> None:
    """Virtual servers with real BMCs (IPMI, Redfish) on a network of their own."""


@rack.command()
@click.argument("spec", type=click.Path(path_type=Path))
@options.as_json
def up(spec: Path, as_json: bool) -> None:
    """Start a rack in the background. SPEC is the TOML or JSON file that describes it."""
    from ingot_rack import rack as racks

    with rack_errors():
        _show(asyncio.run(racks.start(spec)), as_json)


@rack.command()
@click.argument("name")
@click.option("--purge", is_flag=True, help="Remove disks and logs too.")
def down(name: str, purge: bool) -> None:
    """End the rack NAME, also after it was killed."""
    from ingot_rack import rack as racks

    with rack_errors():
        found = asyncio.run(racks.down(name, purge=purge))
    click.echo(f"rack {name} {'ended' if found else 'was not running; what it left is gone'}")


@rack.command()
@click.argument("name")
@options.as_json
def status(name: str, as_json: bool) -> None:
    """Tell how the machines of the rack NAME are. It is the truth, from behind their BMCs."""
    _show(_call(name, {"do": "status"}), as_json)


@rack.command()
@click.argument("name")
@click.argument("machine")
@click.argument("path", type=click.Path(path_type=Path))
def screenshot(name: str, machine: str, path: Path) -> None:
    """Write what the screen of MACHINE shows as PNG to PATH."""
    click.echo(_call(name, {"do": "screenshot", "machine": machine, "path": str(path.absolute())}))


@rack.command(context_settings={"ignore_unknown_options": True})
@click.argument("spec", type=click.Path())
def serve(spec: str) -> None:
    """Run the rack of SPEC in the foreground. SIGTERM or Ctrl-C end it."""
    from ingot_rack import cli

    sys.exit(cli.main(["serve", spec]))


@rack.command()
@click.argument("variant", type=click.Choice(["debian", "tiny"]), default="debian")
@options.as_json
def image(variant: str, as_json: bool) -> None:
    """Build an operating system image to deploy. It comes from this host's package sources, once."""
    from ingot_rack import osimage

    with stopping.on_sigterm():
        try:
            made = osimage.ensure(osimage.Variant(variant), lambda text: click.echo(text, err=True))
        except osimage.ImageError as error:
            raise errors.IngotError(str(error), hint="") from error
    output.show_record({**dataclasses.asdict(made), "path": str(made.path)}, as_json=as_json)


def _call(name: str, request: dict[str, object]) -> Any:
    from ingot_rack import control
    from ingot_rack import rack as racks

    with rack_errors():
        return asyncio.run(control.call(racks.control_socket(name), request))


def _show(state: Any, as_json: bool) -> None:
    """Print a rack's state; passwords stay out of sight unless JSON is asked for."""
    if as_json:
        click.echo(json.dumps(state, indent=2))
        return
    told = cast("dict[str, Any]", state)
    machines: list[dict[str, Any]] = told["machines"]
    columns = [column for column in COLUMNS if any(column in one for one in machines)]
    output.show_rows(machines, columns)
    click.echo(f"namespace {told.get('namespace') or '(the host)'}, bridge {told.get('bridge') or 'none'}", err=True)
