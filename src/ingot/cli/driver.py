"""`ingot driver`: what drivers there are, and a new one as a skeleton that passes its tests from the first minute.

May not: import driver code; everything told here is in the manifests. Invariant: nothing that exists is overwritten.
"""

from __future__ import annotations

import re
from pathlib import Path

import click

import ingot
from ingot.cli import driver_skeleton, options, output
from ingot.domain import errors
from ingot.interfaces import manifest

_NAME = re.compile(r"[a-z][a-z0-9]{1,19}")
_PAGE = Path("docs/reference/drivers.md")


def shipped() -> dict[str, manifest.Manifest]:
    """The manifests of this installation by driver name."""
    return manifest.load_all(Path(str(ingot.__file__)).parent / "drivers")


@click.group()
def driver() -> None:
    """The drivers of this installation, and how to begin a new one."""


@driver.command(name="list")
@options.as_json
def show(as_json: bool) -> None:
    """List the hardware types with their status."""
    rows = [
        {
            "name": name,
            "status": found.status,
            "summary": found.summary,
            "interfaces": ", ".join(sorted(found.provides)),
            "driver_info": ", ".join(field.name for field in found.driver_info if field.required),
        }
        for name, found in shipped().items()
        if found.hardware
    ]
    output.show_rows(rows, ("name", "status", "interfaces", "driver_info", "summary"), as_json=as_json)


@driver.command()
@click.argument("name")
@click.option("--root", type=click.Path(path_type=Path), default=Path(), help="The checkout (default: here).")
def new(name: str, root: Path) -> None:
    """Write the skeleton of driver NAME into a checkout. It is manifest, interfaces, README and tests that pass."""
    if not _NAME.fullmatch(name):
        raise errors.Invalid(
            f'"{name}" cannot be the name of a driver', hint="2 to 20 small letters and digits, a letter first."
        )
    if not (root / "src/ingot/drivers").is_dir():
        raise errors.NotFound(f"There is no checkout of ingot in {root.resolve()}", hint="Name it with --root.")
    files = driver_skeleton.files(name)
    for path in files:
        if (root / path).exists():
            raise errors.Conflict(f"{path} exists already", hint="Choose another name, or remove it first.")
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
        click.echo(path)
    click.echo(f'Next: ./ingot test tests/drivers/{name}; to use it add "{name}" to the setting drivers.', err=True)


@driver.command()
@click.option("--root", type=click.Path(path_type=Path), default=Path(), help="The checkout (default: here).")
def document(root: Path) -> None:
    """Write docs/reference/drivers.md anew from the manifests."""
    (root / _PAGE).write_text(page(manifest.load_all(root / "src/ingot/drivers")))
    click.echo(str(_PAGE))


def page(found: dict[str, manifest.Manifest]) -> str:
    """The reference page of these drivers."""
    lines = [
        "# Drivers",
        "",
        "Made from the drivers' manifests by `ingot driver document`; a test fails when it is stale.",
        "",
        "| driver | status | what it is for |",
        "|---|---|---|",
    ]
    hardware = [one for one in found.values() if one.hardware]
    lines += [f"| [{one.name}](#{one.name}) | {one.status} | {_cell(one.summary)} |" for one in hardware]
    for one in hardware:
        lines += ["", *_section(one)]
    return "\n".join(lines) + "\n"


def _section(one: manifest.Manifest) -> list[str]:
    lines = [f"## {one.name}", "", f"{one.summary.rstrip('.')}. Status: {one.status}."]
    if one.requires:
        lines += ["", f"Needs: {', '.join(one.requires)}."]
    if one.driver_info:
        lines += ["", "| driver_info | required | secret | meaning |", "|---|---|---|---|"]
        for field in one.driver_info:
            marks = " | ".join("yes" if mark else "" for mark in (field.required, field.secret))
            lines.append(f"| `{field.name}` | {marks} | {_cell(field.summary)} |")
    lines += ["", "| interface | implementations, the default first |", "|---|---|"]
    kinds = sorted(set(one.uses) | set(one.provides))
    lines += [f"| {kind} | {', '.join(f'`{name}`' for name in one.names(kind))} |" for kind in kinds]
    return lines


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
