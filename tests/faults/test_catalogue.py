"""The page of faults is true: every sentence on it was shown by the test that injects the fault."""

from __future__ import annotations

import os
from collections import Counter

import pytest

from faults import catalogue, tried

ROOT = catalogue.ROOT


def test_there_are_sixty_and_some_in_every_area() -> None:
    areas = Counter(fault.area for fault in catalogue.FAULTS.values())
    assert areas.total() >= 60
    wanted = {"BMC", "netboot", "agent", "image", "disk", "network", "database", "broker", "controller"}
    assert set(areas) == wanted


@pytest.mark.parametrize("name", catalogue.FAULTS)
def test_a_fault_is_injected_and_its_sentence_names_cause_and_action(name: str) -> None:
    fault, shown = catalogue.FAULTS[name], catalogue.sentences().get(name)
    text = (ROOT / fault.test).read_text()
    assert "catalogue.told(" in text
    assert f'"{name}"' in text, f"{fault.test} does not tell of it"
    assert shown, f"run {fault.test} with INGOT_WRITE_DOCS=1"
    assert fault.cause in shown
    assert fault.action, "an operator is told what to do of every fault"
    assert fault.action in shown


@pytest.mark.parametrize(
    "place", sorted({one for kinds in tried.TRIED.values() for places in kinds.values() for one in places})
)
def test_what_is_said_to_try_a_fault_is_there(place: str) -> None:
    file, _, function = catalogue.test_of(place).partition("::")
    assert f"def {function}" in (ROOT / file).read_text(), place


def test_a_servers_address_is_the_same_in_every_run() -> None:
    urls = ("postgresql://u:***@/test1?host=%2Ftmp%2Fa_1", "postgresql://u:***@/test23?host=%2Ftmp%2Fb-2%2Fsocket")
    assert {catalogue.plain(url) for url in urls} == {"postgresql://u:***@/NAME?host=PATH"}


def test_no_sentence_is_of_an_unknown_fault() -> None:
    assert set(catalogue.sentences()) <= set(catalogue.FAULTS)
    assert set(catalogue.seconds()) <= set(catalogue.FAULTS)


def test_every_fault_is_explained_rightly() -> None:
    verdicts = {name: catalogue.verdict(name) for name in catalogue.FAULTS}
    assert {name: said for name, said in verdicts.items() if not said.startswith("right")} == {}


@pytest.mark.parametrize("name", catalogue.FAULTS)
def test_the_words_looked_for_fit_no_fault_with_another_cause(name: str) -> None:
    """Else a sentence with a wrong cause would be taken for right."""
    fault, kin = catalogue.FAULTS[name], {one for group in catalogue.ALIKE if name in group for one in group}
    fits = {one for one, said in catalogue.sentences().items() if fault.cause in said and fault.action in said}
    assert fits - kin - {name} == set()


def test_the_page_is_made_of_them() -> None:
    if os.environ.get("INGOT_WRITE_DOCS"):
        catalogue.PAGE.write_text(catalogue.page())
    assert catalogue.PAGE.read_text() == catalogue.page(), "run this test with INGOT_WRITE_DOCS=1"
