"""Options of the commands that read settings: --config, --data-dir, --set.

May not: know what a setting means. Invariant: the command line wins over environment, file and defaults.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from ingot import settings
from ingot.cli import options

F = TypeVar("F", bound=Callable[..., Any])


def source(function: F) -> F:
    """``--config``, ``--data-dir`` and ``--set``."""
    for option in (
        click.option("--set", "assigned", multiple=True, metavar="NAME=VALUE", help="Any setting; may be repeated."),
        click.option("--data-dir", metavar="DIR", help="Where database, key, images and boot files live."),
        click.option("--config", type=click.Path(path_type=Path), help="Settings file (TOML)."),
    ):
        function = option(function)
    return function


def load(config: Path | None, assigned: tuple[str, ...], **named: Any) -> settings.Settings:
    """The settings; ``named`` are options of their own and win over --set. Raises errors.Invalid."""
    values: dict[str, Any] = {key: _value(key, text) for key, text in options.pairs(assigned, "--set").items()}
    chosen: Mapping[str, Any] = {key: value for key, value in named.items() if value is not None}
    return settings.load(config, {**values, **chosen})


def _value(key: str, text: str) -> Any:
    """Lists are written with commas, as in the environment."""
    default = getattr(settings.Settings(), key, None)
    return tuple(part for part in text.split(",") if part) if isinstance(default, tuple) else text
