"""`--help`: complete, true to the commands, and quick because nothing is imported for it."""

from __future__ import annotations

import importlib
import subprocess
import sys

import click
import pytest

from cli.program import Run, environment, ingot_argv
from ingot.cli import main, user
from ingot.cli.lazy import LazyGroup, Table
from ingot.cli.node import group

TABLES: dict[str, Table] = {"ingot": main.COMMANDS, "ingot node": group.COMMANDS, "ingot user": user.COMMANDS}
HEAVY = {"rich", "sqlalchemy", "msgspec", "asyncio", "aiohttp", "bcrypt", "ingot_rack", "http.client"}


@pytest.mark.parametrize("name", TABLES)
def test_every_row_of_the_table_is_a_command_of_that_name(name: str) -> None:
    for row, entry in TABLES[name].items():
        command = getattr(importlib.import_module(entry.module), entry.attribute)
        assert isinstance(command, click.Command)
        assert command.name == row
        assert command.help, f"{row} has no help"


def leaves(command: click.Command, path: list[str]) -> list[list[str]]:
    if not isinstance(command, click.Group):
        return [path]
    context = click.Context(command)
    found = [path]
    for name in command.list_commands(context):
        inner = command.get_command(context, name)
        assert inner is not None
        found += leaves(inner, [*path, name])
    return found


def test_every_command_has_help(run: Run) -> None:
    for path in leaves(main.root, []):
        result = run(*path, "--help")
        assert result.exit_code == 0, path
        assert "Usage: ingot " + " ".join(path) in result.output


def test_help_shows_the_table(run: Run) -> None:
    output = run("node", "-h").output
    for row, entry in group.COMMANDS.items():
        assert f"{row} " in output
        assert entry.summary in output


def test_no_line_of_a_list_of_commands_is_cut_off(run: Run) -> None:
    groups = {tuple(path[:-1]) for path in leaves(main.root, [])}
    lines = [line for path in groups for line in run(*path, "--help").output.splitlines() if line.endswith("...")]
    assert [line for line in lines if not line.startswith("Usage:")] == []


@pytest.mark.parametrize("words", [["--help"], ["node", "--help"]])
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    code = (
        "import sys\nfrom ingot.cli import main\n"
        f"code = main.main({words!r})\nassert code == 0\n"
        f"print(sorted({HEAVY!r} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=True)
    assert done.stderr.strip() == "[]"


def test_a_group_without_a_command_shows_its_help_and_fails(run: Run) -> None:
    result = run("node")
    assert result.exit_code == 2
    assert "Commands:" in result.output


def test_an_unknown_command_is_wrong_usage(run: Run) -> None:
    result = run("node", "explode")
    assert result.exit_code == 2
    assert "explode" in result.output


def test_a_slip_is_answered_with_the_nearest_command(run: Run) -> None:
    assert 'Did you mean "list"?' in run("node", "lst").output
    assert 'Did you mean "node"?' in run("nod", "list").output


def test_the_program_runs_as_a_module() -> None:
    done = subprocess.run(ingot_argv("--version"), capture_output=True, text=True, env=environment(), check=True)
    assert done.stdout.startswith("ingot ")


def test_lazy_groups_know_their_names_only() -> None:
    lazy = main.root
    assert isinstance(lazy, LazyGroup)
    assert lazy.get_command(click.Context(lazy), "nothing") is None
