"""A settings file with every setting in it, each with its meaning; what was not chosen is commented out.

May not: know a setting: names, defaults and words come from settings.py. Invariant: what it writes can be read.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping

from ingot import settings

_HEAD = """# Settings of ingot. A line that begins with "#name =" shows a default; remove the # to choose another value.
# "ingot config show" tells what is in force and where it comes from, "ingot doctor" whether it works.
"""


def render(chosen: Mapping[str, str]) -> str:
    """The file's text with these settings chosen (values as on the command line). Raises errors.Invalid."""
    found = settings.load(None, {name: settings.from_text(name, text) for name, text in chosen.items()})
    parts = [_HEAD]
    for name, _, words in settings.describe():
        told = textwrap.fill(words.replace("``", '"'), 110, initial_indent="# ", subsequent_indent="# ")
        present = getattr(found, name)
        line = f"{name} = {_toml(present)}" if present is not None else f'{name} = ""'
        parts.append(f"{told}\n{'' if name in chosen else '#'}{line}\n")
    return "\n".join(parts)


def _toml(value: object) -> str:
    if isinstance(value, tuple):
        return json.dumps(list(value))  # pyright: ignore[reportUnknownArgumentType] # tuples of text
    return json.dumps(value)
