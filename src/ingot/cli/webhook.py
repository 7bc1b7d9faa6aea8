"""`ingot webhook`: web servers that are told of events. May not: keep a key. Invariant: --json prints what came."""

from __future__ import annotations

import sys
import urllib.parse
from typing import Any

import click

from ingot.cli import client as api
from ingot.cli import options, output

LISTED = ("uuid", "url", "kinds", "enabled", "description")
DELIVERED = ("event_id", "kind", "attempt", "outcome", "status", "reason")


@click.group()
def webhook() -> None:
    """Web servers that are told of what happens to nodes, each delivery signed and repeated until it is taken."""


@webhook.command("list")
@options.as_json
@options.connection
def list_webhooks(as_json: bool, url: str | None) -> None:
    """List webhooks."""
    found = api.from_environment(url).get("/ingot/v1/webhooks")["webhooks"]
    output.show_rows([_readable(one) for one in found] if not as_json else found, LISTED, as_json=as_json)


@webhook.command()
@click.argument("uuid")
@options.as_json
@options.connection
def show(uuid: str, as_json: bool, url: str | None) -> None:
    """Show a webhook, and how far in the events it is."""
    output.show_record(api.from_environment(url).get(_path(uuid)), as_json=as_json)


@webhook.command()
@click.argument("address", metavar="URL")
@click.option("--kind", "kinds", multiple=True, help="Only events of this kind, or its first word; may be repeated.")
@click.option("--description", help="What it is for.")
@click.option(
    "--secret-stdin", is_flag=True, help="Read the key that signs from standard input (default: one is made)."
)
@options.as_json
@options.connection
def create(
    address: str, kinds: tuple[str, ...], description: str | None, secret_stdin: bool, as_json: bool, url: str | None
) -> None:
    """Have the web server at URL told of events. Prints the key that was made, once."""
    body: dict[str, Any] = {"url": address, "kinds": list(kinds), "description": description}
    if secret_stdin:
        body["secret"] = sys.stdin.readline().rstrip("\n")
    output.show_record(api.from_environment(url).call("POST", "/ingot/v1/webhooks", body), as_json=as_json)


@webhook.command()
@click.argument("uuid")
@click.argument("state", type=click.Choice(["on", "off"]))
@options.connection
def switch(uuid: str, state: str, url: str | None) -> None:
    """Switch the webhook UUID on or off. What was put off is tried at once."""
    change = {"op": "replace", "path": "/enabled", "value": state == "on"}
    api.from_environment(url).call("PATCH", _path(uuid), [change])
    click.echo(f"{uuid} is {state}")


@webhook.command()
@click.argument("uuid")
@options.as_json
@options.connection
def deliveries(uuid: str, as_json: bool, url: str | None) -> None:
    """Show the newest deliveries, and why they failed."""
    found = api.from_environment(url).get(_path(uuid, "deliveries"))["deliveries"]
    output.show_rows(found, DELIVERED, as_json=as_json)


@webhook.command()
@click.argument("uuids", nargs=-1, required=True)
@options.connection
def delete(uuids: tuple[str, ...], url: str | None) -> None:
    """Forget the webhooks UUIDS and their logs."""
    api.delete_each(url, uuids, _path)


def _readable(one: dict[str, Any]) -> dict[str, Any]:
    return {**one, "kinds": ", ".join(one["kinds"]) or "all"}


def _path(uuid: str, *more: str) -> str:
    return "/".join(("/ingot/v1/webhooks", urllib.parse.quote(uuid, safe=""), *more))
