"""The documentation tells the truth: links lead somewhere, commands exist, the glossary is whole."""

from __future__ import annotations

import re
import shlex
import subprocess
from functools import cache
from pathlib import Path

import pytest

from checkout import ROOT, files, refuse

# The words that design, code and messages lean on most. A new one gets its line in the glossary first.
HOUSE_WORDS = """
    agent, allocation, chassis, cleaning, conductor, configdrive, deploy template, driver, hardware type,
    heartbeat, inspection, interface, journal, lease, lessee, lookup, manifest, node, owner, peer, port,
    portgroup, provision state, rack, ramdisk, reason, rescue, resource class, ring, run, runbook, shard,
    step, trait
"""

LAUNCHER_VERBS = {"test", "check", "bench", "docs"}  # the others are the CLI's own
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
CONSOLE = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)


def pages() -> list[str]:
    return [path for path in files() if path.endswith(".md")]


def line_of(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def anchors(page: Path) -> set[str]:
    """The anchors a page offers: one per heading, as code hosts make them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def leads_nowhere(page: str, target: str) -> bool:
    if re.match(r"[a-z]+:", target):
        return False
    path, _, anchor = target.partition("#")
    place = (ROOT / page).parent / path if path else ROOT / page
    if not place.exists():
        return True
    return bool(anchor) and place.suffix == ".md" and anchor not in anchors(place)


def test_relative_links_lead_somewhere() -> None:
    dead: list[str] = []
    for page in pages():
        text = (ROOT / page).read_text()
        prose = FENCE.sub(lambda block: re.sub(r"[^\n]", " ", block.group()), text)
        for match in LINK.finditer(prose):
            target = match.group(1) or match.group(2)
            if leads_nowhere(page, target):
                dead.append(f"{page}:{line_of(text, match.start())}: {target}")
    refuse(dead, "correct the path or the heading's anchor")


def commands() -> list[tuple[str, list[str]]]:
    """(where, words) of every ingot command in a console block; words start after the program's name."""
    found: list[tuple[str, list[str]]] = []
    for page in pages():
        text = (ROOT / page).read_text()
        for block in CONSOLE.finditer(text):
            for number, line in enumerate(block.group(1).splitlines(), line_of(text, block.start(1))):
                words = shlex.split(line.removeprefix("$ "), comments=True) if line.startswith("$ ") else []
                if words and words[0] in ("./ingot", "ingot"):
                    found.append((f"{page}:{number}", words[1:]))
    return found


@cache
def is_command(*verbs: str) -> bool:
    """Whether the CLI explains these verbs: `--help` of an unknown one fails."""
    if verbs[0] in LAUNCHER_VERBS:
        return True
    asked = subprocess.run(
        [ROOT / "ingot", *verbs, "--help"], stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    return asked.returncode == 0


def test_console_blocks_name_real_commands() -> None:
    unknown: list[str] = []
    for where, words in commands():
        verb = words[0] if words else "--help"
        if not verb.startswith("-") and not is_command(verb):
            unknown.append(f"{where}: {verb}")
    refuse(unknown, "no such verb of the CLI: correct the page or add the command")


def test_readme_starts_with_a_command() -> None:
    assert any(where.startswith("README.md:") for where, _ in commands()), (
        "README.md:1: no ```console block with an ingot command\n-> show the one command and its real output"
    )


def glossary() -> list[str]:
    text = (ROOT / "docs/reference/glossary.md").read_text()
    return re.findall(r"^- \*\*([^*]+)\*\*: \S", text, re.MULTILINE)


@pytest.mark.parametrize("word", [word.strip() for word in HOUSE_WORDS.split(",")])
def test_the_glossary_explains(word: str) -> None:
    assert word in glossary(), f"docs/reference/glossary.md:1: {word} is missing -> add its line"


def test_the_glossary_is_in_order() -> None:
    words = glossary()
    assert words == sorted(set(words), key=str.lower), "docs/reference/glossary.md: sort the words"


def decisions() -> list[Path]:
    return sorted((ROOT / "docs/decisions").glob("*.md"))


def test_decisions_are_numbered_and_complete() -> None:
    wrong: list[str] = []
    for number, page in enumerate(decisions(), 1):
        text = page.read_text()
        if not (page.name.startswith(f"{number:04}-") and text.startswith(f"# {number}. ")):
            wrong.append(f"{page.relative_to(ROOT)}:1: expected number {number}")
        missing = [part for part in ("Status: ", "## Context", "## Decision", "## Consequences") if part not in text]
        wrong += [f"{page.relative_to(ROOT)}:1: no {part!r}" for part in missing]
    refuse(wrong, "number decisions without gaps; each has Status, Context, Decision and Consequences")
