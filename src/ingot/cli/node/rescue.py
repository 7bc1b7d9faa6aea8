"""`ingot node rescue`: a ramdisk with a login for a machine whose own system is broken.

May not: put a password on a command line. Invariant: the password is told once, by us, or read from a file.
"""

from __future__ import annotations

import secrets
from pathlib import Path

import click

from ingot.cli import client as api
from ingot.cli import deployment, options
from ingot.cli.node import verbs
from ingot.domain import errors


@click.command()
@click.argument("name")
@click.option("--ssh-key", "keys", multiple=True, type=click.Path(path_type=Path), help="Public key; may be repeated.")
@click.option("--password-file", type=click.Path(path_type=Path), help="The password (default: a new one, shown).")
@options.waiting
@options.connection
def rescue(
    *, name: str, keys: tuple[Path, ...], password_file: Path | None, wait: bool, timeout: float, url: str | None
) -> None:
    """Boot the active node NAME into a ramdisk where the user "rescue" may log in by SSH.

    "ingot node unrescue" brings its own system back.
    """
    lines = [deployment.ssh_key(path) for path in keys]
    password = _read(password_file) if password_file else secrets.token_urlsafe(12)
    client = api.from_environment(url)
    patch = [{"op": "add", "path": "/instance_info/rescue_ssh_keys", "value": lines}]
    client.call("PATCH", api.node_path(name), patch)
    verbs.ask(client, name, "rescue", rescue_password=password)
    if password_file is None:
        click.echo(f"{name}: password of the user rescue: {password}")
    verbs.wait(client, (name,), "rescue", timeout if wait else None)


def _read(path: Path) -> str:
    try:
        text = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise errors.Invalid(f"The password file {path} cannot be read", hint="Name a text file.") from error
    if not text:
        raise errors.Invalid(f"The password file {path} is empty", hint="Write the password into it.")
    return text
