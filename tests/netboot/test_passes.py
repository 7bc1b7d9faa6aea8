"""Passes in URLs: they open one thing, for a while, under one key."""

from __future__ import annotations

import pytest

from ingot.netboot.passes import Passes


def test_a_pass_opens_one_thing_until_it_ends() -> None:
    now = [1000.0]
    passes = Passes(b"k" * 32, lambda: now[0])
    given = passes.give("image/a", 60)
    assert passes.fits("image/a", given)
    assert not passes.fits("image/b", given)
    assert not Passes(b"l" * 32, lambda: now[0]).fits("image/a", given)
    assert passes.give("image/a", 60) == given
    now[0] += 61
    assert not passes.fits("image/a", given)


@pytest.mark.parametrize("text", ["", "-", "zz-", "ffffffff-", "ffffffff-AAAAAAAAAAAAAAAAAAAAAA", "ключ", "a-b-c"])
def test_nonsense_is_no_pass(text: str) -> None:
    assert not Passes(b"k" * 32).fits("image/a", text)


def test_its_end_cannot_be_moved() -> None:
    passes = Passes(b"k" * 32, lambda: 1000.0)
    end, _, digest = passes.give("image/a", 60).partition("-")
    assert not passes.fits("image/a", f"{int(end, 16) + 60:x}-{digest}")
