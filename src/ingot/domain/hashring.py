"""Which conductor looks after which node: the live ones of a group share out 256 slots, and a uuid names its slot.

Slots by the end of the uuid, so that SQL can select by them; a slot goes to the conductor with the highest hash of both
(rendezvous hashing) that has room, so shares are even and few slots move when a conductor comes or goes.
May not: decide who is alive. Invariant: who knows the same conductors finds the same answer. Correctness never rests on
it, for it is the lease that lets a conductor work on a run.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Mapping

import msgspec

SLOTS = tuple(f"{number:02x}" for number in range(256))


class Ring(msgspec.Struct, frozen=True):
    """The live conductors: pairs of a conductor group and its hostnames, all sorted."""

    groups: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @property
    def hostnames(self) -> tuple[str, ...]:
        """Every live conductor."""
        return tuple(sorted(name for _, names in self.groups for name in names))

    def joined(self, other: Ring) -> Ring:
        """The ring of all who are in this one or the other."""
        found = {group: set(names) for group, names in self.groups}
        for group, names in other.groups:
            found.setdefault(group, set()).update(names)
        return ring(found)

    def find(self, group: str, uuid: str) -> str | None:
        """The conductor of a node in this group, None while the group has no live one."""
        names = self._members(group)
        return shares(names)[0][slot(uuid)] if names else None

    def slots(self, group: str, hostname: str) -> tuple[str, ...] | None:
        """The slots of a conductor, None where it is alone in its group and has them all."""
        names = self._members(group)
        return None if names == (hostname,) else shares(names)[1].get(hostname, ())

    def _members(self, group: str) -> tuple[str, ...]:
        return next((names for name, names in self.groups if name == group.lower()), ())


def ring(groups: Mapping[str, Iterable[str]]) -> Ring:
    """The ring of these groups' hostnames."""
    return Ring(tuple((group, tuple(sorted(groups[group]))) for group in sorted(groups)))


def slot(uuid: str) -> str:
    """The slot of a node."""
    return uuid[-2:].lower()


@functools.lru_cache(64)
def shares(hostnames: tuple[str, ...]) -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
    """Who has each slot, and the slots of each."""
    owners: dict[str, str] = {}
    taken: dict[str, list[str]] = {name: [] for name in hostnames}
    room = -(-len(SLOTS) // max(1, len(hostnames)))
    for one in SLOTS if hostnames else ():
        able = [name for name in hostnames if len(taken[name]) < room]
        owners[one] = max(able, key=lambda name: _weight(one, name))
        taken[owners[one]].append(one)
    return owners, {name: tuple(slots) for name, slots in taken.items()}


def _weight(one: str, hostname: str) -> bytes:
    return hashlib.blake2b(f"{one} {hostname}".encode(), digest_size=8).digest()
