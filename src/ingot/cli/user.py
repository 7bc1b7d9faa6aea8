"""`ingot user`: who may call the API. May not: print a password except one it made.

Invariant: only hashes are stored.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from ingot.cli import configuration, options, output
from ingot.cli.lazy import Entry, LazyGroup
from ingot.domain import roles

if TYPE_CHECKING:
    from ingot.store.engine import Store

T = TypeVar("T")


COMMANDS = {
    "add": Entry("ingot.cli.user", "add", "Add a user, or change password, role and scope of one."),
    "list": Entry("ingot.cli.user", "list_users", "List users."),
    "remove": Entry("ingot.cli.user", "remove", "Remove a user with its tokens."),
    "token": Entry("ingot.cli.user_token", "token", "Tokens: create, list, revoke."),
}


@click.group(cls=LazyGroup, table=COMMANDS)
def user() -> None:
    """Who may call the API: local users with passwords and tokens, in the database."""


@click.command()
@click.argument("name")
@click.option("--role", type=click.Choice(roles.ALL), default="admin", show_default=True)
@click.option(
    "--scope", type=click.Choice(["system", "project"]), help="Where the role holds: project, if one is given."
)
@click.option("--project", metavar="ID", help="The project: what stands in a node's owner and lessee.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@click.option("--generate", is_flag=True, help="Make a password and print it once.")
@configuration.source
def add(
    *,
    name: str,
    role: str,
    scope: str | None,
    project: str | None,
    password_stdin: bool,
    generate: bool,
    config: Path | None,
    data_dir: str | None,
    assigned: tuple[str, ...],
) -> None:
    """Add the user NAME, or change password, role and scope of the one there is.

    Without a project the role holds in the whole system; with one, for the nodes which that project owns or leases.
    """
    from ingot.services import users

    if (scope or ("project" if project else "system")) != ("project" if project else "system"):
        raise click.UsageError("Scope project takes --project ID, and scope system takes none.")
    words = secrets.token_urlsafe(15) if generate else _ask(name, password_stdin)
    run(config, data_dir, assigned, lambda store: users.put(store, name, words, role, project))
    where = f"project {project}" if project else "the whole system"
    click.echo(f"user {name} may call the API as {role} of {where}", err=True)
    if generate:
        click.echo(words)


def _ask(name: str, from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if sys.stdin.isatty():
        return str(click.prompt(f"Password of {name}", hide_input=True, confirmation_prompt=True))
    raise click.UsageError("There is no terminal to ask for a password: use --password-stdin or --generate.")


@click.command("list")
@options.as_json
@configuration.source
def list_users(as_json: bool, config: Path | None, data_dir: str | None, assigned: tuple[str, ...]) -> None:
    """List users."""
    from ingot.store import users

    found = run(config, data_dir, assigned, lambda store: store.run(users.list_all))
    shown = ("name", "role", "project", "created_at")
    output.show_rows([{key: getattr(one, key) for key in shown} for one in found], shown, as_json=as_json)


@click.command()
@click.argument("name")
@configuration.source
def remove(name: str, config: Path | None, data_dir: str | None, assigned: tuple[str, ...]) -> None:
    """Remove the user NAME, and all tokens of that user."""
    from ingot.store import users

    run(config, data_dir, assigned, lambda store: store.run(users.destroy, name))
    click.echo(f"user {name} removed")


def run(
    config: Path | None, data_dir: str | None, assigned: tuple[str, ...], work: Callable[[Store], Awaitable[T]]
) -> T:
    """Work with the database, which is made or brought up to date first."""
    import asyncio

    from ingot.cli import db
    from ingot.store import engine, upgrade

    where = db.place_of(config, data_dir, assigned)
    upgrade.upgrade(where)
    store = engine.Store(where)

    async def working() -> T:
        return await work(store)

    try:
        return asyncio.run(working())
    finally:
        store.close()
