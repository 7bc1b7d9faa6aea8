"""Roles: the words, and which of them whoever holds one holds as well.

May not: know a rule (api/policy.py) or where roles come from. Source of words and order: the roles every OpenStack
cloud has (admin implies manager implies member implies reader); service stands beside them and implies none.
"""

from __future__ import annotations

from collections.abc import Iterable

LADDER = ("admin", "manager", "member", "reader")
"""From the most to the least; each may all that those after it may."""
SERVICE = "service"
"""The role of other programs of a cloud."""
EVERYONE = "everyone"
"""What even a caller holds whom nobody asked for a name."""
ALL = (*LADDER, SERVICE)


def held(given: Iterable[str]) -> frozenset[str]:
    """All roles of somebody who was ``given`` these; words that are no roles of ours are kept and mean nothing."""
    found = {EVERYONE, *given}
    for place, role in enumerate(LADDER):
        if role in found:
            found.update(LADDER[place:])
    return frozenset(found)
