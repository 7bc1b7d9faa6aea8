"""`ingot port`: the servers' network cards. May not: touch nodes. Invariant: with --json it prints the API's words."""

from __future__ import annotations

import urllib.parse
from typing import Any

import click

from ingot.cli import client as api
from ingot.cli import options, output

LISTED = ("uuid", "address", "node_uuid", "pxe_enabled", "physical_network")


@click.group()
def port() -> None:
    """The servers' network cards, by which they boot and are recognised."""


@port.command("list")
@click.option("--node", help="Only the ports of this node.")
@options.as_json
@options.connection
def list_ports(node: str | None, as_json: bool, url: str | None) -> None:
    """List ports."""
    found = api.from_environment(url).every("ports", node=node, fields=",".join(LISTED))
    output.show_rows(found, LISTED, as_json=as_json)


@port.command()
@click.argument("uuid")
@options.as_json
@options.connection
def show(uuid: str, as_json: bool, url: str | None) -> None:
    """Show everything known of the port UUID."""
    found = api.from_environment(url).get(_path(uuid))
    output.show_record({key: value for key, value in found.items() if key != "links"}, as_json=as_json)


@port.command()
@click.argument("node")
@click.argument("mac")
@click.option("--no-pxe", is_flag=True, help="This card does not boot from the network.")
@click.option("--physical-network", help="The network it is plugged into.")
@options.as_json
@options.connection
def create(node: str, mac: str, no_pxe: bool, physical_network: str | None, as_json: bool, url: str | None) -> None:
    """Record a network card with address MAC of the node NODE."""
    client = api.from_environment(url)
    uuid = client.get(api.node_path(node), fields="uuid")["uuid"]
    body: dict[str, Any] = {"node_uuid": uuid, "address": mac, "pxe_enabled": not no_pxe}
    if physical_network:
        body["physical_network"] = physical_network
    made = client.call("POST", "/v1/ports", body)
    shown = made if as_json else {key: made.get(key) for key in ("uuid", "address", "node_uuid")}
    output.show_record(shown, as_json=as_json)


@port.command()
@click.argument("uuids", nargs=-1, required=True)
@options.connection
def delete(uuids: tuple[str, ...], url: str | None) -> None:
    """Remove the ports UUIDS."""
    api.delete_each(url, uuids, _path)


def _path(uuid: str) -> str:
    return f"/v1/ports/{urllib.parse.quote(uuid, safe='')}"
