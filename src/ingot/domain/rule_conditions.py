"""Whether the conditions of an inspection rule are met. Pure.

May not: change what it looks at. Invariant: a condition that cannot be judged is an error with the value in it, never
silently false. Source: the meaning of Ironic's conditions, told by its API reference and behaviour.
"""

from __future__ import annotations

import ipaddress
import operator
import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any, cast

from ingot.domain import errors, inspection_rules, rule_terms

_Judge = Callable[[dict[str, Any]], bool]
_EMPTY = {"", "None", "[]", "{}"}


def holds(condition: dict[str, Any], scope: dict[str, Any]) -> bool:
    """Whether a condition is met, its loop included. Raises errors.Invalid when it cannot be judged."""
    loop: Any = condition.get("loop")
    if not loop:
        return _once(condition, scope, looped=False)
    multiple = condition.get("multiple", "any")
    items: list[Any] = [loop] if isinstance(loop, dict) else loop
    verdicts = [_once(condition, {**scope, "item": item}, looped=True) for item in items]
    match multiple:
        case "all":
            return all(verdicts)
        case "last":
            return verdicts[-1]
        case _:  # "first": the first that is met, which is as much as any
            return any(verdicts)


def arguments(form: inspection_rules.Form, part: dict[str, Any], scope: dict[str, Any], **how: bool) -> dict[str, Any]:
    """The arguments of a condition or action, filled; in a loop all of them, twice, for the item may hold ``{...}``."""
    given = inspection_rules.arguments(form, part["args"])
    looped = "item" in scope
    filled = {name: rule_terms.fill(value, scope, **how) for name, value in given.items()}
    if looped:
        return {name: rule_terms.fill(value, scope, **how) for name, value in filled.items()}
    return {name: filled[name] if name in form.filled.split() else value for name, value in given.items()}


def _once(condition: dict[str, Any], scope: dict[str, Any], *, looped: bool) -> bool:
    name, inverted = inspection_rules.inverted(condition["op"])
    form = inspection_rules.CONDITIONS[name]
    given = arguments(form, condition, scope, missing_is_none=name == "is-empty")
    if looped and "force_strings" in form.names():
        given["force_strings"] = True  # what came through an item is text
    return _JUDGES[name](given) != inverted


def _compare(how: Callable[[Any, Any], bool]) -> _Judge:
    def judge(given: dict[str, Any]) -> bool:
        values = given["values"]
        if not isinstance(values, list):
            raise errors.Invalid(f"its values are no list but {values!r}", hint="Give a list of values.")
        found = [str(value) for value in values] if given.get("force_strings") else values  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] # JSON
        return all(_pair(how, one, other) for one, other in pairwise(cast("list[Any]", found)))

    return judge


def _pair(how: Callable[[Any, Any], bool], one: Any, other: Any) -> bool:
    """Compare; a number and a text that is one are compared as numbers where order is asked for."""
    if how is not operator.eq and isinstance(one, str) != isinstance(other, str):
        try:
            one, other = float(one), float(other)
        except (TypeError, ValueError) as error:
            raise errors.Invalid(
                f"{one!r} and {other!r} have no order", hint="Compare numbers with numbers."
            ) from error
    try:
        return how(one, other)
    except TypeError as error:
        raise errors.Invalid(f"{one!r} and {other!r} have no order", hint="Compare numbers with numbers.") from error


def _in_net(given: dict[str, Any]) -> bool:
    try:
        network = ipaddress.ip_network(str(given["subnet"]), strict=False)
        return ipaddress.ip_address(str(given["address"])) in network
    except ValueError as error:
        raise errors.Invalid(str(error), hint="Give an address, and a network such as 192.0.2.0/24.") from error


def _search(given: dict[str, Any], *, whole: bool) -> bool:
    pattern = str(given["regex"])
    try:
        found = re.compile(pattern)
    except re.error as error:
        raise errors.Invalid(f"invalid regular expression {pattern!r}: {error}", hint="Correct it.") from error
    text = str(given["value"])
    # As Ironic does it: the end is asked for by one more letter, so of "a|b" only b has to end the text.
    return bool(re.match(pattern.removesuffix("$") + "$", text) if whole else found.search(text))


def _one_of(given: dict[str, Any]) -> bool:
    try:
        return given["value"] in given.get("values", [])
    except TypeError as error:
        raise errors.Invalid(f"its values are no list but {given['values']!r}", hint="Give a list.") from error


def _truth(value: Any, words: set[str]) -> bool:
    return value.lower() in words if isinstance(value, str) else False


def _is_true(given: dict[str, Any]) -> bool:
    value = given["value"]
    return bool(value) if isinstance(value, int | float) else _truth(value, {"yes", "true"})


def _is_false(given: dict[str, Any]) -> bool:
    value = given["value"]
    return not value if isinstance(value, int | float) or value is None else _truth(value, {"no", "false"})


_JUDGES: dict[str, _Judge] = {
    "eq": _compare(operator.eq),
    "lt": _compare(operator.lt),
    "gt": _compare(operator.gt),
    "is-empty": lambda given: str(given["value"]) in _EMPTY,
    "in-net": _in_net,
    "matches": lambda given: _search(given, whole=True),
    "contains": lambda given: _search(given, whole=False),
    "one-of": _one_of,
    "is-none": lambda given: given["value"] is None,
    "is-true": _is_true,
    "is-false": _is_false,
}
