"""`ingot config`: what the settings are, and where each of them comes from. May not: change them.

Invariant: it shows what the service would use, given the same options.
"""

from __future__ import annotations

from pathlib import Path

import click

from ingot.cli import configuration, options, output


@click.group()
def config() -> None:
    """The settings: what they are and where they come from."""


@config.command()
@options.as_json
@configuration.source
def show(as_json: bool, config: Path | None, data_dir: str | None, assigned: tuple[str, ...]) -> None:
    """Show every setting with its value and its origin; an unknown name anywhere is an error."""
    from ingot import settings

    found, origins = configuration.load_traced(config, assigned, data_dir=data_dir)
    rows = [
        {"setting": name, "value": _shown(getattr(found, name)), "origin": origins.get(name, "default")}
        for name in settings.Settings.__struct_fields__
    ]
    if as_json:
        rows = [{**row, "value": getattr(found, str(row["setting"]))} for row in rows]
    output.show_rows(rows, ("setting", "value", "origin"), as_json=as_json)


def _shown(value: object) -> str:
    return ",".join(value) if isinstance(value, tuple) else output.text(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType] # tuples of text
