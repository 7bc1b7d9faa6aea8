"""Commands that change what is recorded of a node, and its power.

May not: start provisioning (verbs.py, deploy.py). Invariant: each command is one request per node or card.
"""

from __future__ import annotations

import contextlib
import urllib.parse
from typing import Any

import click

from ingot.cli import client as api
from ingot.cli import following, jsons, options, output
from ingot.domain import errors, spelling
from ingot.domain import power as powers

_INTERFACES = "Interface implementation, e.g. boot=ipxe; may be repeated."


@click.command()
@click.option("--driver", required=True, help="Hardware type, e.g. ipmi or redfish.")
@click.option("--name", help="The node's name.")
@click.option(
    "-i", "--driver-info", multiple=True, metavar="K=V", help="How to reach the BMC; @FILE as value reads it."
)
@click.option("-p", "--property", "properties", multiple=True, metavar="K=V", help="A property of the hardware.")
@click.option("-e", "--extra", multiple=True, metavar="K=V", help="Anything you want to keep with it.")
@click.option("--interface", multiple=True, metavar="KIND=NAME", help=_INTERFACES)
@click.option("--resource-class", help="The name of its size.")
@click.option("--mac", "macs", multiple=True, help="MAC address of a network card; makes a port; may be repeated.")
@options.as_json
@options.connection
def create(
    *,
    driver: str,
    name: str | None,
    driver_info: tuple[str, ...],
    properties: tuple[str, ...],
    extra: tuple[str, ...],
    interface: tuple[str, ...],
    resource_class: str | None,
    macs: tuple[str, ...],
    as_json: bool,
    url: str | None,
) -> None:
    """Enrol a node with its BMC and network cards.

    Example: ingot node create --driver ipmi --name n1 -i ipmi_address=192.0.2.7 -i ipmi_username=admin
    -i ipmi_password=@password.txt --mac 52:54:00:12:34:56
    """
    client = api.from_environment(url)
    body: dict[str, Any] = {"driver": driver, "name": name, "resource_class": resource_class}
    body["driver_info"] = options.pairs(driver_info, "--driver-info")
    body["properties"] = options.pairs(properties, "--property")
    body["extra"] = options.pairs(extra, "--extra")
    body |= {f"{kind}_interface": impl for kind, impl in options.pairs(interface, "--interface").items()}
    made = client.call("POST", "/v1/nodes", {key: value for key, value in body.items() if value})
    _warn(client, made)
    for mac in macs:
        client.call("POST", "/v1/ports", {"node_uuid": made["uuid"], "address": mac})
    shown = made if as_json else {key: made.get(key) for key in ("uuid", "name", "driver", "provision_state")}
    output.show_record(shown, as_json=as_json)


@click.command()
@click.argument("names", nargs=-1, required=True)
@options.connection
def delete(names: tuple[str, ...], url: str | None) -> None:
    """Remove the nodes NAMES with their ports and history."""
    api.delete_each(url, names, api.node_path)


@click.command("set")
@click.argument("name")
@click.argument("fields", nargs=-1, metavar="[FIELD=VALUE]...")
@click.option("--unset", multiple=True, metavar="FIELD", help="Clear a field; may be repeated.")
@options.as_json
@options.connection
def set_fields(name: str, fields: tuple[str, ...], unset: tuple[str, ...], as_json: bool, url: str | None) -> None:
    """Change fields of the node NAME.

    FIELD has dots where it goes deeper: driver_info.ipmi_address=192.0.2.7. VALUE is JSON where it reads as JSON
    (true, 7, {"a": 1}), else text; @FILE takes it from a file.
    """
    patch: list[dict[str, Any]] = [
        {"op": "add", "path": _pointer(key), "value": options.json_or_text(value)}
        for key, value in options.pairs(fields, "set").items()
    ]
    patch += [{"op": "remove", "path": _pointer(key)} for key in unset]
    if not patch:
        raise click.UsageError("Say what to change: FIELD=VALUE or --unset FIELD.")
    client = api.from_environment(url)
    changed = client.call("PATCH", api.node_path(name), patch)
    if any(one["path"].startswith("/driver") for one in patch):
        _warn(client, changed)
    if as_json:
        output.show_json(changed)
    else:
        click.echo(f"changed {name}")


def _warn(client: api.Client, node: jsons.Json) -> None:
    """Tell of keys in the node's driver_info that its driver does not know; nothing where that cannot be asked."""
    driver = str(node.get("driver"))
    with contextlib.suppress(errors.IngotError):
        known = jsons.table(client.get(f"/v1/drivers/{urllib.parse.quote(driver, safe='')}/properties"))
        slips = spelling.slips(driver, jsons.table(node.get("driver_info")), known)
        if slips:
            click.echo(f"ingot: warning: {slips}", err=True)


def _pointer(field: str) -> str:
    """``driver_info.ipmi_address`` as a JSON pointer (RFC 6901)."""
    return "/" + "/".join(part.replace("~", "~0").replace("/", "~1") for part in field.split("."))


_TARGETS = {
    "on": powers.Target.ON,
    "off": powers.Target.OFF,
    "reboot": powers.Target.REBOOT,
    "soft-off": powers.Target.SOFT_OFF,
    "soft-reboot": powers.Target.SOFT_REBOOT,
}


@click.command()
@click.argument("name")
@click.argument("action", type=click.Choice(list(_TARGETS)))
@options.waiting
@options.connection
def power(name: str, action: str, wait: bool, timeout: float, url: str | None) -> None:
    """Switch the node NAME on, off, or restart it."""
    client = api.from_environment(url)
    client.call("PUT", api.node_path(name, "states", "power"), {"target": _TARGETS[action].value})
    if wait:
        end = following.follow(client, [name], timeout, reasons=False)[name]
        if end.reason:
            raise following.failure(end)
        click.echo(f"{name} is {end.power or 'in an unknown power state'}")


@click.command()
@click.argument("name")
@click.argument("switch", type=click.Choice(["on", "off"]))
@click.option("--reason", help="Why, for others to read.")
@options.connection
def maintenance(name: str, switch: str, reason: str | None, url: str | None) -> None:
    """Take the node NAME out of service (on), or back (off)."""
    client, path = api.from_environment(url), api.node_path(name, "maintenance")
    if switch == "on":
        client.call("PUT", path, {"reason": reason} if reason else {})
    else:
        client.call("DELETE", path)
    click.echo(f"{name}: maintenance {switch}")
