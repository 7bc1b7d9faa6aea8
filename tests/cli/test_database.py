"""`ingot db` and `ingot user` on real files."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import bcrypt
import pytest

from cli import program
from cli.program import Run, environment, ingot_argv
from ingot.cli.client import Client


@pytest.fixture
def data(run: Run, tmp_path: Path) -> Path:
    assert run("db", "upgrade", "--data-dir", str(tmp_path)).exit_code == 0
    return tmp_path


def test_upgrade_says_whether_it_did_something(run: Run, tmp_path: Path) -> None:
    first = run("db", "upgrade", "--data-dir", str(tmp_path))
    second = run("db", "upgrade", "--data-dir", str(tmp_path))
    assert "is now at version" in first.stdout
    assert "was already at version" in second.stdout


def test_check_finds_damage(run: Run, data: Path) -> None:
    assert run("db", "check", "--data-dir", str(data)).exit_code == 0
    file = data / "ingot.db"
    content = bytearray(file.read_bytes())
    content[8192:12288] = b"\xff" * 4096
    file.write_bytes(content)
    result = run("db", "check", "--data-dir", str(data))
    assert result.exit_code == 1
    assert "Restore a backup" in result.stderr


def test_check_of_nothing(run: Run, tmp_path: Path) -> None:
    result = run("db", "check", "--data-dir", str(tmp_path))
    assert result.exit_code == 1
    assert "There is no database" in result.stderr


def test_runs_are_not_ended_beside_a_key_that_was_not_restored(run: Run, data: Path) -> None:
    result = run("db", "end-runs", "--data-dir", str(data))
    assert (result.exit_code, "There is no key" in result.stderr) == (1, True), result.output
    assert not (data / "secret.key").exists(), "a new one would not open what is in the database"


def test_backup_is_whole_while_somebody_writes(run: Run, data: Path, tmp_path: Path) -> None:
    run("user", "add", "ann", "--generate", "--data-dir", str(data))
    target = tmp_path / "copy.db"
    with closing(sqlite3.connect(data / "ingot.db")) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("DELETE FROM users")
        result = run("db", "backup", str(target), "--data-dir", str(data))
        writer.rollback()
    assert result.exit_code == 0, result.output
    assert target.stat().st_mode & 0o077 == 0, "hashes and sealed secrets are for the owner only"
    with closing(sqlite3.connect(target)) as copy:
        assert copy.execute("SELECT name FROM users").fetchall() == [("ann",)]
    assert run("db", "backup", str(target), "--data-dir", str(data)).exit_code == 1


def verified(url: str) -> bool:
    return {one["provision_state"] for one in Client(url, timeout=20).get("/v1/nodes")["nodes"]} == {"manageable"}


def test_the_database_is_upgraded_checked_and_backed_up_while_the_service_works(run: Run, tmp_path: Path) -> None:
    """And what was backed up then is a site: work that was open in it goes on."""
    data, copy = tmp_path / "data", tmp_path / "copy"
    copy.mkdir()
    where, imaginary = ("--data-dir", str(data)), ("--noauth", "--set", "drivers=fake-hardware")
    with program.serving(data, *imaginary) as url:
        client = Client(url, timeout=20)
        body = {"driver": "fake-hardware", "driver_info": {"fake_delay": 1}}
        uuids = {client.call("POST", "/v1/nodes", body)["uuid"] for _ in range(10)}
        for uuid in uuids:
            client.call("PUT", f"/v1/nodes/{uuid}/states/provision", {"target": "manage"})
        for words in (("upgrade",), ("check",), ("backup", str(copy / "ingot.db"))):
            result = run("db", *words, *where)
            assert result.exit_code == 0, result.output
        program.wait_for(lambda: verified(url), 30)
    assert "Traceback" not in (data / "serve.log").read_text()
    with closing(sqlite3.connect(copy / "ingot.db")) as connection:
        assert {row[0] for row in connection.execute("SELECT uuid FROM nodes")} == uuids
        assert connection.execute("SELECT count(*) FROM runs WHERE status = 'open'").fetchone()[0] > 0
    shutil.copy(data / "secret.key", copy)
    assert run("db", "check", "--data-dir", str(copy)).exit_code == 0
    with program.serving(copy, *imaginary) as url:
        program.wait_for(lambda: verified(url), 30)


def test_a_user_is_stored_as_a_hash(run: Run, data: Path) -> None:
    result = run(
        "user", "add", "ann", "--password-stdin", "--role", "reader", "--data-dir", str(data), stdin="hush-hush!\n"
    )
    assert result.exit_code == 0
    assert "hush-hush!" not in result.output
    with closing(sqlite3.connect(data / "ingot.db")) as connection:
        [(name, stored, role)] = connection.execute("SELECT name, password_hash, role FROM users").fetchall()
    assert (name, role) == ("ann", "reader")
    assert bcrypt.checkpw(b"hush-hush!", stored.encode())
    listed = json.loads(run("user", "list", "--json", "--data-dir", str(data)).stdout)
    assert [(one["name"], one["role"]) for one in listed] == [("ann", "reader")]
    assert "hash" not in json.dumps(listed)


def test_a_role_holds_in_the_system_or_in_a_project(run: Run, data: Path) -> None:
    def add(*more: str) -> int:
        return run("user", "add", "ann", "--generate", "--role", "manager", *more, "--data-dir", str(data)).exit_code

    def listed() -> list[dict[str, str | None]]:
        return json.loads(run("user", "list", "--json", "--data-dir", str(data)).stdout)

    assert add("--project", "physics") == 0
    assert [(one["role"], one["project"]) for one in listed()] == [("manager", "physics")]
    assert add("--scope", "system") == 0
    assert [(one["role"], one["project"]) for one in listed()] == [("manager", None)]
    assert (add("--scope", "project"), add("--scope", "system", "--project", "physics")) == (2, 2)
    assert add("--project", "x" * 256) == 2


@pytest.mark.parametrize("words", ["\n", "seven77\n", "x" * 73 + "\n", "nul\0nul-nul\n"])
def test_bad_passwords_are_refused(run: Run, data: Path, words: str) -> None:
    result = run("user", "add", "ann", "--password-stdin", "--data-dir", str(data), stdin=words)
    assert result.exit_code == 2
    assert "needs 8 letters and may have 72 bytes" in result.stderr


@pytest.mark.parametrize("name", ["a:b", "", "x" * 256, "a\tb"])
def test_bad_names_are_refused(run: Run, data: Path, name: str) -> None:
    result = run("user", "add", name, "--generate", "--data-dir", str(data))
    assert result.exit_code == 2
    assert "cannot be a user name" in result.stderr
    assert result.stdout == ""


def test_no_terminal_no_question(run: Run, data: Path) -> None:
    result = run("user", "add", "ann", "--data-dir", str(data))
    assert result.exit_code == 2
    assert "--generate" in result.stderr


def serve(*words: str) -> subprocess.CompletedProcess[str]:
    """`ingot serve` that is expected to give up at once."""
    argv = ingot_argv("serve", *words)
    return subprocess.run(argv, capture_output=True, text=True, env=environment(), timeout=30, check=False)


@pytest.mark.parametrize("words", [("serve",), ("user", "list"), ("import", "list")])
def test_another_accounts_data_directory_is_one_sentence(tmp_path: Path, words: tuple[str, ...]) -> None:
    """Root is asked without its rights, which would open any folder."""
    tmp_path.chmod(0)
    own = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    argv = [*own, *ingot_argv(*words, "--data-dir", str(tmp_path))]
    env = {**environment(), "INGOT_CONFIG": os.devnull}
    done = subprocess.run(argv, capture_output=True, text=True, env=env, timeout=60, check=False)
    assert done.returncode == 1, done.stderr
    assert f"{tmp_path}" in done.stderr
    assert "Run this as" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_setting_names_its_neighbour(tmp_path: Path) -> None:
    result = serve("--data-dir", str(tmp_path), "--set", "prot=1")
    assert result.returncode == 1
    assert '"port"' in result.stderr


def test_a_taken_port_is_one_sentence(tmp_path: Path, silent_server: str) -> None:
    port = silent_server.rpartition(":")[2]
    result = serve("--data-dir", str(tmp_path), "--port", port, "--noauth")
    assert result.returncode == 1
    assert port in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_noauth_is_refused_beyond_loopback(tmp_path: Path) -> None:
    result = serve("--data-dir", str(tmp_path), "--host", "0.0.0.0", "--noauth")
    assert result.returncode == 1
    assert "noauth" in result.stderr


def test_tokens_are_made_listed_and_revoked(run: Run, data: Path) -> None:
    where = ("--data-dir", str(data))
    run("user", "add", "ann", "--generate", *where)
    made = run("user", "token", "create", "ann", "--expires", "12h", "--role", "reader", "--label", "ci", *where)
    assert made.exit_code == 0, made.stderr
    secret = made.stdout.strip()
    [listed] = json.loads(run("user", "token", "list", "--json", *where).stdout)
    assert (listed["user"], listed["role"], listed["label"]) == ("ann", "reader", "ci")
    assert secret not in (data / "ingot.db").read_bytes().decode("latin-1")
    assert run("user", "token", "create", "ann", "--expires", "soon", *where).exit_code == 2
    assert run("user", "token", "create", "bob", *where).exit_code == 1
    assert run("user", "token", "revoke", listed["id"], *where).exit_code == 0
    assert run("user", "token", "revoke", listed["id"], *where).exit_code == 1
    assert json.loads(run("user", "token", "list", "ann", "--json", *where).stdout) == []
