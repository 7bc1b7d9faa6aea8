"""The ``{...}`` in an inspection rule's arguments, replaced by what is known of the machine.

Why of its own: Python's formatting would let a rule reach into the program (``{node.__class__}``); here a dot and
brackets both look up a key of data, nothing else. May not: do I/O. Invariant: what cannot be found stays as it is
written, as by Ironic, which also gives text always.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from typing import Any, cast

from ingot.domain import errors, secrets

MASK = "***"
_KEY = re.compile(r"\.([^.\[\]]+)|\[([^\]]+)\]")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LONGEST_FORMAT = 4
_LONGEST = 1 << 20
"""Characters of a filled text: what is filled may be filled again, and widths multiply."""
_MISFITS = (ValueError, IndexError, TypeError)


def fill(value: Any, scope: dict[str, Any], *, missing_is_none: bool = False) -> Any:
    """``value`` with every ``{...}`` in its texts replaced; ``scope``: node, inventory, plugin_data, in a loop item.

    ``missing_is_none``: a text that names a key that is not there is None instead of staying as it is.
    """
    if isinstance(value, str):
        return _text(value, scope, missing_is_none)
    if isinstance(value, dict):
        items = cast("dict[str, Any]", value).items()
        return {_text(key, scope, False): fill(one, scope, missing_is_none=missing_is_none) for key, one in items}
    if isinstance(value, list):
        return [fill(one, scope, missing_is_none=missing_is_none) for one in cast("list[Any]", value)]
    return value


def masked(value: Any) -> Any:
    """A copy of ``value`` in which nothing under a key that says "password", "token" and the like can be read."""
    if isinstance(value, dict):
        items = cast("dict[str, Any]", value).items()
        return {key: MASK if secrets.is_secret(str(key)) else masked(one) for key, one in items}
    if isinstance(value, list):
        return [masked(one) for one in cast("list[Any]", value)]
    return value


def _text(text: str, scope: dict[str, Any], missing_is_none: bool) -> Any:
    try:
        return _joined(_parts(text, scope))
    except KeyError:
        return None if missing_is_none else text
    except _MISFITS:
        return text


def _joined(parts: Iterator[str]) -> str:
    found: list[str] = []
    size = 0
    for part in parts:
        size += len(part)
        if size > _LONGEST:
            raise errors.Invalid(f"a text grows beyond {_LONGEST} characters", hint="Fill less into it.")
        found.append(part)
    return "".join(found)


def _parts(text: str, scope: dict[str, Any]) -> Iterator[str]:
    for literal, field, form, conversion in string.Formatter().parse(text):
        yield literal
        if field is None:
            continue
        found = _look(field, scope)
        if conversion:
            found = {"r": repr, "s": str, "a": ascii}.get(conversion, str)(found)
        if form and len(form) > _LONGEST_FORMAT:
            raise ValueError("so wide a text is no value of a rule")
        yield format(found, form or "") if not isinstance(found, dict | list) else str(cast("object", found))


def _look(field: str, scope: dict[str, Any]) -> Any:
    name = _NAME.match(field)
    if name is None:
        raise ValueError(field)
    found: Any = scope[name[0]]
    at = name.end()
    while at < len(field):
        step = _KEY.match(field, at)
        if step is None:
            raise ValueError(field)
        found = _below(found, step[1] or step[2])
        at = step.end()
    return "None" if found is None else found


def _below(found: Any, key: str) -> Any:
    if isinstance(found, list):
        return cast("list[Any]", found)[int(key)]
    if isinstance(found, dict):
        return cast("dict[str, Any]", found)[key]
    raise TypeError(key)
