"""Options of the commands that read settings: --config, --data-dir, --set.

May not: know what a setting means. Invariant: the command line wins over environment, file and defaults.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from ingot import settings
from ingot.cli import options

SYSTEM_FILE = Path("/etc/ingot/ingot.toml")
F = TypeVar("F", bound=Callable[..., Any])


def source(function: F) -> F:
    """``--config``, ``--data-dir`` and ``--set``."""
    for option in (
        click.option("--set", "assigned", multiple=True, metavar="NAME=VALUE", help="Any setting; may be repeated."),
        click.option("--data-dir", metavar="DIR", help="Where database, key, images and boot files live."),
        click.option(
            "--config",
            type=click.Path(path_type=Path),
            help="Settings file (TOML; default: /etc/ingot/ingot.toml or one's own).",
        ),
    ):
        function = option(function)
    return function


def load(config: Path | None, assigned: tuple[str, ...], **named: Any) -> settings.Settings:
    """The settings; ``named`` are options of their own and win over --set. Raises errors.Invalid."""
    return load_traced(config, assigned, **named)[0]


def load_traced(
    config: Path | None, assigned: tuple[str, ...], **named: Any
) -> tuple[settings.Settings, dict[str, str]]:
    """As ``load``, and where each value comes from that is not a default."""
    values: dict[str, Any] = {
        key: settings.from_text(key, text) for key, text in options.pairs(assigned, "--set").items()
    }
    chosen: Mapping[str, Any] = {key: one for key, one in named.items() if one is not None}
    return settings.load_traced(config or usual_file(), {**values, **chosen})


def usual_file(*, to_write: bool = False) -> Path | None:
    """The settings file when none is named: INGOT_CONFIG, one's own, the system's; None when there is none.

    ``to_write``: where a new one belongs when there is none, the system's for root.
    """
    named = os.environ.get("INGOT_CONFIG")
    own = Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser() / "ingot" / "ingot.toml"
    if named:
        return Path(named)
    present = next((path for path in (own, SYSTEM_FILE) if _is_there(path)), None)
    return present or ((SYSTEM_FILE if os.geteuid() == 0 else own) if to_write else None)


def _is_there(path: Path) -> bool:
    """Whether the file exists; a service's account may not even look into the home it was started with."""
    try:
        return path.is_file()
    except PermissionError:
        return False
