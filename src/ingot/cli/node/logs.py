"""`ingot node logs`: what a node's ramdisk logged before its run failed. May not: change anything."""

from __future__ import annotations

import click

from ingot.cli import client as api
from ingot.cli import options, output


@click.command()
@click.argument("name")
@click.option("--run", "run_id", metavar="RUN", help="The run (default: the newest that has logs).")
@click.option("--file", "wanted", metavar="FILE", help="Only this file of the bundle, such as agent or dmesg.")
@options.as_json
@options.connection
def logs(*, name: str, run_id: str | None, wanted: str | None, as_json: bool, url: str | None) -> None:
    """Show what the ramdisk of the node NAME logged in a run that failed."""
    found = api.from_environment(url).get(f"/ingot{api.node_path(name, 'logs')}", run=run_id)
    if as_json:
        output.show_json(found)
        return
    files: dict[str, str] = found["files"]
    if wanted is not None and wanted not in files:
        raise click.UsageError(f"The bundle has no file {wanted!r}. It has: {', '.join(files)}.")
    for title, text in files.items():
        if wanted in (None, title):
            click.echo(text if wanted else f"==> {title} <==\n{text}")
