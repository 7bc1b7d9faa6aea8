"""What all interfaces share: they can say whether a node is configured well enough for them.

May not: hold state per node. One object serves every node; all it knows of one comes in the context.
"""

from __future__ import annotations

from abc import ABC

from ingot.interfaces.context import Context


class Interface(ABC):  # noqa: B024 - nothing is abstract here, but nobody makes one of it
    """The root of the interface contracts."""

    def properties(self) -> dict[str, str]:
        """driver_info keys this implementation reads -> what they mean."""
        return {}

    async def validate(self, ctx: Context) -> None:  # noqa: B027 - nothing to check is the usual case
        """Raise errors.Invalid when the node's fields do not suffice. Opens no connection."""
