"""`ingot node watch`: live lines, one per node. May not: change anything. Invariant: ends when all nodes rest."""

from __future__ import annotations

import click

from ingot.cli import client as api
from ingot.cli import following, options

_FOR_EVER = 10.0 * 365 * 86400


@click.command()
@click.argument("names", nargs=-1)
@click.option("--forever", is_flag=True, help="Go on when all nodes rest.")
@click.option("--timeout", type=float, default=_FOR_EVER, help="Seconds to watch at most (default: no limit).")
@options.connection
def watch(names: tuple[str, ...], forever: bool, timeout: float, url: str | None) -> None:
    """Show live what NAMES (default: all nodes) do: step, what it waits for, time, image bytes; until they rest."""
    client = api.from_environment(url)
    wanted = names or tuple(one["name"] or one["uuid"] for one in client.every("nodes", fields="uuid,name"))
    if not wanted:
        click.echo('There are no nodes yet; enrol one with "ingot node create".')
        return
    following.follow(client, wanted, timeout, forever=forever)
