"""The pages made from code say what the code says, and the pages kept by hand name real settings, states and commands.

With INGOT_WRITE_DOCS=1 the generated pages are written instead of only compared.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import shlex
import subprocess
from functools import cache
from pathlib import Path
from types import ModuleType

import click
import pytest

from checkout import ROOT, files, refuse
from ingot import settings
from ingot.cli import main
from ingot.domain import states

CONSOLE = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
SET = re.compile(r"--set[ =]([a-z_]+)=")
LAUNCHER_VERBS = {"test", "check", "bench", "docs"}  # the launcher's own; the others are the CLI's


@cache
def generator() -> ModuleType:
    return loaded("docs/generate.py")


def loaded(path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"ingot_{Path(path).stem}", ROOT / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", ["access.md", "cli.md", "extensions.md", "settings.md", "states.md"])
def test_generated_pages_are_fresh(page: str) -> None:
    made = generator().PAGES[page]()
    target = generator().REFERENCE / page
    if os.environ.get("INGOT_WRITE_DOCS"):
        target.write_text(made)
    assert target.read_text() == made, f"docs/reference/{page} is stale -> run: {generator().HOW}"


def test_the_performance_page_is_drawn_from_the_results(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "bench")
    made: dict[Path, str] = loaded("bench/curves.py").files()
    for path, text in made.items():
        if os.environ.get("INGOT_WRITE_DOCS"):
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        assert path.exists(), f"{path} is missing -> run: ./ingot bench curves"
        assert path.read_text() == text, f"{path} is stale -> run: ./ingot bench curves"
    drawn = {path for path in made if path.suffix == ".svg"}
    assert set((ROOT / "docs/explanation/curves").glob("*")) == drawn, "a picture without its result"


def test_a_goal_leads_to_what_bounds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "bench")
    goals = importlib.import_module("goals")
    text = (ROOT / "bench/results/README.md").read_text()
    parts = {line[3:].lower().replace(" ", "-") for line in text.splitlines() if line.startswith("## ")}
    assert {f"what-bounds-{goal.bound}" for goal in goals.GOALS} <= parts


def test_the_capacity_page_is_computed_from_the_results() -> None:
    [(path, text)] = loaded("bench/capacity.py").files().items()
    if os.environ.get("INGOT_WRITE_DOCS"):
        path.write_text(text)
    assert path.read_text() == text, f"{path} is stale -> run: {generator().HOW}"


def test_a_bench_of_several_sizes_says_what_to_draw() -> None:
    sizes = re.compile(r'nargs="\+", default=\[[\d_]+, ')
    texts = {path: (ROOT / path).read_text() for path in files() if re.fullmatch(r"bench/\w+\.py", path)}
    found = [path for path, text in texts.items() if sizes.search(text)]
    assert len(found) >= 4
    refuse([path for path in found if "curves=" not in texts[path]], "pass curves= to tell(): see bench/report.py")


def test_a_bench_that_is_listed_can_be_run() -> None:
    texts = {path: (ROOT / path).read_text() for path in files() if re.fullmatch(r"bench/\w+\.py", path)}
    found = [path for path, text in texts.items() if f"Run: ./ingot bench {Path(path).stem}" in text]
    assert len(found) >= 20
    lacking = [path for path in found if "\nif __name__" not in texts[path] or "parse_args()" not in texts[path]]
    refuse(lacking, "give it a main that reads its options: --help must not measure")


def test_every_page_is_generated_by_somebody() -> None:
    assert set(generator().PAGES) == {"access.md", "cli.md", "extensions.md", "settings.md", "states.md"}, (
        "add the new page to the test above"
    )


def test_every_setting_is_documented() -> None:
    told = set(re.findall(r"^\| `(\w+)` \|", generator().settings_page(), re.MULTILINE))
    assert told == set(settings.Settings.__struct_fields__)


def pages() -> list[str]:
    return [path for path in files() if path.endswith(".md")]


def test_settings_named_in_pages_exist() -> None:
    unknown = [
        f"{page}: {name}"
        for page in pages()
        for name in SET.findall((ROOT / page).read_text())
        if name not in settings.Settings.__struct_fields__
    ]
    refuse(unknown, "no such setting: see docs/reference/settings.md")


def console_commands() -> list[tuple[str, str]]:
    """(where, command line) of every line of a console block that somebody is to type."""
    found: list[tuple[str, str]] = []
    for page in pages():
        text = (ROOT / page).read_text()
        for block in CONSOLE.finditer(text):
            first = text.count("\n", 0, block.start(1)) + 1
            for number, line in enumerate(block.group(1).splitlines(), first):
                if line.startswith("$ "):
                    found.append((f"{page}:{number}", line.removeprefix("$ ")))
    return found


def complaint(words: list[str]) -> str | None:
    """Why click would refuse these words after `ingot`, None when it takes them. Runs nothing."""
    command: click.Command = main.root
    # With the program's settings: click remembers a command's help option as it is first asked for.
    names = main.CONTEXT["help_option_names"]
    context = click.Context(command, info_name="ingot", help_option_names=names)
    rest = list(words)
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        name = rest.pop(0)
        inner = command.get_command(context, name)
        if inner is None:
            return f'no command "{name}"'
        command, context = inner, click.Context(inner, info_name=name, parent=context)
    try:
        if "--help" not in rest:
            command.make_context(context.info_name, rest, parent=context.parent)
    except click.exceptions.Exit:
        return None
    except click.ClickException as error:
        return error.format_message()
    return None


def test_commands_in_pages_parse() -> None:
    wrong: list[str] = []
    for where, line in console_commands():
        words = shlex.split(line, comments=True)
        for index, word in enumerate(words):  # `sudo ./ingot ...`, `. demo.env && ./ingot ...`
            if word in ("./ingot", "ingot"):
                rest = words[index + 1 :]
                rest = rest[: next((at for at, one in enumerate(rest) if one in ("|", "&", "&&", ">", ";")), len(rest))]
                refusal = complaint(rest) if rest and rest[0] not in LAUNCHER_VERBS else None
                if refusal:
                    wrong.append(f"{where}: {line}: {refusal}")
    refuse(wrong, "correct the page or the command")


def test_a_wrong_command_is_noticed() -> None:
    """The judge itself: else the test above could pass by understanding nothing."""
    assert complaint(["node", "deploy", "n1", "--image", "x", "--ssh-key", "k"]) is None
    assert complaint(["node", "deploy", "n1"]) is not None
    assert complaint(["node", "list", "--no-such-option"]) is not None
    assert complaint(["node", "no-such-verb"]) is not None


def test_console_blocks_are_shell() -> None:
    wrong: list[str] = []
    for where, line in console_commands():
        read = subprocess.run(["sh", "-n", "-c", line], capture_output=True, text=True, check=False)
        if read.returncode:
            wrong.append(f"{where}: {line}: {read.stderr.strip()}")
    refuse(wrong, "a reader pastes these lines")


def test_the_playbook_has_every_state() -> None:
    text = (ROOT / "docs/playbooks/node-stuck.md").read_text()
    rows = {row.group(1): row.group(0) for row in re.finditer(r"^\| `([^`]+)` \|.*$", text, re.MULTILINE)}
    missing = [f"{state}" for state in states.TABLE if state not in rows]
    wrong = [
        f"{state}: {row.exit_verb}"
        for state, row in states.TABLE.items()
        if state in rows and f"`{row.exit_verb}`" not in rows[state]
    ]
    refuse(missing + wrong, "docs/playbooks/node-stuck.md: a row per state, with its exit verb")
