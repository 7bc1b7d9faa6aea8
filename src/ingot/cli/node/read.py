"""Commands that only look: list, show, validate, history, inventory.

May not: change anything. Invariant: with --json they print what the API said.
"""

from __future__ import annotations

from typing import Any

import click

from ingot.cli import client as api
from ingot.cli import jsons, options, output

LISTED = ("name", "provision_state", "power_state", "maintenance", "driver", "uuid")
FIRST = ("name", "uuid", "driver", "provision_state", "target_provision_state", "power_state", "last_error")


@click.command("list")
@click.option("--state", help="Only nodes in this provision state.")
@click.option("--driver", help="Only nodes of this driver.")
@click.option("--maintenance/--no-maintenance", default=None, help="Only nodes in, or not in, maintenance.")
@click.option("--fields", metavar="A,B", help="The fields to show.")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many.")
@options.as_json
@options.connection
def list_nodes(
    *,
    state: str | None,
    driver: str | None,
    maintenance: bool | None,
    fields: str | None,
    limit: int | None,
    as_json: bool,
    url: str | None,
) -> None:
    """List nodes."""
    columns = tuple(fields.split(",")) if fields else LISTED
    asked = columns if "uuid" in columns else (*columns, "uuid")
    query = {"provision_state": state, "driver": driver, "maintenance": maintenance, "fields": ",".join(asked)}
    output.show_rows(api.from_environment(url).every("nodes", limit, **query), columns, as_json=as_json)


@click.command()
@click.argument("name")
@click.option("--fields", metavar="A,B", help="The fields to show.")
@options.as_json
@options.connection
def show(name: str, fields: str | None, as_json: bool, url: str | None) -> None:
    """Show everything known of the node NAME (or UUID)."""
    found = api.from_environment(url).get(api.node_path(name), fields=fields)
    if not as_json:
        found = {key: value for key, value in found.items() if key != "links" and not _is_link_list(value)}
    output.show_record(found, as_json=as_json, order=FIRST)


def _is_link_list(value: Any) -> bool:
    return any("href" in one for one in jsons.tables(value))


@click.command()
@click.argument("name")
@options.as_json
@options.connection
def validate(name: str, as_json: bool, url: str | None) -> None:
    """Tell which interfaces of the node NAME have all they need."""
    found = api.from_environment(url).get(api.node_path(name, "validate"))
    if as_json:
        output.show_json(found)
        return
    rows = [{"interface": kind, **verdict} for kind, verdict in found.items()]
    output.show_rows(rows, ("interface", "result", "reason"))


@click.command()
@click.argument("name")
@click.option("--limit", type=click.IntRange(min=1), help="Only the newest so many.")
@options.as_json
@options.connection
def history(name: str, limit: int | None, as_json: bool, url: str | None) -> None:
    """Tell what happened to the node NAME, oldest first."""
    answer = api.from_environment(url).get(api.node_path(name, "history"), detail=True)
    found = sorted(jsons.tables(answer["history"]), key=lambda entry: str(entry["created_at"]))
    columns = ("created_at", "severity", "event_type", "event", "user")
    output.show_rows(found[-limit:] if limit else found, columns, as_json=as_json)


@click.command()
@click.argument("name")
@options.as_json
@options.connection
def inventory(name: str, as_json: bool, url: str | None) -> None:
    """Show what inspection found in the node NAME."""
    found = api.from_environment(url).get(api.node_path(name, "inventory"))
    if as_json:
        output.show_json(found)
        return
    told = jsons.table(found.get("plugin_data")).get("tpm")
    output.show_rows(_parts(jsons.table(found.get("inventory")), jsons.table(told)), ("part", "what"))


def _parts(parts: dict[str, Any], tpm: dict[str, Any]) -> list[dict[str, str]]:
    """One line per part: processors, memory, each disk, each network card."""
    cpu, memory = jsons.table(parts.get("cpu")), jsons.table(parts.get("memory"))
    rows = [("processor", f"{cpu.get('count', '?')} x {cpu.get('model_name') or cpu.get('architecture') or '?'}")]
    if memory:
        rows.append(("memory", f"{memory.get('physical_mb', '?')} MiB"))
    for disk in jsons.tables(parts.get("disks")):
        kind = "rotating" if disk.get("rotational") else "solid"
        size = f"{(disk.get('size') or 0) / 1e9:.1f} GB"
        rows.append(("disk", f"{disk.get('name')} {size} {kind} {disk.get('serial') or ''}".rstrip()))
    for card in jsons.tables(parts.get("interfaces")):
        address = card.get("ipv4_address") or "no address"
        link = "link" if card.get("has_carrier") else "no link"
        rows.append(("network card", f"{card.get('name')} {card.get('mac_address')} {address}, {link}"))
    boot = jsons.table(parts.get("boot")).get("current_boot_mode")
    if boot:
        rows.append(("boot mode", str(boot)))
    if tpm.get("present"):
        rows.append(("TPM", f"version {tpm.get('version') or '?'}"))
    return [{"part": part, "what": what} for part, what in rows]
