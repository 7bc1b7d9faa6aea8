"""`ingot init`, `config` and `doctor` on real files and ports."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import time
import tomllib
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cli import program
from cli.program import Run
from ingot import settings
from ingot.cli import client as api


@pytest.fixture
def place(tmp_path: Path) -> list[str]:
    """Options of a site of its own."""
    return ["--config", str(tmp_path / "ingot.toml"), "--data-dir", str(tmp_path / "data")]


def test_init_makes_a_site_that_serves_and_is_idempotent(run: Run, tmp_path: Path, place: list[str]) -> None:
    secret = tmp_path / "password"
    first = run("init", *place, "--password-file", str(secret), "--set", "tls_names=a,b")
    assert first.exit_code == 0, first.output
    assert first.stdout.count("made ") == 7
    assert secret.read_text().strip() not in first.output
    for name in ("secret.key", "url.key", "ingot.db", "tls/ca.key", "tls/ca.pem"):
        assert (tmp_path / "data" / name).is_file()
    assert (tmp_path / "data").stat().st_mode & 0o077 == 0
    assert secret.stat().st_mode & 0o077 == 0
    kept = {path: path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file()}
    second = run("init", *place)
    assert second.exit_code == 0, second.output
    assert (second.stdout.count("made "), "Next:" in second.stdout) == (0, True)
    assert "password of" not in second.stdout
    changed = [path for path, data in kept.items() if path.read_bytes() != data]
    assert changed == []
    with program.serving(tmp_path / "data", "--config", str(tmp_path / "ingot.toml")) as url:
        assert api.Client(url, "admin", secret.read_text().strip()).get("/v1/nodes") == {"nodes": []}


def test_init_names_the_folder_of_the_ramdisk_unless_the_builder_finds_it(run: Run, tmp_path: Path) -> None:
    words = ["init", "--data-dir", str(tmp_path / "data"), "--set", f"ramdisk_dir={tmp_path}/own"]
    file = str(tmp_path / "ingot.toml")
    assert f"ingot ramdisk build --output {tmp_path}/own\n" in run(*words, "--config", file).stdout
    assert "ingot ramdisk build\n" in run(*words, INGOT_CONFIG=file).stdout


def test_a_data_directory_that_the_ramdisks_builder_makes_is_closed_to_others(run: Run, tmp_path: Path) -> None:
    refused = run("ramdisk", "build", "--variant", "none", INGOT_DATA_DIR=str(tmp_path / "data"))
    assert "no variant" in refused.output
    assert (tmp_path / "data").stat().st_mode & 0o077 == 0


def test_its_settings_file_has_every_setting_and_can_be_read(run: Run, tmp_path: Path, place: list[str]) -> None:
    run("init", *place, "--set", "provision_interface=eth1")
    text = (tmp_path / "ingot.toml").read_text()
    assert tomllib.loads(text) == {"provision_interface": "eth1", "data_dir": str(tmp_path / "data")}
    for name, _, words in settings.describe():
        assert f"\n#{name} = " in text or f"\n{name} = " in text
        assert words.split()[0] in text
    shown = [line[1:] for line in text.splitlines() if line.startswith("#") and line[1:2].isalpha()]
    again = tmp_path / "defaults.toml"
    again.write_text("\n".join(line for line in shown if not line.endswith('= ""')))
    assert settings.load(again, {}) == settings.Settings(), "what is commented out are the defaults"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes a site for another account")
def test_the_settings_file_is_for_who_runs_the_service(run: Run, tmp_path: Path, place: list[str]) -> None:
    run("init", *place)
    file, data = tmp_path / "ingot.toml", tmp_path / "data"
    assert file.stat().st_mode & 0o777 == 0o600, "passwords of database and broker are written into it"
    file.unlink()
    os.chown(data, 12345, 12346)
    assert run("init", *place).exit_code == 0
    found = file.stat()
    assert (found.st_mode & 0o777, found.st_uid, found.st_gid) == (0o640, 0, 12346)
    assert {path.stat().st_uid for path in data.rglob("*")} == {12345}


@pytest.mark.parametrize(
    ("host", "url"),
    [("0.0.0.0", "https://127.0.0.1:"), ("::", "https://[::1]:"), ("fd00::7", "https://[fd00::7]:")],
)
def test_init_names_an_address_that_can_be_called(run: Run, place: list[str], host: str, url: str) -> None:
    assert f"export INGOT_URL={url}6385 " in run("init", *place, "--set", f"host={host}").stdout


def test_init_refuses_a_wrong_setting_before_it_makes_anything(run: Run, tmp_path: Path, place: list[str]) -> None:
    result = run("init", *place, "--set", "hots=0.0.0.0")
    assert result.exit_code == 2
    assert 'Did you mean "host"?' in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_init_beside_settings_that_name_another_folder_says_how_to_use_its_own(run: Run, tmp_path: Path) -> None:
    words = ["init", "--config", str(tmp_path / "ingot.toml"), "--data-dir"]
    assert f"ingot doctor --config {tmp_path}/ingot.toml\n" in run(*words, str(tmp_path / "one")).stdout
    told = run(*words, str(tmp_path / "two")).stdout
    assert f"ingot doctor --config {tmp_path}/ingot.toml --data-dir {tmp_path}/two\n" in told


def test_init_that_cannot_make_its_folder_leaves_no_settings_that_name_it(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    words = ["init", "--config", str(tmp_path / "ingot.toml"), "--data-dir"]
    refused = run(*words, str(tmp_path / "file/data"))
    assert (refused.exit_code, "cannot be made: Not a directory. " in refused.stderr) == (1, True), refused.output
    assert [one.name for one in tmp_path.iterdir()] == ["file"]
    assert run(*words, str(tmp_path / "data")).exit_code == 0
    assert tomllib.loads((tmp_path / "ingot.toml").read_text()) == {"data_dir": str(tmp_path / "data")}


def test_config_show_tells_value_and_origin(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_text('host = "0.0.0.0"\nport = 1\nlease = 3\n')
    words = ("config", "show", "--json", "--config", str(file), "--set", "port=2")
    found = {row["setting"]: row for row in json.loads(run(*words, INGOT_LEASE="4").stdout)}
    assert set(found) == set(settings.Settings.__struct_fields__)
    assert (found["host"]["value"], found["host"]["origin"]) == ("0.0.0.0", f"file {file}")
    assert (found["port"]["value"], found["port"]["origin"]) == (2, "command line")
    assert (found["lease"]["value"], found["lease"]["origin"]) == (4, "environment INGOT_LEASE")
    assert found["noauth"]["origin"] == "default"
    file.write_text("prot = 1\n")
    refused = run("config", "show", "--config", str(file))
    assert refused.exit_code == 2
    assert f'There is no setting "prot" (file {file}). Did you mean "port"?' in refused.stderr
    file.write_text("port = 7\n")
    assert "\t7\t" in run("config", "show", INGOT_CONFIG=str(file)).stdout


def test_lists_are_the_same_in_environment_and_command_line(run: Run) -> None:
    """An empty list has no folder in it: one of the empty name would be the present one."""

    def listed(*words: str, **variables: str) -> object:
        shown = run("config", "show", "--json", *words, INGOT_CONFIG=os.devnull, **variables)
        return next(row["value"] for row in json.loads(shown.stdout) if row["setting"] == "image_dirs")

    assert (listed(INGOT_IMAGE_DIRS=""), listed("--set", "image_dirs=")) == ([], [])
    assert listed(INGOT_IMAGE_DIRS="/a,/b") == listed("--set", "image_dirs=/a,/b") == ["/a", "/b"]


def test_config_show_masks_passwords(run: Run) -> None:
    urls = ("database=postgresql://ingot:hush/h@sh@db.example/ingot", "broker=amqp://ingot:hush@mq.example/")
    words = [word for url in urls for word in ("--set", url)]
    for more in ((), ("--json",)):
        shown = run("config", "show", *more, *words, INGOT_CONFIG=os.devnull).stdout
        assert ("postgresql://ingot:***@db.example/ingot" in shown, "hush" in shown) == (True, False)
        assert "amqp://ingot:***@mq.example/" in shown


def test_a_settings_file_that_is_no_text_is_refused(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "latin.toml"
    file.write_bytes("host = 'ä'\n".encode("latin-1"))
    refused = run("config", "show", "--config", str(file))
    assert (refused.exit_code, "is not valid TOML" in refused.stderr) == (2, True)


def findings(result: Any) -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = {}
    for one in json.loads(result.stdout):
        assert one["cure"] or one["level"] == "fine", one
        found.setdefault(one["check"], []).append(one)
    return found


def test_doctor_of_a_good_site(run: Run, tmp_path: Path, place: list[str]) -> None:
    run("init", *place)
    result = run("doctor", "--json", *place, "--set", f"port={program.free_port()}")
    found = findings(result)
    assert {one["level"] for one in found["database"] + found["key"] + found["users"] + found["disk"]} <= {
        "fine",
        "odd",
    }
    assert "good until" in found["certificates"][0]["text"]
    bad = [one for several in found.values() for one in several if one["level"] == "bad"]
    assert all("not installed" in one["text"] for one in bad), bad
    assert result.exit_code == bool(bad)
    told = run("doctor", *place).stdout
    assert "ok database" in told


def test_doctor_finds_what_is_wrong_and_says_the_cure(run: Run, tmp_path: Path, place: list[str]) -> None:
    run("init", *place)
    data = tmp_path / "data"
    run("user", "remove", "admin", *place)
    (data / "secret.key").write_bytes(bytes(64))
    (data / "ramdisk").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        wrong = [f"port={port}", "provision_interface=eth77", "tls_cert=/nowhere", "tls_key=/nowhere"]
        words = [word for one in wrong for word in ("--set", one)]
        result = run("doctor", "--json", *place, *words)
    found = findings(result)
    assert result.exit_code == 1
    assert "eth77" in found["interface"][0]["text"]
    assert "lo" in found["interface"][0]["cure"]
    assert (found[f"port {port}"][0]["level"], found["users"][0]["level"]) == ("bad", "bad")
    assert "rotate-key" in found["key"][0]["cure"]
    assert found["ramdisk"][0]["cure"].startswith("ingot ramdisk build")
    assert any("/nowhere" in one["text"] for one in found["certificates"])
    misspelt = findings(run("doctor", "--json", *place, INGOT_IMAGE_DIR="/srv", INGOT_URL="http://x", INGOT_USER="u"))
    assert [one["text"] for one in misspelt["environment"]] == ["INGOT_IMAGE_DIR names no setting and is ignored"]
    assert misspelt["environment"][0]["cure"] == "Did you mean INGOT_IMAGE_DIRS?"
    unknown = run("doctor", "--json", "--set", "prot=1")
    assert findings(unknown)["settings"][0]["level"] == "bad"


def test_doctor_asks_the_database_that_is_set(run: Run, tmp_path: Path, place: list[str]) -> None:
    """Neither a file that was left behind nor one of another version is asked who may log in."""
    run("init", *place)
    run("user", "remove", "admin", *place)
    gone = findings(run("doctor", "--json", *place, "--set", "database=postgresql://u:hush@127.0.0.1:1/x"))
    assert ([one["level"] for one in gone["database"]], set(gone) & {"users", "BMCs"}) == (["bad"], set())
    with closing(sqlite3.connect(tmp_path / "data/ingot.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
        connection.execute("DROP TABLE users")
    old = findings(run("doctor", "--json", *place))
    assert ("is at version 0001" in old["database"][0]["text"], set(old) & {"users", "BMCs"}) == (True, set())


def test_doctor_asks_the_bmcs(run: Run, tmp_path: Path, place: list[str]) -> None:
    """One BMC that listens for HTTPS, and two that are not there."""
    run("init", *place)
    with program.serving(tmp_path / "data", "--noauth", "--set", "power_sync_interval=0") as url:
        for name, info in (
            ("gone-1", {"ipmi_address": "127.77.9.1", "ipmi_port": 9}),
            ("gone-2", {"redfish_address": "https://127.77.9.2:9"}),
        ):
            driver = next(iter(info)).partition("_")[0]
            api.Client(url).call("POST", "/v1/nodes", {"driver": driver, "name": name, "driver_info": info})
        with socket.create_server(("127.77.9.3", 0)) as listening:
            info = {"redfish_address": f"https://127.77.9.3:{listening.getsockname()[1]}"}
            api.Client(url).call("POST", "/v1/nodes", {"driver": "redfish", "name": "there", "driver_info": info})
            odd = {"redfish_address": "https://[not-an-address"}
            api.Client(url).call("POST", "/v1/nodes", {"driver": "redfish", "name": "odd", "driver_info": odd})
            found = findings(run("doctor", "--json", *place))["BMCs"]
    assert [one["text"] for one in found] == [
        "gone-1: nothing answers at 127.77.9.1, UDP port 9",
        "gone-2: nothing answers at 127.77.9.2, TCP port 9",
        "1 of 3 answer",
    ]


def test_doctor_asks_many_silent_bmcs_at_once(run: Run, tmp_path: Path, place: list[str]) -> None:
    """A BMC that says nothing at all takes the whole patience; forty take no longer than one."""
    run("init", *place)
    silent = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(40)]
    with program.serving(tmp_path / "data", "--noauth", "--set", "power_sync_interval=0") as url:
        for number, one in enumerate(silent):
            one.bind(("127.77.8.1", 0))
            info = {"ipmi_address": "127.77.8.1", "ipmi_port": one.getsockname()[1]}
            api.Client(url).call("POST", "/v1/nodes", {"driver": "ipmi", "name": f"n{number}", "driver_info": info})
        began = time.monotonic()
        found = findings(run("doctor", "--json", *place))["BMCs"]
        assert time.monotonic() - began < 15, "one after another, even six at a time, would take 20 s and more"
    assert found[-1]["text"] == "and 20 more"
    for one in silent:
        one.close()
