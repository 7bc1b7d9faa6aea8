"""Rules about the repository as a whole: what it may name, its pins and packages, its first pages.

A failure names every place as `file:line: what` and then says what to do.
"""

from __future__ import annotations

import re
import subprocess
import tomllib

import pytest
from packaging.requirements import Requirement

from checkout import ROOT, files, refuse
from ingot.cli.demo import preflight
from ingot_rack import osimage_sources

FORBIDDEN_TEXT = re.compile(
    "|".join(
        [
            r"py" r"pi\.org",
            r"python" r"hosted\.org",
            r"deb\." r"debian\.org",
            r"security\." r"debian\.org",
            r"npm" r"js\.(org|com)",
            r"(?<![\w.])/wo" r"rk/",
            r"/root/\.ca" r"che",
        ]
    )
)


def test_no_registry_hosts_or_machine_paths() -> None:
    named: list[str] = []
    for path in files():
        data = (ROOT / path).read_bytes()
        if b"\0" not in data:
            lines = enumerate(data.decode(errors="replace").splitlines(), 1)
            named += [f"{path}:{n}: {found.group()}" for n, line in lines if (found := FORBIDDEN_TEXT.search(line))]
    refuse(named, "the repository works anywhere: let the tool's own configuration choose mirrors and folders")


def pins(name: str) -> dict[str, str]:
    lines = (ROOT / name).read_text().splitlines()
    return {line.split("==")[0].lower(): line.split("==")[1].split(" ")[0] for line in lines if "==" in line}


def test_pins_fulfil_the_requirements() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    run, every, dev = pins("constraints.txt"), pins("packaging/extras.txt"), pins("packaging/dev.txt")
    wanted = [(run, "constraints.txt", text) for text in project["dependencies"]]
    for extra, texts in project["optional-dependencies"].items():
        pinned, name = (dev, "packaging/dev.txt") if extra == "dev" else (every, "packaging/extras.txt")
        wanted += [(pinned, name, text) for text in texts]
    wrong = [f"{name}:1: {text}" for pinned, name, text in wanted if not fulfils(pinned, Requirement(text))]
    for smaller, larger, where in ((run, every, "packaging/extras.txt"), (every, dev, "packaging/dev.txt")):
        wrong += [f"{where}:1: {name} differs" for name in smaller if larger.get(name) != smaller[name]]
    refuse(wrong, "compile the pins again: the commands are in CONTRIBUTING.md, 'Dependencies'")


def fulfils(pinned: dict[str, str], wanted: Requirement) -> bool:
    version = pinned.get(wanted.name.lower().replace("_", "-"))
    return version is not None and wanted.specifier.contains(version)


def test_every_debian_package_has_a_known_group() -> None:
    path = "packaging/debian-packages.txt"
    rows = [(n, line.split("#")[0].split()) for n, line in enumerate((ROOT / path).read_text().splitlines(), 1)]
    rows = [(n, row) for n, row in rows if row]
    groups = ("run", "rack", "test", "servers", "check")
    wrong = [f"{path}:{n}: {row}" for n, row in rows if len(row) != 2 or row[0] not in groups]
    names = [row[-1] for _, row in rows]
    wrong += [f"{path}:{n}: {row[-1]} twice" for n, row in rows if names.count(row[-1]) > 1]
    refuse(wrong, "a line is `group package   # what needs it`; groups: run, rack, test, servers, check")


def test_every_package_that_a_program_asks_for_is_installed_by_the_launcher() -> None:
    listed = (ROOT / "packaging/debian-packages.txt").read_text().split()
    asked = {*preflight.PROGRAMS.values(), *osimage_sources.PROGRAMS.values(), *osimage_sources.FOLDERS.values()}
    lacking = [f"packaging/debian-packages.txt:1: {name}" for name in sorted(asked) if name not in listed]
    refuse(lacking, "list it in its group: a new machine has only what stands there")


def test_first_pages_stay_short() -> None:
    limits = {"README.md": 150, "ARCHITECTURE.md": 300, "CONTRIBUTING.md": 100, "ingot": 175}
    lengths = {name: (ROOT / name).read_text().count("\n") for name in limits}
    long = [f"{name}:1: {n} lines, limit {limits[name]}" for name, n in lengths.items() if n > limits[name]]
    refuse(long, "the first pages are read in one go: move detail below docs/")


@pytest.mark.parametrize("verb", ["test", "check", "bench", "docs"])
def test_the_launchers_own_verbs_have_help(verb: str) -> None:
    argv = [ROOT / "ingot", verb, "--help"]
    asked = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=True)
    assert f"./ingot {verb} " in asked.stdout


@pytest.mark.parametrize("name", ["report", "nothing"])
def test_only_what_is_listed_is_a_bench(name: str) -> None:
    argv = [ROOT / "ingot", "bench", name]
    asked = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    assert asked.returncode != 0
    assert f"no bench {name}" in asked.stderr
