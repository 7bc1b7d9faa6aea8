"""Commands for firmware settings, firmware versions and RAID volumes: show them, or have cleaning change them.

May not: wait in any way of their own. Invariant: a change is a cleaning of the node with one step.
"""

from __future__ import annotations

from typing import Any

import click

from ingot.cli import client as api
from ingot.cli import jsons, options, output
from ingot.cli.node import verbs

_BIOS = ("name", "value", "attribute_type", "allowable_values", "read_only")
_FIRMWARE = ("component", "current_version", "initial_version", "last_version_flashed", "vendor", "model")
_VOLUMES = ("volume_name", "raid_level", "size_gb", "is_root_volume", "controller", "physical_disks")


def _clean(name: str, url: str | None, timeout: float | None, interface: str, step: str, args: dict[str, Any]) -> None:
    """Have the manageable node run one step."""
    verbs.run((name,), "clean", url, timeout, clean_steps=[{"interface": interface, "step": step, "args": args}])


@click.command()
@click.argument("name")
@click.option("--set", "wanted", multiple=True, metavar="SETTING=VALUE", help="Change a setting; may be repeated.")
@click.option("--reset", is_flag=True, help="Go back to the maker's settings.")
@options.as_json
@options.waiting
@options.connection
def bios(
    *, name: str, wanted: tuple[str, ...], reset: bool, as_json: bool, wait: bool, timeout: float, url: str | None
) -> None:
    """Show the firmware settings of the node NAME, or change them.

    What is shown is what was read last: when the node became manageable, was inspected or cleaned. A change needs a
    manageable node and is a cleaning of it.
    """
    limit = timeout if wait else None
    if reset:
        _clean(name, url, limit, "bios", "factory_reset", {})
    if wanted:
        settings = [{"name": key, "value": value} for key, value in options.pairs(wanted, "--set").items()]
        _clean(name, url, limit, "bios", "apply_configuration", {"settings": settings})
    if not wanted and not reset:
        found = jsons.tables(api.from_environment(url).get(api.node_path(name, "bios"), detail="true")["bios"])
        output.show_rows(found, _BIOS, as_json=as_json)


@click.command()
@click.argument("name")
@click.option("--update", multiple=True, metavar="COMPONENT=URL", help="Install this file; may be repeated.")
@options.as_json
@options.waiting
@options.connection
def firmware(name: str, update: tuple[str, ...], as_json: bool, wait: bool, timeout: float, url: str | None) -> None:
    """Show the firmware versions of the node NAME, or update them (a cleaning of the manageable node)."""
    if update:
        files = [{"component": key, "url": value} for key, value in options.pairs(update, "--update").items()]
        _clean(name, url, timeout if wait else None, "firmware", "update", {"settings": files})
        return
    found = jsons.tables(api.from_environment(url).get(api.node_path(name, "firmware"))["firmware"])
    output.show_rows(found, _FIRMWARE, as_json=as_json)


@click.command()
@click.argument("name")
@click.option(
    "--volume", "wanted", multiple=True, metavar="LEVEL:SIZE[:root]", help="A volume to have, e.g. 1:200:root."
)
@click.option("--create", is_flag=True, help="Make the volumes wanted (a cleaning of the manageable node).")
@click.option("--delete", is_flag=True, help="Remove every volume (a cleaning of the manageable node).")
@options.as_json
@options.waiting
@options.connection
def raid(
    *,
    name: str,
    wanted: tuple[str, ...],
    create: bool,
    delete: bool,
    as_json: bool,
    wait: bool,
    timeout: float,
    url: str | None,
) -> None:
    """Show the RAID volumes of the node NAME and those it is to have; say which, make them, remove them."""
    client, limit = api.from_environment(url), timeout if wait else None
    if wanted:
        by_agent = client.get(api.node_path(name), fields="raid_interface")["raid_interface"] == "agent"
        more = {"controller": "software"} if by_agent else {}
        target = {"logical_disks": [{**_volume(one), **more} for one in wanted]}
        client.call("PUT", api.node_path(name, "states", "raid"), target)
    if delete:
        _clean(name, url, limit, "raid", "delete_configuration", {})
    if create:
        _clean(name, url, limit, "raid", "create_configuration", {})
    if not create and not delete:
        found = client.get(api.node_path(name, "states"))
        shown = {key: found[key] for key in ("raid_config", "target_raid_config")}
        if as_json:
            output.show_json(shown)
            return
        rows = [
            {"there": word, **disk}
            for word, key in (("made", "raid_config"), ("wanted", "target_raid_config"))
            for disk in jsons.tables(shown[key].get("logical_disks"))
        ]
        output.show_rows(rows, ("there", *_VOLUMES))


def _volume(text: str) -> dict[str, Any]:
    level, _, rest = text.partition(":")
    size, _, root = rest.partition(":")
    if not level or root not in {"", "root"} or not (size == "MAX" or size.isdecimal()):
        raise click.UsageError(f'--volume takes LEVEL:SIZE[:root] with SIZE in GiB or MAX, not "{text}".')
    disk: dict[str, Any] = {"raid_level": level, "size_gb": size if size == "MAX" else int(size)}
    return {**disk, "is_root_volume": True} if root else disk
