"""`ingot serve`. May not: know what the service consists of (app.py does).

Invariant: a failed start is one sentence and exit code 1.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ingot.cli import configuration, exits, sparing
from ingot.domain import errors


@click.command()
@click.option("--host", help="Address to listen on (default: 127.0.0.1).")
@click.option("--port", type=click.IntRange(0, 65535), help="TCP port (default: 6385).")
@click.option("--noauth", is_flag=True, default=None, help="Ask nobody who they are; on loopback only.")
@click.option(
    "--only", type=click.Choice(["api", "conductor"]), help="Run one half; the halves meet by the setting broker."
)
@configuration.source
def serve(
    *,
    host: str | None,
    port: int | None,
    noauth: bool | None,
    only: str | None,
    config: Path | None,
    data_dir: str | None,
    assigned: tuple[str, ...],
) -> None:
    """Run the service until SIGTERM or Ctrl-C: API, conductor and network boot in one process."""
    try:
        settings = configuration.load(config, assigned, host=host, port=port, noauth=noauth, data_dir=data_dir)
        sparing.spare()
        from ingot import app

        app.serve(settings, only)
    except errors.IngotError as error:
        click.echo(f"ingot: {error.sentence()}", err=True)
        sys.exit(exits.FAILED)
