"""Passes in URLs: they open one thing, for a while, under the keys of one file."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from ingot.netboot.passes import LONGEST, Passes
from ingot.store import seal


class Clock:
    """A clock that is moved."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def keys(tmp_path: Path) -> seal.KeyFile:
    return seal.open_keys(tmp_path / "url.key")


def test_a_pass_opens_one_thing_until_it_ends(keys: seal.KeyFile, tmp_path: Path) -> None:
    clock = Clock()
    passes = Passes(keys, clock)
    given = passes.give("image/a", 60)
    assert passes.fits("image/a", given)
    assert not passes.fits("image/b", given)
    assert not Passes(seal.open_keys(tmp_path / "other.key"), clock).fits("image/a", given)
    assert passes.give("image/a", 60) == given
    clock.now += 61
    assert not passes.fits("image/a", given)


@pytest.mark.parametrize("text", ["", "-", "zz-", "ffffffff-", "ffffffff-AAAAAAAAAAAAAAAAAAAAAA", "ключ", "a-b-c"])
def test_nonsense_is_no_pass(keys: seal.KeyFile, text: str) -> None:
    assert not Passes(keys).fits("image/a", text)


def test_its_end_cannot_be_moved(keys: seal.KeyFile) -> None:
    clock = Clock()
    passes = Passes(keys, clock)
    end, _, digest = passes.give("image/a", 60).partition("-")
    assert not passes.fits("image/a", f"{int(end, 16) + 60:x}-{digest}")
    long = passes.give("image/a", 10 * LONGEST)
    clock.now += LONGEST + 1
    assert not passes.fits("image/a", long), "however long it was asked for"


def test_what_was_given_under_the_last_key_ends_with_its_time(keys: seal.KeyFile, tmp_path: Path) -> None:
    clock = Clock()
    passes = Passes(keys, clock)
    given = passes.give("image/a", LONGEST)
    seal.replace_key(tmp_path / "url.key", at_once=False)
    assert passes.fits("image/a", given)
    assert passes.give("image/a", LONGEST) != given
    (tmp_path / "stolen.key").write_bytes(seal.KeyFile(tmp_path / "url.key").keys()[1])
    clock.now += LONGEST + 60
    forged = Passes(seal.open_keys(tmp_path / "stolen.key"), clock).give("image/a", 60)
    assert not passes.fits("image/a", forged), "the old key's time is over, though the file still has it"
    os.utime(tmp_path / "url.key", (clock.now, clock.now))
    assert passes.fits("image/a", forged), "which is told by the time of the file"


def test_at_once_ends_all_that_was_given(keys: seal.KeyFile, tmp_path: Path) -> None:
    passes = Passes(keys)
    given = passes.give("image/a", 60)
    seal.replace_key(tmp_path / "url.key", at_once=True)
    assert not passes.fits("image/a", given)
    assert passes.fits("image/a", passes.give("image/a", 60))
    assert (tmp_path / "url.key").stat().st_size == 32
