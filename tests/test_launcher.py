"""The launcher picks its Python environment: drivers of database servers and the broker only where something names one.

The interpreter is a stand-in that makes nothing: what is looked at is which environment the launcher would run. And who
is not root is told at once what needs root, and serves without it.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

import programs
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


def launch(folder: Path, *words: str, user: Sequence[str] = (), **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("INGOT_", "PYTHON", "XDG_"))}
    stand_in = {"INGOT_PYTHON": str(folder / "python"), "INGOT_NO_APT": "1"}
    places = {"XDG_CACHE_HOME": str(folder / "cache"), "XDG_CONFIG_HOME": str(folder / "config")}
    command = [*user, str(ROOT / "ingot"), *words]
    env = {**kept, **stand_in, **places, **variables}
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)


def kind(folder: Path, *words: str, **variables: str) -> str:
    """The kind of environment that runs these words."""
    done = launch(folder, *words, **variables)
    assert done.returncode == 0, done.stderr
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


@pytest.fixture
def anybody(launch_folder: Path) -> list[str]:
    """What runs a command as somebody who is not root and for whom sudo wants a password.

    He sees and writes what root does: the checkout may lie in root's own folder.
    """
    sudo = launch_folder / "sudo"
    sudo.write_text("#!/bin/sh\necho 'sudo: a password is required' >&2\nexit 1\n")
    sudo.chmod(0o755)
    eyes = "+dac_override,+dac_read_search"
    return [programs.system("setpriv"), "--reuid", "65534", "--inh-caps", eyes, "--ambient-caps", eyes]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_who_is_not_root_is_told_at_once_what_the_demo_needs(launch_folder: Path, anybody: list[str]) -> None:
    path = f"{launch_folder}:{os.environ['PATH']}"
    refused = launch(launch_folder, "demo", "--keep", user=anybody, PATH=path)
    assert (refused.returncode, refused.stdout) == (1, "")
    needs = f"ingot: the demo makes a network of its own, which needs root. Run: sudo {ROOT}/ingot demo --keep\n"
    assert refused.stderr == needs
    assert not (launch_folder / "cache").exists(), "nothing was prepared for nothing"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_who_is_not_root_may_serve_and_is_told_what_to_install(launch_folder: Path, anybody: list[str]) -> None:
    path = f"{launch_folder}:{os.environ['PATH']}"
    served = launch(launch_folder, "serve", user=anybody, PATH=path)
    assert (served.returncode, "/venv-run-" in served.stdout) == (0, True), served.stderr
    query = launch_folder / "dpkg-query"
    query.write_text("#!/bin/sh\nexit 1\n")  # as where none of them is installed
    query.chmod(0o755)
    refused = launch(launch_folder, "serve", user=anybody, PATH=path, INGOT_NO_APT="")
    assert refused.returncode == 1
    assert (
        "missing packages, and neither root nor sudo without a password. Run once: sudo apt-get install"
        in refused.stderr
    )
