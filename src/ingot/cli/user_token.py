"""`ingot user token`: tokens that call the API in a user's name. May not: show a token a second time.

Invariant: only digests are stored.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import click

from ingot.cli import configuration, options, output
from ingot.cli import user as users
from ingot.domain import roles

_UNITS = {"m": 60.0, "h": 3600.0, "d": 86400.0}


def _seconds(_context: click.Context, _parameter: click.Parameter, text: str) -> float:
    found = re.fullmatch(r"(\d+)([mhd])", text)
    if found is None:
        raise click.BadParameter(f'"{text}" is no time like 30m, 12h or 90d.')
    return int(found[1]) * _UNITS[found[2]]


@click.group()
def token() -> None:
    """Tokens: what programs send instead of a password, until they end or are revoked."""


@token.command()
@click.argument("user")
@click.option(
    "--expires", metavar="TIME", callback=_seconds, default="90d", show_default=True, help="As 30m, 12h, 90d."
)
@click.option("--role", type=click.Choice(roles.ALL), help="What it may at most; by default what the user may.")
@click.option("--label", default="", help="What it is for.")
@configuration.source
def create(
    *,
    user: str,
    expires: float,
    role: str | None,
    label: str,
    config: Path | None,
    data_dir: str | None,
    assigned: tuple[str, ...],
) -> None:
    """Make a token for USER and print it once. The user's own role bounds what it may."""
    from ingot.services import users as service

    ident, text = users.run(
        config,
        data_dir,
        assigned,
        lambda store: service.create_token(store, user, role=role, label=label, lifetime=expires),
    )
    click.echo(f"token {ident} of {user}; send it as X-Auth-Token or Bearer, or set INGOT_TOKEN", err=True)
    click.echo(text)


@token.command("list")
@click.argument("user", required=False)
@options.as_json
@configuration.source
def list_tokens(
    user: str | None, as_json: bool, config: Path | None, data_dir: str | None, assigned: tuple[str, ...]
) -> None:
    """List tokens, of USER or of all. Ended ones stay listed for a month."""
    from ingot.store import tokens

    found = users.run(config, data_dir, assigned, lambda store: store.run(tokens.list_all, user))
    rows = [
        {
            "id": one.id,
            "user": one.user_name,
            "role": one.role,
            "label": one.label,
            "created_at": one.created_at,
            "expires_at": datetime.fromtimestamp(one.expires_at, UTC).isoformat(timespec="seconds"),
        }
        for one in found
    ]
    output.show_rows(rows, ("id", "user", "role", "label", "created_at", "expires_at"), as_json=as_json)


@token.command()
@click.argument("ident", metavar="ID")
@configuration.source
def revoke(ident: str, config: Path | None, data_dir: str | None, assigned: tuple[str, ...]) -> None:
    """Revoke the token ID; a running service refuses it within a minute."""
    from ingot.store import tokens

    users.run(config, data_dir, assigned, lambda store: store.run(tokens.destroy, ident))
    click.echo(f"token {ident} revoked")
