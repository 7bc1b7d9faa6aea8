"""`ingot config`: what the settings are, and where each of them comes from. May not: change them.

Invariant: it shows what the service would use, given the same options, without the passwords in URLs.
"""

from __future__ import annotations

import re
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
    """Show every setting with its value and its origin. An unknown name in the file or after --set is an error."""
    from ingot import settings

    found, origins = configuration.load_traced(config, assigned, data_dir=data_dir)
    rows = [
        {"setting": name, "value": _without_password(getattr(found, name)), "origin": origins.get(name, "default")}
        for name in settings.Settings.__struct_fields__
    ]
    if not as_json:
        rows = [{**row, "value": _shown(row["value"])} for row in rows]
    output.show_rows(rows, ("setting", "value", "origin"), as_json=as_json)


def _without_password(value: object) -> object:
    """``value``, or the URL that it is with ``***`` in place of its password."""
    return re.sub(r"(://[^:/@]*:).*@", r"\1***@", value) if isinstance(value, str) else value


def _shown(value: object) -> str:
    return ",".join(value) if isinstance(value, tuple) else output.text(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType] # tuples of text
