"""The sentences of a schema check, in the words that clients of Ironic know, with the place that is wrong.

May not: check anything; msgspec does. Invariant: a value is shown only when it is short and stands nowhere a secret
could. Source: the texts of JSON Schema's reference implementation for Python, which Ironic hands on.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec

_KINDS = {"str": "string", "int": "integer", "float": "number", "bool": "boolean"}
_PLACE = re.compile(r" - at `(key )?(?:in )?\$(.*)`$")
_PARTS = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")
_HIDDEN = re.compile(r"(info|args|token|password|config|secret|properties)")
_SHOWN = 80


def told(error: msgspec.ValidationError, value: Any) -> str:
    """What is wrong with ``value``, which msgspec refused with ``error``: "1 is not of type 'string' (at name)"."""
    text = str(error)
    place = _PLACE.search(text)
    path = place[2] if place else ""
    plain = text[: place.start()] if place else text
    for pattern, say in _SAYINGS:
        if found := pattern.fullmatch(plain):
            shown = _shown(value, path)
            where = path.removeprefix(".")
            return say(found, shown) + (f" (at {where})" if where else "")
    return text


def _not_of_type(found: re.Match[str], shown: str) -> str:
    names = [repr(_KINDS.get(name, name)) for name in found[1].split(" | ")]
    return f"{shown} is not of type {', '.join(names)}"


_SAYINGS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str], str], str]], ...] = (
    (
        re.compile(r"Object contains unknown field `(.*)`"),
        lambda found, _: f"Additional properties are not allowed ('{found[1]}' was unexpected)",
    ),
    (re.compile(r"Object missing required field `(.*)`"), lambda found, _: f"'{found[1]}' is a required property"),
    (re.compile(r"Expected `\w+` of length >= 1"), lambda _, shown: f"{shown} should be non-empty"),
    (
        re.compile(r"Expected `\w+` of length <= (\d+)"),
        lambda found, shown: f"{shown} is too long, {found[1]} letters or items at most",
    ),
    (re.compile(r"Expected `\w+` >= (\S+)"), lambda found, shown: f"{shown} is less than the minimum of {found[1]}"),
    (
        re.compile(r"Expected `\w+` <= (\S+)"),
        lambda found, shown: f"{shown} is greater than the maximum of {found[1]}",
    ),
    (re.compile(r"Invalid enum value .*"), lambda _, shown: f"{shown} is not one of the words known here"),
    (re.compile(r"Expected `(.*)`, got `.*`"), _not_of_type),
)


def _shown(document: Any, path: str) -> str:
    """The value at a place of a document; "the value" where it is long or could be secret."""
    value = document
    try:
        for name, index in _PARTS.findall(path):
            value = value[name] if name else value[int(index)]
    except (LookupError, TypeError, ValueError):
        return "the value"  # the place is a key, or msgspec did not name it
    if isinstance(value, str) and len(value) > _SHOWN:
        value = f"{value[:_SHOWN]}..."
    text = repr(value)
    secret = _HIDDEN.search(path) and value not in ([], {}, None, "")
    return "the value" if secret or len(text) > _SHOWN + 8 else text
