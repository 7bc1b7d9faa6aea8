"""Who looks after which node: even shares, few moves, one answer for all."""

from __future__ import annotations

import itertools

import pytest

from ingot.domain import ids
from ingot.domain.hashring import SLOTS, Ring, shares, slot

NAMES = tuple(f"host{number}.example" for number in range(9))


def ring(**groups: tuple[str, ...]) -> Ring:
    return Ring(tuple(sorted(groups.items())))


@pytest.mark.parametrize("number", range(1, 10))
def test_every_slot_has_one_owner_and_shares_are_even(number: int) -> None:
    owners, slots = shares(NAMES[:number])
    assert sorted(itertools.chain(*slots.values())) == list(SLOTS) == sorted(owners)
    sizes = [len(one) for one in slots.values()]
    assert max(sizes) <= -(-256 // number)
    assert min(sizes) >= 256 // number * 0.75
    assert all(owners[one] == name for name, its in slots.items() for one in its)


@pytest.mark.parametrize("number", range(2, 9))
def test_a_conductor_more_or_less_moves_little(number: int) -> None:
    fewer, more = shares(NAMES[:number])[0], shares(NAMES[: number + 1])[0]
    moved = sum(fewer[one] != more[one] for one in SLOTS)
    assert moved <= 2 * 256 / (number + 1)


def test_a_node_belongs_to_a_conductor_of_its_group() -> None:
    found = ring(rack1=("a", "b"), rack2=("c",))
    uuids = [ids.new() for _ in range(200)]
    assert {found.find("rack1", uuid) for uuid in uuids} == {"a", "b"}
    assert {found.find("RACK2", uuid) for uuid in uuids} == {"c"}
    assert found.find("", uuids[0]) is None
    assert found.hostnames == ("a", "b", "c")
    assert found.slots("rack2", "c") is None, "alone, it has all"
    assert found.slots("rack1", "gone") == ()
    for uuid in uuids:
        owner = found.find("rack1", uuid)
        assert owner is not None
        assert slot(uuid) in (found.slots("rack1", owner) or ())
