"""`ingot man`: manual pages made of the commands' own help. May not: know a command.

Why: what is written once cannot disagree with itself. Invariant: every command has a page, `ingot-node-deploy(1)` for
`ingot node deploy`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

_FILES = """.SH FILES
.TP
/etc/ingot/ingot.toml, ~/.config/ingot/ingot.toml
Settings, unless \\-\\-config or INGOT_CONFIG names another file.
.SH ENVIRONMENT
.TP
INGOT_URL, INGOT_USER, INGOT_PASSWORD, INGOT_TOKEN, INGOT_CACERT
Where the API is, who calls, and which authority vouches for it.
.TP
INGOT_<NAME>
Any setting, by its name in upper case.
"""


@click.command("man")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
def manual(folder: Path) -> None:
    """Write the manual pages of all commands into FOLDER."""
    from ingot.cli import main

    folder.mkdir(parents=True, exist_ok=True)
    pages = dict(render(main.root, ("ingot",), main.CONTEXT["help_option_names"]))
    for name, text in pages.items():
        (folder / f"{name}.1").write_text(text)
    click.echo(f"{len(pages)} pages in {folder}")


def render(command: click.Command, path: tuple[str, ...], helps: Any) -> Iterator[tuple[str, str]]:
    """(name, troff text) of a command and of all below it. ``helps``: the words that ask for help, which click
    remembers of a command from when it is first asked."""
    context = click.Context(command, info_name=" ".join(path), help_option_names=helps)
    inner = _inner(command, context)
    yield "-".join(path), _page(command, context, path, inner)
    for name, one in inner:
        yield from render(one, (*path, name), helps)


def _inner(command: click.Command, context: click.Context) -> list[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        return []
    found = [(name, command.get_command(context, name)) for name in command.list_commands(context)]
    return [(name, one) for name, one in found if one is not None and not one.hidden]


def _page(
    command: click.Command, context: click.Context, path: tuple[str, ...], inner: list[tuple[str, click.Command]]
) -> str:
    words = (command.help or "").replace("\b\n", "").split("\n\n")
    name = "-".join(path)
    parts = [f'.TH "{name.upper()}" "1" "" "ingot" "ingot"\n']
    parts.append(f".SH NAME\n{_text(name)} \\- {_text(words[0]).rstrip('.')}\n")
    usage = " ".join(command.collect_usage_pieces(context))
    parts.append(f".SH SYNOPSIS\n.B {_text(' '.join(path))}\n{_text(usage)}\n")
    parts.append(".SH DESCRIPTION\n" + "\n.PP\n".join(_text(one) for one in words) + "\n")
    chosen = [one for one in command.get_params(context) if isinstance(one, click.Option)]
    options = [record for one in chosen if (record := one.get_help_record(context)) is not None]
    if options:
        parts.append(".SH OPTIONS\n" + "".join(f".TP\n.B {_text(word)}\n{_text(told)}\n" for word, told in options))
    if inner:
        rows = [f".TP\n.BR {_text('-'.join((*path, sub)))} (1)\n{_text(_first(one))}\n" for sub, one in inner]
        parts.append(".SH COMMANDS\n" + "".join(rows))
    return "".join(parts) + _FILES


def _first(command: click.Command) -> str:
    return (command.help or "").split("\n\n")[0]


def _text(words: str) -> str:
    """Words as troff takes them: one line, no hyphen taken for a dash, no dot taken for a request."""
    line = re.sub(r"\s+", " ", words).strip().replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{line}" if line[:1] in (".", "'") else line
