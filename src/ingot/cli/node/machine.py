"""Commands that read or switch something of a machine at once: sensors, event log, indicators, boot, media, passthru.

May not: know a driver. Invariant: with --json they print what the API said.
"""

from __future__ import annotations

import urllib.parse
from typing import Any

import click

from ingot.cli import client as api
from ingot.cli import jsons, options, output

_STATES = ("on", "off", "blinking")


def _own(name: str, *more: str) -> str:
    """The path of what Ironic lacks about a node."""
    return "/ingot" + api.node_path(name, *more)


@click.command()
@click.argument("name")
@options.as_json
@options.connection
def sensors(name: str, as_json: bool, url: str | None) -> None:
    """Show what the sensors of the node NAME say now."""
    found = api.from_environment(url).get(_own(name, "sensors"))["sensors"]
    if as_json:
        output.show_json(found)
        return
    rows = [
        {"kind": kind, "sensor": sensor, "reading": told.get("Sensor Reading"), "state": told.get("Status")}
        for kind, named in found.items()
        for sensor, told in named.items()
    ]
    output.show_rows(rows, ("kind", "sensor", "reading", "state"))


@click.command()
@click.argument("name")
@click.option("--clear", is_flag=True, help="Empty the log.")
@options.as_json
@options.connection
def sel(name: str, clear: bool, as_json: bool, url: str | None) -> None:
    """Show the event log that the BMC of the node NAME keeps, oldest first."""
    client = api.from_environment(url)
    if clear:
        client.call("DELETE", _own(name, "sel"))
        click.echo(f"{name}: event log cleared")
        return
    found = jsons.tables(client.get(_own(name, "sel"))["events"])
    output.show_rows(found, ("id", "at", "severity", "source", "message"), as_json=as_json)


@click.command()
@click.argument("name")
@click.argument("indicator", required=False)
@click.argument("state", required=False, type=click.Choice(_STATES))
@options.as_json
@options.connection
def indicator(name: str, indicator: str | None, state: str | None, as_json: bool, url: str | None) -> None:
    """List the lamps of the node NAME, tell what INDICATOR (name@component) does, or set it to STATE."""
    client = api.from_environment(url)
    path = api.node_path(name, "management", "indicators")
    if indicator is None:
        found = jsons.tables(client.get(path)["indicators"])
        output.show_rows(found, ("name", "component", "readonly", "states"), as_json=as_json)
        return
    one = f"{path}/{urllib.parse.quote(indicator, safe='@')}"
    if state is None:
        output.show_record(client.get(one), as_json=as_json)
        return
    client.call("PUT", one, {"state": state})
    click.echo(f"{name}: {indicator} {state}")


@click.command()
@click.argument("name")
@click.option("--mode", type=click.Choice(["uefi", "bios"]), help="How firmware starts systems from the next boot on.")
@click.option("--secure/--no-secure", default=None, help="Whether only signed systems start.")
@click.option("--device", help="What to boot from next time.")
@click.option("--persistent", is_flag=True, help="With --device: for every boot.")
@options.as_json
@options.connection
def boot(
    *,
    name: str,
    mode: str | None,
    secure: bool | None,
    device: str | None,
    persistent: bool,
    as_json: bool,
    url: str | None,
) -> None:
    """Show how and from what the node NAME boots, or change it."""
    client = api.from_environment(url)
    if mode is not None:
        client.call("PUT", api.node_path(name, "states", "boot_mode"), {"target": mode})
    if secure is not None:
        client.call("PUT", api.node_path(name, "states", "secure_boot"), {"target": secure})
    if device is not None:
        body = {"boot_device": device, "persistent": persistent}
        client.call("PUT", api.node_path(name, "management", "boot_device"), body)
    if mode is None and secure is None and device is None:
        states = client.get(api.node_path(name, "states"))
        shown = client.get(api.node_path(name, "management", "boot_device"))
        shown |= {key: states[key] for key in ("boot_mode", "secure_boot")}
        output.show_record(shown, as_json=as_json)
    else:
        click.echo(f"{name}: asked for")


@click.command()
@click.argument("name")
@click.option("--attach", metavar="URL", help="Put this image into a virtual drive.")
@click.option("--device", type=click.Choice(["cdrom", "floppy", "disk"]), help="Which kind of drive (attach: cdrom).")
@click.option("--eject", is_flag=True, help="Empty the drives, or those of --device.")
@options.as_json
@options.connection
def media(name: str, attach: str | None, device: str | None, eject: bool, as_json: bool, url: str | None) -> None:
    """Show the virtual drives of the node NAME, fill one or empty them."""
    client, path = api.from_environment(url), api.node_path(name, "vmedia")
    if eject:
        client.call("DELETE", f"{path}?device_types={device}" if device else path)
    if attach:
        client.call("POST", path, {"device_type": device or "cdrom", "image_url": attach})
    if attach or eject:
        click.echo(f"{name}: asked for")
        return
    output.show_rows(jsons.tables(client.get(path)), ("device", "inserted", "image_url"), as_json=as_json)


@click.command()
@click.argument("name")
@options.connection
def nmi(name: str, url: str | None) -> None:
    """Send the node NAME a non-maskable interrupt: its system writes a crash dump if it is set up for that."""
    api.from_environment(url).call("PUT", api.node_path(name, "management", "inject_nmi"), {})
    click.echo(f"{name}: NMI sent")


@click.command()
@click.argument("name")
@click.argument("method", required=False)
@click.option("-a", "--arg", "args", multiple=True, metavar="NAME=VALUE", help="An argument; may be repeated.")
@click.option("--http", "verb", type=click.Choice(["GET", "POST", "PUT", "PATCH", "DELETE"]), default="POST")
@options.as_json
@options.connection
def passthru(name: str, method: str | None, args: tuple[str, ...], verb: str, as_json: bool, url: str | None) -> None:
    """List the methods of the vendor of the node NAME, or call METHOD. VALUE is JSON where it reads as JSON."""
    client, path = api.from_environment(url), api.node_path(name, "vendor_passthru")
    if method is None:
        found: dict[str, dict[str, Any]] = client.get(f"{path}/methods")
        rows = [{"method": key, **told} for key, told in found.items()]
        output.show_rows(rows, ("method", "http_methods", "async", "description"), as_json=as_json)
        return
    body = {key: options.json_or_text(value) for key, value in options.pairs(args, "--arg").items()}
    answer = client.call(verb, f"{path}/{urllib.parse.quote(method, safe='')}", body)
    output.show_json(answer)
