"""The launcher picks its Python environment: drivers of database servers and the broker only where something names one.

The interpreter is a stand-in that makes nothing: what is looked at is which environment the launcher would run.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from checkout import ROOT

STAND_IN = """#!/bin/sh
case "$*" in
    '-m venv '*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
    *ingot.cli.main*) echo "$0" ;;
esac
"""


@pytest.fixture
def launch_folder(tmp_path: Path) -> Path:
    python = tmp_path / "python"
    python.write_text(STAND_IN)
    python.chmod(0o755)
    (tmp_path / "several.toml").write_text('broker = "amqps://u:p@mq.example/"\n')
    (tmp_path / "one.toml").write_text('# database = "postgresql://u:p@db.example/ingot"\nport = 6385\n')
    return tmp_path


def kind(folder: Path, *words: str, **variables: str) -> str:
    """The kind of environment that runs these words."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("INGOT_", "PYTHON", "XDG_"))}
    stand_in = {"INGOT_PYTHON": str(folder / "python"), "INGOT_NO_APT": "1"}
    places = {"XDG_CACHE_HOME": str(folder / "cache"), "XDG_CONFIG_HOME": str(folder / "config")}
    command = [str(ROOT / "ingot"), *words]
    env = {**kept, **stand_in, **places, **variables}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=True)
    return Path(done.stdout.strip()).parts[-3].split("-")[1]


def test_one_host_gets_no_drivers_of_servers(launch_folder: Path) -> None:
    assert kind(launch_folder, "node", "list") == "run"
    assert kind(launch_folder, "config", "show", "--config", str(launch_folder / "one.toml")) == "run"


def test_a_word_a_variable_or_a_file_that_names_a_server_gets_them(launch_folder: Path) -> None:
    several = str(launch_folder / "several.toml")
    assert kind(launch_folder, "db", "upgrade", "--set", "database=postgresql://u:p@db.example/ingot") == "extras"
    assert kind(launch_folder, "import", "ironic", "--database", "mysql+pymysql://u:p@db.example/ironic") == "extras"
    assert kind(launch_folder, "node", "list", INGOT_BROKER="amqp://u:p@mq.example/") == "extras"
    assert kind(launch_folder, "config", "show", "--config", several) == "extras"
    assert kind(launch_folder, "config", "show", f"--config={several}") == "extras"
    assert kind(launch_folder, "config", "show", INGOT_CONFIG=several) == "extras"
    (launch_folder / "config/ingot").mkdir(parents=True)
    (launch_folder / "several.toml").rename(launch_folder / "config/ingot/ingot.toml")
    assert kind(launch_folder, "node", "list") == "extras"
