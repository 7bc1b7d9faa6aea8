"""The program `ingot`: its table of commands, and how an error becomes one sentence and an exit code.

May not: import anything that `--help` does not need. Invariant: whatever goes wrong by a cause ingot knows ends in
one sentence on standard error, never in a traceback.
"""

from __future__ import annotations

import sys

import click

from ingot.cli import exits
from ingot.cli.lazy import Entry, LazyGroup
from ingot.domain import errors

COMMANDS = {
    "demo": Entry("ingot.cli.demo.command", "demo", "A virtual rack: two servers deployed and reached by SSH."),
    "init": Entry("ingot.cli.init", "init", "Make settings file, keys, database and first user."),
    "doctor": Entry("ingot.cli.doctor.command", "doctor", "Find what keeps this host from serving, and its cure."),
    "serve": Entry("ingot.cli.serve", "serve", "Run the service: API, conductor and network boot."),
    "node": Entry("ingot.cli.node.group", "node", "Enrol, deploy, watch and repair servers."),
    "port": Entry("ingot.cli.port", "port", "The servers' network cards."),
    "allocation": Entry("ingot.cli.allocation", "allocation", "Some free server of a kind."),
    "webhook": Entry("ingot.cli.webhook", "webhook", "Web servers that are told of events."),
    "user": Entry("ingot.cli.user", "user", "Who may call the API."),
    "config": Entry("ingot.cli.config", "config", "Show the settings and where they come from."),
    "keys": Entry("ingot.cli.keys", "keys", "New keys for URLs and for the certificate authority."),
    "db": Entry("ingot.cli.db", "db", "Upgrade, check, back up the database; a new key for it."),
    "import": Entry("ingot.cli.imports", "group", "Take over machines from another service's database."),
    "driver": Entry("ingot.cli.driver", "driver", "List the drivers, and begin a new one."),
    "ramdisk": Entry("ingot.cli.ramdisk", "ramdisk", "Build the deploy ramdisk."),
    "rack": Entry("ingot.cli.rack", "rack", "Virtual servers with real BMCs, for trying and testing."),
    "completion": Entry("ingot.cli.completion", "completion", "What a shell needs to complete ingot's words."),
    "man": Entry("ingot.cli.manual", "manual", "Write the manual pages."),
}
CONTEXT: dict[str, object] = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


def _show_version(context: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted:
        from importlib import metadata

        try:
            click.echo(f"ingot {metadata.version('ingot')}")
        except metadata.PackageNotFoundError:
            click.echo("ingot (a checkout)")
        context.exit()


@click.group(cls=LazyGroup, table=COMMANDS, context_settings=CONTEXT)
@click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=_show_version, help="Tell it.")
def root() -> None:
    """Ingot, the bare-metal cloud: racks of servers become a cloud, by Ironic's own REST API.

    Exit codes: 0 done, 1 failed, 2 wrong word, file or setting, 3 refused by the API, 4 no answer, 5 timed out.
    """


def main(arguments: list[str] | None = None) -> int:
    """Run the command line (default: the program's own arguments); the exit code."""
    try:
        root.main(args=arguments, prog_name="ingot")
    except errors.IngotError as error:
        click.echo(f"ingot: {error.sentence()}", err=True)
        return exits.code(error)
    except PermissionError as error:
        if error.filename is None:
            raise
        hint = "Run this as the account that owns it, which runs the service, or as root."
        click.echo(f"ingot: This account may not use {error.filename}. {hint}", err=True)
        return exits.FAILED
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return exits.DONE


if __name__ == "__main__":
    sys.exit(main())
