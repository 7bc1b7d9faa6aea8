"""JSON patch as the API takes it: add, replace and remove on one object, applied one by one.

May not: know a resource. Invariants: the document given is never changed; a list of operations applies whole or raises.
Source: RFC 6902 for the meaning; Ironic's wire for what it leaves out (test, move, copy) and for the path's form.
"""

from __future__ import annotations

import copy
import re
from typing import Any

import msgspec

from ingot.domain import errors, schema_texts, typed

_PLAIN = re.compile(r"^(/[\w-]+)+$")
_ESCAPED = re.compile(r"^(/([\w-]|~[01])+)+$")
_MOST = 1000
_DEEPEST = 25


class Operation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One operation. ``value`` is missing for remove only."""

    op: str
    path: str
    value: Any = msgspec.UNSET

    def keys(self) -> list[str]:
        """The path's parts, unescaped."""
        return [part.replace("~1", "/").replace("~0", "~") for part in self.path[1:].split("/")]

    def root(self) -> str:
        """The field the operation is about."""
        return self.keys()[0]


def parse(body: Any, *, escapes: bool) -> tuple[Operation, ...]:
    """Operations out of a JSON value; ``escapes``: ~0 and ~1 may stand in paths. Raises errors.Invalid."""
    if not isinstance(body, list):
        text = "the body" if body and not isinstance(body, int) else repr(body)
        raise errors.Invalid(f"Schema error for patch: {text} is not of type 'array'", hint="Send a JSON patch.")
    try:
        found = typed.convert(body, tuple[Operation, ...])
    except msgspec.ValidationError as error:
        text = f"Schema error for patch: {schema_texts.told(error, body)}"
        raise errors.Invalid(text, hint="See RFC 6902.") from error
    if len(found) > _MOST:
        raise errors.Invalid(f"A patch may have {_MOST} operations, this one has {len(found)}.")
    for each in found:
        _check(each, _ESCAPED if escapes else _PLAIN)
    return found


def check_roots(operations: tuple[Operation, ...], roots: tuple[str, ...]) -> None:
    """Raise errors.Invalid for an operation on a field that is none of ``roots``."""
    for operation in operations:
        if operation.root() not in roots:
            raise errors.Invalid(
                f"Cannot patch {operation.path}. Only the following can be updated: {', '.join(roots)}"
            )


def _check(operation: Operation, form: re.Pattern[str]) -> None:
    if operation.op not in {"add", "replace", "remove"}:
        raise errors.Invalid(
            f"Schema error for patch: '{operation.op}' is not one of ['add', 'replace', 'remove']",
            hint="Use one of the three.",
        )
    if not form.fullmatch(operation.path):
        raise errors.Invalid(f"Schema error for patch: '{operation.path}' does not match '{form.pattern}'")
    if operation.path.count("/") > _DEEPEST:
        raise errors.Invalid(f"Schema error for patch: a path may have {_DEEPEST} parts")
    if operation.op != "remove" and operation.value is msgspec.UNSET:
        raise _misfit(operation, "The operation does not contain a 'value' member")


def apply(document: dict[str, Any], operations: tuple[Operation, ...]) -> dict[str, Any]:
    """A changed copy of ``document``. Raises errors.Invalid naming the operation that does not fit."""
    result = dict(document)
    for root in {operation.root() for operation in operations}.intersection(document):
        result[root] = copy.deepcopy(document[root])
    for operation in operations:
        *parents, last = operation.keys()
        place: Any = result
        for key in parents:
            place = _step(place, key, operation)
        if isinstance(place, dict):
            _change_object(place, last, operation)  # pyright: ignore[reportUnknownArgumentType] # any JSON
        elif isinstance(place, list):
            _change_list(place, last, operation)  # pyright: ignore[reportUnknownArgumentType] # any JSON
        else:
            raise _misfit(operation, f"there is nothing below {parents[-1]}")
    return result


def _step(place: Any, key: str, operation: Operation) -> Any:
    if isinstance(place, dict) and key in place:
        return place[key]  # pyright: ignore[reportUnknownVariableType] # any JSON
    if isinstance(place, list):
        return place[_index(key, len(place) - 1, operation)]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] # any JSON
    raise _misfit(operation, f"member '{key}' not found")


def _change_object(place: dict[str, Any], key: str, operation: Operation) -> None:
    if operation.op != "add" and key not in place:
        raise _misfit(operation, f"can't {operation.op} a non-existent object '{key}'")
    if operation.op == "remove":
        del place[key]
    else:
        place[key] = copy.deepcopy(operation.value)


def _change_list(place: list[Any], key: str, operation: Operation) -> None:
    match operation.op:
        case "add":
            where = len(place) if key == "-" else _index(key, len(place), operation)
            place.insert(where, copy.deepcopy(operation.value))
        case "replace":
            place[_index(key, len(place) - 1, operation)] = copy.deepcopy(operation.value)
        case _:
            del place[_index(key, len(place) - 1, operation)]


def _index(key: str, last: int, operation: Operation) -> int:
    if not re.fullmatch(r"0|[1-9][0-9]{0,8}", key) or int(key) > last:
        raise _misfit(operation, f"'{key}' is not an index of the list")
    return int(key)


def _misfit(operation: Operation, reason: str) -> errors.Invalid:
    # The value is left out: it may be a password.
    shown = {"op": operation.op, "path": operation.path}
    return errors.Invalid(f"Couldn't apply patch '{shown}'. Reason: {reason}")
