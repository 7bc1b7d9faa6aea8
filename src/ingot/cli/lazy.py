"""Command groups that import a subcommand only when it is called.

Why: `ingot --help` must answer before the reader blinks, and the service's libraries take half a second to import.
May not: import a command to list it. Invariant: a group's help shows the lines of its table, word for word.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import click


class Entry(NamedTuple):
    """Where a subcommand lives and what its line in the help says."""

    module: str
    attribute: str
    summary: str


Table = Mapping[str, Entry]


class LazyGroup(click.Group):
    """A group whose subcommands are the rows of ``table``, in the table's order."""

    def __init__(self, *args: Any, table: Table, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names in the table's order, which is the order a newcomer needs them."""
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command; None when there is none of this name."""
        entry = self.table.get(cmd_name)
        if entry is None:
            self._suggest(ctx, cmd_name)
            return None
        command: click.Command = getattr(importlib.import_module(entry.module), entry.attribute)
        return command

    def _suggest(self, ctx: click.Context, name: str) -> None:
        """End with the nearest name, when there is one. Raises click.UsageError."""
        import difflib

        near = difflib.get_close_matches(name, self.table, 1)
        if near and not ctx.resilient_parsing:
            raise click.UsageError(f'No such command "{name}". Did you mean "{near[0]}"?', ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table's lines, without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in self.table.items()])
