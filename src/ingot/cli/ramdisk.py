"""`ingot ramdisk`: build the deploy ramdisk, or tell what was built.

Why here: the builder must run without ingot (it makes what the agent needs). May not: know the recipe.
Invariant: the builder comes from the checkout when there is one, else from the installed package ingot_ramdisk.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import click

import ingot
from ingot.cli import configuration, options, output, stopping
from ingot.domain import errors


def builder() -> ModuleType:
    """The module that builds ramdisks. Raises errors.NotFound."""
    if "ingot_ramdisk" not in sys.modules:
        start = Path(str(ingot.__file__)).parents[2] / "ramdisk" / "__init__.py"
        if start.is_file():
            folders = [str(start.parent)]
            spec = importlib.util.spec_from_file_location("ingot_ramdisk", start, submodule_search_locations=folders)
            if spec is not None and spec.loader is not None:
                sys.modules["ingot_ramdisk"] = importlib.util.module_from_spec(spec)
                spec.loader.exec_module(sys.modules["ingot_ramdisk"])
    try:
        return importlib.import_module("ingot_ramdisk.build")
    except ModuleNotFoundError as error:
        raise errors.NotFound("The ramdisk's builder is not installed", hint="Install ingot again.") from error


def default_folder() -> Path:
    """Where `ingot serve` looks for the ramdisk unless told otherwise."""
    return configuration.load(None, ()).ramdisk


def _own_folder() -> Path:
    """The same, in a data directory that nobody else reads: building may be what makes it."""
    configuration.load(None, ()).data.mkdir(parents=True, exist_ok=True, mode=0o700)
    return default_folder()


@click.group()
def ramdisk() -> None:
    """The small system that servers boot to be inspected, cleaned and deployed."""


@ramdisk.command()
@click.option("--variant", default="full", show_default=True, help="full: real hardware; cloud: virtual machines only.")
@click.option(
    "--output",
    "folder",
    type=click.Path(path_type=Path),
    help="Folder for vmlinuz and initrd (default: where `serve` looks).",
)
@click.option(
    "--arch",
    "architecture",
    type=click.Choice(["amd64", "arm64"]),
    help="Processor of the servers (default: this host's); another's default folder is one of its name below.",
)
@click.option(
    "--extra",
    "extras",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Folder with files, programs, drivers to add (docs/howto/ramdisk.md); repeatable.",
)
@options.as_json
def build(variant: str, folder: Path | None, architecture: str | None, extras: tuple[Path, ...], as_json: bool) -> None:
    """Build kernel and initrd from this host's packages. It is quick when nothing has changed."""
    module = builder()
    foreign = architecture if architecture != module.foreign.host() else None
    target = folder or _own_folder() / (foreign or "")
    with stopping.on_sigterm():
        try:
            module.build(variant, target, _tell_phase, extras, architecture)
        except module.BuildError as error:
            raise errors.IngotError(str(error), hint="") from error
    _tell(target, as_json)


@ramdisk.command()
@click.option("--output", "folder", type=click.Path(path_type=Path), help="The folder it was built into.")
@options.as_json
def show(folder: Path | None, as_json: bool) -> None:
    """Tell sizes, kernel and packages of the ramdisk that was built."""
    _tell(folder or default_folder(), as_json)


def _tell_phase(phase: str, _part: float) -> None:
    click.echo(phase, err=True)


def _tell(folder: Path, as_json: bool) -> None:
    try:
        manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    except (OSError, ValueError) as error:
        raise errors.NotFound(
            f"There is no ramdisk in {folder}", hint='Build it with "ingot ramdisk build".'
        ) from error
    if as_json:
        output.show_json({"folder": str(folder), **manifest})
        return
    sizes: dict[str, int] = manifest.get("sizes") or {}
    facts = {"folder": str(folder), "variant": manifest.get("variant"), "processor": manifest.get("architecture")}
    facts |= {"kernel": manifest.get("kernel_release")}
    facts |= {name: f"{size / 2**20:.1f} MiB" for name, size in sizes.items()}
    facts |= {"packages": len(manifest.get("packages") or {}), "modules": len(manifest.get("modules") or [])}
    output.show_record(facts)
