"""`ingot keys`: other keys for URLs and for the certificate authority, while the service runs.

The key that seals secrets has a command of its own (`ingot db rotate-key`), for it has to touch every row. May not:
show a key. Invariant: a kill at any moment leaves the old or the new key in force.
"""

from __future__ import annotations

from pathlib import Path

import click

from ingot.cli import configuration
from ingot.domain import errors


@click.group()
def keys() -> None:
    """Replace the keys of URLs and of the certificate authority."""


@keys.command()
@click.argument("which", type=click.Choice(["url", "authority"]))
@click.option("--at-once", is_flag=True, help="Let nothing go on that the old key vouches for: somebody has it.")
@configuration.source
def rotate(which: str, at_once: bool, config: Path | None, data_dir: str | None, assigned: tuple[str, ...]) -> None:
    """Make a new key of URLs or of the authority.

    url: of passes in boot and image URLs; authority: of ingot's certificate authority.

    A running service takes it within seconds. What was given out or trusted before goes on, unless --at-once.
    """
    from ingot.store import rotation

    data = configuration.load(config, assigned, data_dir=data_dir).data
    if not data.is_dir():
        raise errors.NotFound(f"There is no data directory {data}", hint='Name it with --data-dir, or "ingot init".')
    with rotation.alone(data):
        click.echo({"url": _url, "authority": _authority}[which](data, at_once))


def _url(data: Path, at_once: bool) -> str:
    from ingot.netboot import passes, service
    from ingot.store import seal

    seal.replace_key(data / service.URL_KEY, at_once=at_once)
    if at_once:
        return "New key: no URL that was given out before leads anywhere. Boots and writes under way may fail"
    return f"New key: URLs given out before lead on until they end, {passes.LONGEST / 3600:.0f} hours at most"


def _authority(data: Path, at_once: bool) -> str:
    from ingot.tls import authority

    own = authority.Authority(data / authority.FOLDER)
    own.rotate(at_once=at_once)
    if at_once:
        return f"New authority {own.ca_file}: copy it to all clients; ramdisks that run have to be booted anew"
    return f"New authority {own.ca_file}: copy it to clients before the old one ends; until then both are good"
