"""`ingot driver`: the list and the reference page follow the manifests, and a new driver passes its own tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from ingot.cli import driver, driver_skeleton, main

ROOT = Path(__file__).parents[2]


def test_the_reference_page_is_fresh() -> None:
    wanted = driver.page(driver.shipped())
    assert (ROOT / "docs/reference/drivers.md").read_text() == wanted, 'stale: run "./ingot driver document"'


def test_every_key_that_is_read_is_in_the_page() -> None:
    text = driver.page(driver.shipped())
    for source in (ROOT / "src/ingot/drivers").glob("*/*.py"):
        for word in source.read_text().replace("'", '"').split('"'):
            if word.startswith(("ipmi_", "redfish_", "fake_")) and word.isidentifier():
                assert f"`{word}`" in text, (source, word)


def test_list() -> None:
    shown = CliRunner().invoke(main.root, ["driver", "list"])
    assert shown.exit_code == 0
    lines = {line.split("\t")[0]: line.split("\t") for line in shown.output.splitlines()}
    assert {"ipmi", "redfish", "fake-hardware"} < set(lines)
    assert "generic" not in lines
    assert lines["ipmi"][1:4] == ["beta", "console, management, power, vendor", "ipmi_address"]


@pytest.mark.parametrize("name", ["Acme", "a", "acme-2", "../x", "2x", "no_such"])
def test_a_bad_name(name: str, tmp_path: Path) -> None:
    (tmp_path / "src/ingot/drivers").mkdir(parents=True)
    refused = CliRunner().invoke(main.root, ["driver", "new", name, "--root", str(tmp_path)])
    assert refused.exit_code != 0
    assert "cannot be the name of a driver" in str(refused.exception)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "src/ingot/drivers/acme").mkdir(parents=True)
    (tmp_path / "src/ingot/drivers/acme/power.py").write_text("mine")
    refused = CliRunner().invoke(main.root, ["driver", "new", "acme", "--root", str(tmp_path)])
    assert "power.py exists already" in str(refused.exception)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["power.py"]
    missing = CliRunner().invoke(main.root, ["driver", "new", "acme", "--root", str(tmp_path / "src")])
    assert "There is no checkout of ingot in" in str(missing.exception)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["acme", "abcdefghij0123456789"])
def test_a_new_driver_passes_its_tests_and_the_linters(name: str, tmp_path: Path) -> None:
    tests = [f"tests/{part}" for part in ("drivers", "interfaces", "flows", "faults", "conftest.py")]
    for part in ("src", *tests, "pyproject.toml"):
        source, target = ROOT / part, tmp_path / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    made = CliRunner().invoke(main.root, ["driver", "new", name, "--root", str(tmp_path)])
    assert made.exit_code == 0, made.output
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "src")}
    paths = sorted(driver_skeleton.files(name))
    code = [path for path in paths if path.endswith(".py")]
    for words in (
        ("pytest", "-q", "-p", "no:cacheprovider", f"tests/drivers/{name}"),
        ("ruff", "check", *code),
        ("ruff", "format", "--check", *code),
    ):
        done = subprocess.run(
            [sys.executable, "-m", *words],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
