"""`ingot node deploy`: an operating system on a server, in one command.

May not: talk to hardware. Invariant: nothing is sent before every file and option proved readable.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ingot.cli import client as api
from ingot.cli import deployment, following, jsons, options
from ingot.cli.node import verbs
from ingot.domain import errors, states

_NETWORK_HELP = "dhcp, ADDRESS/PREFIX[,gateway=A][,dns=A], or @FILE with network_data (default: the image's own)."


@click.command()
@click.argument("name")
@click.option("--image", "source", required=True, metavar="URL|PATH", help="Whole-disk image: http(s), oci or file.")
@click.option("--checksum", metavar="sha256:HEX", help="Its checksum; computed for a local file.")
@click.option("--ssh-key", "keys", multiple=True, type=click.Path(path_type=Path), help="Public key; may be repeated.")
@click.option("--hostname", help="The system's host name (default: the node's name).")
@click.option("--network", metavar="WORDS", help=_NETWORK_HELP)
@click.option("--user-data", type=click.Path(path_type=Path), help="File for cloud-init.")
@options.waiting
@options.connection
def deploy(
    *,
    name: str,
    source: str,
    checksum: str | None,
    keys: tuple[Path, ...],
    hostname: str | None,
    network: str | None,
    user_data: Path | None,
    wait: bool,
    timeout: float,
    url: str | None,
) -> None:
    """Write an operating system to the available node NAME and start it.

    A PATH must be readable by the service too (its setting image_dirs).
    """
    client = api.from_environment(url)
    image = deployment.image(source, checksum)
    lines = [deployment.ssh_key(path) for path in keys]
    text = None if user_data is None else _read(user_data)
    node = client.get(api.node_path(name), fields="uuid,name")
    wiring = None if network is None else deployment.network(network, first_mac(client, node["uuid"]))
    drive = deployment.Drive(hostname or node.get("name"), lines, wiring, text)
    send(client, node["uuid"], image, drive)
    if not wait:
        click.echo(f'{name}: deployment accepted; follow it with "ingot node watch {name}"')
        return
    following.arrive(client, [name], timeout, states.State.ACTIVE)


def send(client: api.Client, ident: str, image: deployment.Image, drive: deployment.Drive) -> None:
    """Record the image on the node, then ask for the deployment."""
    fields = image.instance_info()
    if drive.hostname:
        fields["display_name"] = drive.hostname
    patch = [{"op": "add", "path": f"/instance_info/{key}", "value": value} for key, value in fields.items()]
    client.call("PATCH", api.node_path(ident), patch)
    configdrive = drive.configdrive()
    body: dict[str, Any] = {} if configdrive is None else {"configdrive": configdrive}
    verbs.ask(client, ident, "active", **body)


def first_mac(client: api.Client, uuid: str) -> str:
    """The MAC of the node's first card that boots from the network. Raises errors.Conflict when it has none."""
    found = client.get("/v1/ports", node=uuid, fields="address,pxe_enabled")
    ports = sorted(jsons.tables(found["ports"]), key=lambda port: not port.get("pxe_enabled", True))
    if not ports:
        raise errors.Conflict("The node has no port to configure", hint='Add one with "ingot port create".')
    return str(ports[0]["address"])


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise errors.Invalid(f"The user data {path} cannot be read", hint="Name a text file.") from error
