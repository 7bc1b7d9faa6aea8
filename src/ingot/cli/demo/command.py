"""`ingot demo`: a virtual rack, two servers deployed by the public API and reached by SSH, in one command.

May not: import the demo for its help. Invariant: exit code 0 only if every machine answered by SSH.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ingot.cli import exits

STOPPED = 130
API_PORT = 6385


@click.command()
@click.option("--keep", is_flag=True, help="Leave it running until Ctrl-C.")
@click.option("--memory", type=click.IntRange(min=512), default=1024, show_default=True, help="MiB per machine.")
@click.option("--bios/--no-bios", default=True, help="A BIOS machine with an IPMI BMC.")
@click.option("--uefi/--no-uefi", default=True, help="A UEFI machine with a Redfish BMC.")
@click.option("--image", type=click.Choice(["debian", "tiny"]), default="debian", show_default=True)
@click.option("--port", type=click.IntRange(0, 65535), help="Host port of the API (default: 6385, else a free one).")
@click.option("--report", type=click.Path(path_type=Path), help="Write the times to this JSON file.")
@click.option("--name", default="demo", hidden=True, help="Lets several demos run side by side.")
def demo(
    *, keep: bool, memory: int, bios: bool, uefi: bool, image: str, port: int | None, report: Path | None, name: str
) -> None:
    """Set up a virtual rack and take its servers from blank to SSH: enrol, verify, inspect, clean, deploy."""
    firmwares = tuple(kind for kind, wanted in (("bios", bios), ("uefi", uefi)) if wanted)
    if not firmwares:
        raise click.UsageError("Leave at least one machine: --bios or --uefi.")
    from ingot.cli import stopping
    from ingot.cli.demo import farewell, preflight, sudo, tour
    from ingot.cli.demo.world import Blueprint

    sudo.become_root()
    chosen = port if port is not None else farewell.free_port(API_PORT)
    wishes = tour.Wishes(Blueprint(name, firmwares, memory, port=chosen), image, keep, report)
    preflight.check(len(firmwares), memory, wishes.blueprint.folder)
    try:
        answered = stopping.run(lambda: tour.run(wishes))
    except stopping.Stopped:
        click.echo("ingot: stopped; everything the demo started is gone", err=True)
        sys.exit(STOPPED)
    sys.exit(exits.DONE if answered else exits.FAILED)
