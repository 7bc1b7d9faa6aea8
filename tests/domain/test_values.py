"""The pure rules: the fold over a journal, secrets, hardware, identifiers, power, errors."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingot.domain import errors, hardware, ids, patch, power, runs, secrets, traits
from ingot.domain.runs import Mark

# --- runs.fold: a journal as an engine writes it, cut anywhere ---


@st.composite
def journals(draw: st.DrawFn) -> tuple[int, list[runs.Entry], int | None]:
    """(steps, the journal of a whole run, index of the step that failed or None)."""
    steps = draw(st.integers(1, 6))
    failing = draw(st.none() | st.integers(0, steps - 1))
    marks: list[tuple[int, Mark]] = []
    for index in range(steps if failing is None else failing):
        marks += [(index, Mark.STARTED), (index, Mark.SUCCEEDED)]
    if failing is not None:
        if draw(st.booleans()):  # else it was refused before it began
            marks.append((failing, Mark.STARTED))
        marks.append((failing, Mark.FAILED))
        begun = sorted({step for step, mark in marks if mark == Mark.STARTED}, reverse=True)
        for index in begun:
            end = draw(st.sampled_from([Mark.UNDO_FINISHED, Mark.UNDO_FAILED]))
            marks += [(index, Mark.UNDO_STARTED), (index, end)]
    return steps, [runs.Entry(seq + 1, step, mark, 0.0, "why") for seq, (step, mark) in enumerate(marks)], failing


@given(journals(), st.data())
def test_wherever_a_journal_is_cut_the_fold_tells_what_is_left(
    whole: tuple[int, list[runs.Entry], int | None], data: st.DataObject
) -> None:
    steps, entries, _ = whole
    kept = entries[: data.draw(st.integers(0, len(entries)))]
    found = runs.fold(steps, kept)
    done = {entry.step for entry in kept if entry.mark == Mark.SUCCEEDED}
    begun = [entry.step for entry in kept if entry.mark == Mark.STARTED]
    assert found.next == len(done)
    assert found.cut == (found.next in begun)
    assert found.failed == any(entry.mark == Mark.FAILED for entry in kept)
    assert (found.failure == "why") == found.failed
    undone = {entry.step for entry in kept if entry.mark in {Mark.UNDO_FINISHED, Mark.UNDO_FAILED}}
    assert list(found.to_undo) == sorted(set(begun) - undone, reverse=True)


@given(journals())
def test_a_whole_journal_leaves_nothing_to_do(whole: tuple[int, list[runs.Entry], int | None]) -> None:
    steps, entries, failing = whole
    found = runs.fold(steps, entries)
    if failing is None:
        assert (found.next, found.failed) == (steps, False)
    else:
        assert (found.failed, found.to_undo) == (True, ())


@given(journals())
def test_a_line_written_twice_changes_nothing(whole: tuple[int, list[runs.Entry], int | None]) -> None:
    steps, entries, _ = whole
    assert runs.fold(steps, [line for entry in entries for line in (entry, entry)]) == runs.fold(steps, entries)


# --- secrets ---

KEYS = st.sampled_from(["ipmi_password", "redfish_username", "agent_token", "note", "configdrive", "image_source", "X"])
LEAVES = st.none() | st.integers() | st.text().filter(lambda text: text != secrets.MASK)
VALUES = st.recursive(LEAVES, lambda below: st.lists(below, max_size=3) | st.dictionaries(KEYS, below), max_leaves=8)
INFO = st.dictionaries(KEYS, VALUES)


def _clear_secrets(value: Any, instance: bool) -> list[Any]:
    """The secret values of a public form that are not masked."""
    if isinstance(value, list):
        return [found for item in value for found in _clear_secrets(item, instance)]
    if not isinstance(value, dict):
        return []
    clear = [item for key, item in value.items() if secrets.is_secret(key, instance=instance) and item is not None]
    nested = [found for item in value.values() for found in _clear_secrets(item, instance)]
    return [item for item in clear if item != secrets.MASK] + nested


@given(INFO, INFO, st.booleans())
def test_split_then_merge_gives_everything_back(info: dict[str, Any], known: dict[str, Any], instance: bool) -> None:
    public, hidden = secrets.split(info, known, instance=instance)
    assert secrets.merge(public, hidden) == info
    assert list(public) == list(info)
    assert _clear_secrets(public, instance) == []


def test_a_secret_further_down_is_hidden_too() -> None:
    info = {"bmcs": [{"password": "geheim", "port": 1}, {"port": 2}], "deep": {"auth": {"token": "geheim"}}}
    public, hidden = secrets.split(info, {})
    assert public == {"bmcs": [{"password": "******", "port": 1}, {"port": 2}], "deep": {"auth": {"token": "******"}}}
    assert secrets.split(public, hidden) == (public, hidden)
    assert secrets.merge(public, hidden) == info


def test_writing_the_mask_back_keeps_the_secret() -> None:
    public, hidden = secrets.split({"ipmi_password": "geheim", "ipmi_address": "a"}, {})
    again = secrets.split({**public, "ipmi_address": "b"}, hidden)
    assert again == ({"ipmi_password": "******", "ipmi_address": "b"}, {"ipmi_password": "geheim"})
    assert secrets.split({"ipmi_address": "b"}, hidden)[1] == {}


def test_a_secret_prints_as_asterisks() -> None:
    secret = secrets.Secret("geheim")
    assert (str(secret), repr(secret), f"{secret}", f"{secret:>9}") == ("******",) * 4
    assert secret.reveal() == "geheim"
    assert type(secret.reveal()) is str


# --- hardware ---

INVENTORY: dict[str, Any] = {
    "cpu": {"architecture": "x86_64", "count": 8},
    "memory": {"physical_mb": 16384},
    "disks": [{"size": 100 * 1024**3}, {"size": 960 * 1024**3 + 5}, {}],
    "system_vendor": {"manufacturer": "ACME"},
    "boot": {"current_boot_mode": "uefi", "pxe_interface": "01-52-54-00-AA-BB-02"},
    "interfaces": [
        {"mac_address": "52:54:00:aa:bb:01"},
        {"mac_address": "52:54:00:AA:BB:02"},
        {"mac_address": "not one"},
        {"name": "lo"},
    ],
}


def test_what_an_inventory_says() -> None:
    found = {"cpu_arch": "x86_64", "cpus": 8, "memory_mb": 16384, "local_gb": 960, "vendor": "ACME"}
    assert hardware.properties(INVENTORY) == found
    assert hardware.boot_mode(INVENTORY) == "uefi"
    cards = hardware.ports("n", INVENTORY)
    assert [(card.address, card.pxe_enabled) for card in cards] == [
        ("52:54:00:aa:bb:01", False),
        ("52:54:00:aa:bb:02", True),
    ]


ODD: dict[str, Any] = {
    "boot": {"current_boot_mode": ["uefi"], "pxe_interface": 7},
    "disks": [{"size": "960 GB"}, {"size": None}, 3],
    "interfaces": [{"mac_address": 7}, {"mac_address": ["52:54:00:aa:bb:01"]}, None],
}


@pytest.mark.parametrize(
    "empty", [{}, dict.fromkeys(INVENTORY), ODD, {"boot": {"current_boot_mode": "odd"}, "disks": []}]
)
def test_an_empty_inventory_says_nothing_and_raises_nothing(empty: dict[str, Any]) -> None:
    assert hardware.properties(empty) == {}
    assert hardware.boot_mode(empty) is None
    assert hardware.ports("n", empty) == []


def test_an_odd_boot_interface_leaves_every_card_bootable() -> None:
    odd = {**INVENTORY, "boot": {"pxe_interface": ["52-54-00-aa-bb-02"]}}
    assert [card.pxe_enabled for card in hardware.ports("n", odd)] == [True, True]


# --- identifiers, power, errors ---


def test_a_line_break_ends_neither_a_trait_nor_a_path() -> None:
    assert traits.check("CUSTOM_A") == "CUSTOM_A"
    assert patch.parse([{"op": "remove", "path": "/extra/a"}], escapes=True)
    with pytest.raises(errors.Invalid, match="does not match"):
        traits.check("CUSTOM_A\n")
    for escapes in (True, False):
        with pytest.raises(errors.Invalid, match="does not match"):
            patch.parse([{"op": "remove", "path": "/extra/a\n"}], escapes=escapes)


GOOD_NAMES = {"rack1-u1", "a.b_c~d"}
BAD_NAMES = {"", "a b", "detail", "x" * 256, "é", "a\n"}


@pytest.mark.parametrize(("name", "good"), [(name, name in GOOD_NAMES) for name in sorted(GOOD_NAMES | BAD_NAMES)])
def test_names(name: str, good: bool) -> None:
    assert ids.is_name(name) == good


def test_a_uuid_is_no_name_and_a_hostname_is_stricter() -> None:
    assert ids.is_uuid(ids.new())
    assert not ids.is_name(ids.new())
    assert not ids.is_name("under_score", hostname_only=True)
    assert ids.is_name("host.example", hostname_only=True)


@pytest.mark.parametrize("text", ["52:54:00:AA:bb:01", "52-54-00-aa-bb-01"])
def test_mac_addresses_are_written_one_way(text: str) -> None:
    assert ids.mac(text) == "52:54:00:aa:bb:01"


NO_MACS = ["", "52:54:00:aa:bb", "52:54:00:aa:bb:zz", "52:54:00:aa:bb:01:02", "525400aabb01", "52:54:00:aa:bb:01\n"]


@pytest.mark.parametrize("text", NO_MACS)
def test_what_is_no_mac_address_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(errors.Invalid, match="Expected a MAC address but received") as refused:
        ids.mac(text)
    assert "52:54:00:12:34:56" in refused.value.sentence()


@pytest.mark.parametrize("stored", [None, *power.Power])
@pytest.mark.parametrize("seen", power.Power)
def test_power_follows_the_hardware(stored: power.Power | None, seen: power.Power) -> None:
    verdict = power.reconcile(stored, seen)
    if stored == seen:
        assert verdict is None
    else:
        assert verdict is not None
        assert verdict.power_state == seen
        assert (verdict.note is None) == (stored is None)


ERRORS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.IngotError)]


@pytest.mark.parametrize("kind", ERRORS)
def test_every_error_is_a_sentence_with_a_cure(kind: type[errors.IngotError]) -> None:
    plain = kind()
    assert plain.message and plain.hint
    assert plain.sentence() == f"{plain.message.rstrip('.')}. {plain.hint}"
    assert kind("What.", hint="Do.").sentence() == "What. Do."
    assert kind("What", hint="").sentence() == "What."
    assert kind.__name__ in (errors.__doc__ or "")
