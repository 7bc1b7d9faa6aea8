"""`ingot allocation`: some free node of a kind, instead of a certain one.

May not: choose a node. Invariant: with --json it prints the API's words.
"""

from __future__ import annotations

import threading
import time
import urllib.parse
from typing import Any

import click

from ingot.cli import client as api
from ingot.cli import options, output
from ingot.domain import errors

LISTED = ("name", "state", "resource_class", "node_uuid", "last_error", "uuid")
_POLL = 0.25


@click.group()
def allocation() -> None:
    """Free nodes of a kind, taken by one who does not care which."""


@allocation.command("list")
@click.option("--node", help="Only the one that holds this node.")
@click.option("--state", type=click.Choice(["allocating", "active", "error"]), help="Only those in this state.")
@click.option("--owner", help="Only those of this project.")
@options.as_json
@options.connection
def list_allocations(node: str | None, state: str | None, owner: str | None, as_json: bool, url: str | None) -> None:
    """List allocations."""
    found = api.from_environment(url).every("allocations", node=node, state=state, owner=owner)
    output.show_rows(found, LISTED, as_json=as_json)


@allocation.command()
@click.argument("name")
@options.as_json
@options.connection
def show(name: str, as_json: bool, url: str | None) -> None:
    """Show everything known of the allocation NAME (or UUID)."""
    _show(api.from_environment(url).get(_path(name)), as_json=as_json)


@allocation.command()
@click.argument("resource_class")
@click.option("--name", help="A name of its own; a node of that name is preferred.")
@click.option("--trait", "traits", multiple=True, help="What the node must be able to do; may be repeated.")
@click.option("--candidate", "candidates", multiple=True, metavar="NODE", help="Only these nodes; may be repeated.")
@click.option("--owner", help="The project whose nodes may be taken (default: any node).")
@options.waiting
@options.as_json
@options.connection
def create(
    *,
    resource_class: str,
    traits: tuple[str, ...],
    candidates: tuple[str, ...],
    wait: bool,
    timeout: float,
    as_json: bool,
    url: str | None,
    **named: str | None,
) -> None:
    """Take a free node of the class RESOURCE_CLASS."""
    client = api.from_environment(url)
    body: dict[str, Any] = {"resource_class": resource_class, "traits": traits, "candidate_nodes": candidates}
    made = client.call("POST", "/v1/allocations", {**body, **{key: value for key, value in named.items() if value}})
    _show(_settled(client, made, timeout) if wait else made, as_json=as_json)


@allocation.command()
@click.argument("names", nargs=-1, required=True)
@options.connection
def delete(names: tuple[str, ...], url: str | None) -> None:
    """Give back the nodes of the allocations NAMES (or UUIDs)."""
    api.delete_each(url, names, _path)


def _settled(client: api.Client, made: dict[str, Any], timeout: float) -> dict[str, Any]:
    """The allocation once the search has ended. Raises errors.Conflict when no node was found, TimedOut."""
    deadline = time.monotonic() + timeout
    found, pause = made, threading.Event()
    while found["state"] == "allocating":
        if time.monotonic() > deadline:
            text = f"No conductor has looked for a node for the allocation {made['uuid']} in {timeout:g} s"
            raise errors.TimedOut(text, hint='Is one running? See "ingot doctor" on its host.')
        pause.wait(_POLL)
        found = client.get(_path(made["uuid"]))
    if found["state"] == "error":
        raise errors.Conflict(str(found["last_error"]), hint="Ask for something else, or free a node.")
    return found


def _show(found: dict[str, Any], *, as_json: bool) -> None:
    shown = {key: value for key, value in found.items() if key != "links"}
    output.show_record(shown, as_json=as_json, order=LISTED)


def _path(name: str) -> str:
    return f"/v1/allocations/{urllib.parse.quote(name, safe='')}"
