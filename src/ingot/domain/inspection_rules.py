"""Inspection rules: what a rule is, which conditions and actions there are, and what their arguments must be.

Why: a rule is refused when it is written, not weeks later when a machine is inspected. May not: do I/O, or know how a
condition is judged (rule_conditions.py) or an action done (rule_actions.py). Source: Ironic's API reference and wire.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ingot.domain import errors

PHASES = ("main",)
HIGHEST = 9999
"""The highest priority a rule of the API may have; rules that come with the settings may exceed it."""
MULTIPLE = ("any", "all", "first", "last")


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """Actions done to a node whose inspection meets all conditions; highest priority first.

    ``sensitive``: conditions and actions are shown and logged to nobody.
    """

    uuid: str
    actions: list[dict[str, Any]]
    conditions: list[dict[str, Any]] = []
    description: str | None = None
    priority: int = 0
    sensitive: bool = False
    phase: str = "main"
    created_at: str | None = None
    updated_at: str | None = None

    def name(self) -> str:
        """What people call it: uuid and description."""
        return f"{self.uuid} ({self.description})" if self.description else self.uuid


class Form(msgspec.Struct, frozen=True):
    """The arguments of a condition or action, each a list of words. ``filled``: those in which {...} is replaced."""

    required: str
    optional: str = ""
    filled: str = ""

    def names(self) -> list[str]:
        """All arguments in the order in which a list gives them."""
        return [*self.required.split(), *self.optional.split()]


_COMPARED = Form("values", "force_strings", "values")
_JUDGED = Form("value", filled="value")
_SEARCHED = Form("value regex", filled="value")
CONDITIONS: dict[str, Form] = {
    "eq": _COMPARED,
    "lt": _COMPARED,
    "gt": _COMPARED,
    "is-empty": _JUDGED,
    "in-net": Form("address subnet", filled="address subnet"),
    "matches": _SEARCHED,
    "contains": _SEARCHED,
    "one-of": Form("value", "values", "value"),
    "is-none": _JUDGED,
    "is-true": _JUDGED,
    "is-false": _JUDGED,
}
ACTIONS: dict[str, Form] = {
    "fail": Form("msg"),
    "log": Form("msg", "level", "msg"),
    "set-attribute": Form("path value", filled="value"),
    "extend-attribute": Form("path value", "unique", "value"),
    "del-attribute": Form("path"),
    "set-capability": Form("name value", filled="value"),
    "unset-capability": Form("name"),
    "add-trait": Form("name"),
    "remove-trait": Form("name"),
    "set-plugin-data": Form("path value", filled="value"),
    "extend-plugin-data": Form("path value", "unique", "value"),
    "unset-plugin-data": Form("path"),
    "set-port-attribute": Form("port_id path value", filled="value"),
    "extend-port-attribute": Form("port_id path value", "unique", "value"),
    "del-port-attribute": Form("port_id path"),
    "api-call": Form("url", "headers proxies timeout retries backoff_factor", "url"),
}


def inverted(op: str) -> tuple[str, bool]:
    """The condition's name without the ``!`` that inverts it, and whether it had one."""
    return op.removeprefix("!"), op.startswith("!")


def arguments(form: Form, given: Any) -> dict[str, Any]:
    """The arguments by name; a list gives them in their order. Raises errors.Invalid for missing or unknown ones."""
    names = form.names()
    if isinstance(given, list):
        found: dict[str, Any] = dict(zip(names, given, strict=False))  # pyright: ignore[reportUnknownArgumentType] # JSON
    elif isinstance(given, dict):
        found = given  # pyright: ignore[reportUnknownVariableType] # JSON
    else:
        raise errors.Invalid("args must be either a list or dictionary")
    missing = [name for name in form.required.split() if name not in found]
    unexpected = sorted(set(found) - set(names))
    wrong = [f"missing required argument(s): {', '.join(missing)}"] if missing else []
    wrong += [f"unexpected argument(s): {', '.join(unexpected)}"] if unexpected else []
    if wrong:
        raise errors.Invalid("; ".join(wrong), hint=f"It takes {', '.join(names)}.")
    return found


def check(rule: Rule, *, built_in: bool = False) -> None:
    """Raise errors.Invalid for a rule that could not be carried out."""
    if rule.phase not in PHASES:
        raise errors.Invalid(f"Invalid phase: {rule.phase}. Valid phases are: {', '.join(PHASES)}")
    if not built_in and not 0 <= rule.priority <= HIGHEST:
        raise errors.Invalid("Priority must be between 0 and 9999 for user-defined rules.")
    if not rule.actions:
        raise errors.Invalid("Schema error: [] should be non-empty (actions)", hint="Give an action.")
    for condition in rule.conditions:
        name, _ = inverted(str(condition.get("op")))
        _check_part("condition", condition, name, CONDITIONS)
        if condition.get("multiple", "any") not in MULTIPLE:
            raise errors.Invalid(
                f"Schema error: {condition.get('multiple')!r} is not one of {list(MULTIPLE)} (multiple)"
            )
    for action in rule.actions:
        _check_part("action", action, str(action.get("op")), ACTIONS)


def _check_part(what: str, part: dict[str, Any], name: str, forms: dict[str, Form]) -> None:
    if name not in forms:
        raise errors.Invalid(
            f"Schema error: {part.get('op')!r} is not one of {list(forms)}", hint=f"Correct the {what}."
        )
    if "args" not in part:
        raise errors.Invalid("Schema error: 'args' is a required property", hint=f"Give the arguments of {name}.")
    if not isinstance(part.get("loop", []), list | dict):
        raise errors.Invalid(f"Schema error: {part['loop']!r} is not of type 'array', 'object' (loop)")
    try:
        arguments(forms[name], part["args"])
    except errors.Invalid as error:
        raise errors.Invalid(f"Invalid parameters for {what} {name}: {error.message}", hint=error.hint) from error
