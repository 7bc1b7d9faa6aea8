"""An allocation: somebody's wish for a node, and the node that was found for it. Pure values."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec


class State(StrEnum):
    """Where an allocation stands: looked for, found, or not to be found (``last_error`` says why)."""

    ALLOCATING = "allocating"
    ACTIVE = "active"
    ERROR = "error"


class Allocation(msgspec.Struct, frozen=True, kw_only=True):
    """One row of ``allocations``. ``uuid`` becomes the node's ``instance_uuid``; ``candidate_nodes`` are uuids.

    ``owner``: None takes any node, else only nodes whose owner or lessee it is. ``resource_class`` is None only where
    a deployed node that has none was recorded.
    """

    uuid: str
    name: str | None = None
    state: State = State.ALLOCATING
    node_uuid: str | None = None
    resource_class: str | None = None
    owner: str | None = None
    traits: list[str] = []
    candidate_nodes: list[str] = []
    extra: dict[str, Any] = {}
    last_error: str | None = None
    created_at: str | None = None
    updated_at: str | None = None

    def failure(self, reason: str) -> str:
        """The words of ``last_error``."""
        return f"Failed to process allocation {self.uuid}: {reason}."
