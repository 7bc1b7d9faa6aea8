"""Lists of steps kept under a name: deploy templates, chosen by an instance's traits, and runbooks, asked for by name.

May not: do I/O. Invariant: steps carry no secret in clear; secrets travel apart (``store/steplists.py``).
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec

from ingot.domain import errors

INTERFACES = frozenset({"vendor", "power", "management", "firmware", "deploy", "bios", "raid"})
"""Interfaces whose steps a user may ask for."""
_DISALLOWED = frozenset({("vendor", "send_raw")})
"""Steps that no list may have, as by default of Ironic: a raw command can do anything to a BMC."""


class DeployTemplate(msgspec.Struct, frozen=True, kw_only=True):
    """Steps added to the deployment of every instance that has the trait ``name``."""

    uuid: str
    name: str
    steps: list[dict[str, Any]]
    extra: dict[str, Any] = {}
    description: str | None = None
    created_at: str | None = None
    updated_at: str | None = None


class Runbook(msgspec.Struct, frozen=True, kw_only=True):
    """Steps for cleaning or service; usable on nodes that share one of ``traits``."""

    uuid: str
    name: str
    steps: list[dict[str, Any]]
    extra: dict[str, Any] = {}
    description: str | None = None
    disable_ramdisk: bool = False
    public: bool = False
    owner: str | None = None
    traits: list[str] = []
    created_at: str | None = None
    updated_at: str | None = None

    def ordered(self) -> list[dict[str, Any]]:
        """The steps as a request for cleaning or service has them, first one first."""
        steps = sorted(self.steps, key=lambda step: step["order"])
        return [{key: value for key, value in step.items() if key != "order"} for step in steps]

    def check_use(self, node_uuid: str, traits: tuple[str, ...], *, by_name: bool) -> None:
        """Raise errors.Invalid unless a node with ``traits`` may use it; ``by_name``: the rule before 1.112."""
        if by_name:
            if self.name not in traits:
                raise errors.Invalid(
                    f"This runbook has not been approved for use on this node {node_uuid}",
                    hint=f"Give the node the trait {self.name}.",
                )
        elif not self.traits:
            raise errors.Invalid(f"Runbook {self.uuid} has no traits configured", hint="Give it traits of its nodes.")
        elif not set(self.traits) & set(traits):
            raise errors.Invalid(
                f"This runbook has not been approved for use on this node {node_uuid}: the node has none of its traits",
                hint=f"Give the node one of {', '.join(sorted(self.traits))}.",
            )


def merged(templates: list[DeployTemplate], asked: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The steps of ``templates`` and those of the request, which win over a template's of the same name."""
    found = {(step["interface"], step["step"]): step for template in templates for step in template.steps}
    found |= {(step["interface"], step["step"]): step for step in asked}
    return list(found.values())


def check_allowed(word: str, interface: str, step: str) -> None:
    """Raise errors.Invalid for a step of kind ``word`` that no list may have."""
    if (interface, step) in _DISALLOWED:
        raise errors.Invalid(
            f"{word} step '{interface}.{step}' is not allowed.", hint="An administrator can call it as a vendor method."
        )


def refuse_repeated(steps: list[dict[str, Any]]) -> None:
    """Raise errors.Invalid when a step stands there twice."""
    names = Counter(f"interface: {step['interface']}, step: {step['step']}" for step in steps)
    twice = sorted(name for name, number in names.items() if number > 1)
    if twice:
        raise errors.Invalid(
            "Deploy template invalid: Duplicate deploy steps. A template cannot have multiple deploy steps with the "
            f"same interface and step. Duplicates: {'; '.join(twice)}",
            hint="Name each step once.",
        )
