"""Options that several commands share, each written once.

May not: do anything. Invariant: an option means the same wherever it appears.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

import click

from ingot.domain import errors

F = TypeVar("F", bound=Callable[..., Any])

_URL_HELP = "The API's URL (default: INGOT_URL or http://127.0.0.1:6385)."


def connection(function: F) -> F:
    """``--url``: which API to call."""
    return click.option("--url", metavar="URL", help=_URL_HELP)(function)


def as_json(function: F) -> F:
    """``--json``: print JSON."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(function)


def waiting(function: F) -> F:
    """``--wait`` and ``--timeout``: stay until the node rests."""
    limit = click.option("--timeout", type=float, default=7200.0, show_default=True, help="Seconds to wait at most.")
    return click.option("--wait", is_flag=True, help="Stay until it is done, with progress.")(limit(function))


def pairs(values: tuple[str, ...], option: str) -> dict[str, str]:
    """``name=value`` texts as a dict; a value ``@FILE`` is read from that file (so secrets stay off command lines)."""
    found: dict[str, str] = {}
    for one in values:
        name, equals, value = one.partition("=")
        if not equals or not name:
            raise click.UsageError(f'{option} takes NAME=VALUE, not "{one}".')
        found[name] = read_value(value)
    return found


def read_value(value: str) -> str:
    """``value`` itself, or what the file holds when it is ``@FILE`` (without the last line break)."""
    if not value.startswith("@"):
        return value
    try:
        with click.open_file(value[1:]) as file:
            return file.read().removesuffix("\n")
    except OSError as error:
        raise errors.Invalid(
            f"The file {value[1:]} cannot be read: {error.strerror}", hint="Correct its path or its rights."
        ) from error
    except UnicodeDecodeError as error:
        raise errors.Invalid(f"The file {value[1:]} is no text", hint="Name a text file (UTF-8).") from error


def json_or_text(value: str) -> Any:
    """``value`` as JSON where it reads as JSON, else as the text it is; what opens an object has to be whole."""
    try:
        return json.loads(value)
    except ValueError as error:
        if value.startswith(("{", "[{")):
            raise click.UsageError(f'"{value}" begins as JSON and is none: {error}.') from error
        return value
