"""A backup made in the middle of work, restored after the work went on: what the guide says holds it back."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from cli import program
from conductor.site import Site, site
from flows import stand

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
DELAY = 1.0
"""Seconds of each act of a machine, so that there is a middle to make the backup in."""


def ingot(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    argv = [*program.ingot_argv(), *words, "--data-dir", str(folder)]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60, env=program.environment())


def work_and_restore(made: Site) -> tuple[list[str], str]:
    """Two machines are deployed and one is cleaned; then the database is that of the middle of it. Their uuids."""
    folder = made.folder
    *deployed, cleaned = made.enrol(3, fake_delay=DELAY)
    made.ask([cleaned], "manage")
    made.reach("manageable", 1)
    made.ask(deployed, "active")
    made.ask([cleaned], "provide")
    made.wait(lambda: made.held_by("east") == {*deployed, cleaned}, 30)
    copied = ingot(folder, "db", "backup", str(folder / "copy"))
    assert copied.returncode == 0, copied.stderr
    assert [stand.effects(folder, uuid).count("prepared") for uuid in deployed] == [0, 0], "too late for the middle"
    made.reach("active", 2)
    made.reach("available", 1)
    for name in ("east", "api"):
        made.signal(name, signal.SIGTERM)
        assert made.end(name) == 0
    for end in ("-wal", "-shm"):
        (folder / f"ingot.db{end}").unlink(missing_ok=True)
    shutil.copy(folder / "copy", folder / "ingot.db")
    return deployed, cleaned


def forget_conductors(folder: Path) -> None:
    """As if the backup were older than a minute."""
    with closing(sqlite3.connect(folder / "ingot.db")) as connection, connection:
        connection.execute("UPDATE conductors SET seen_at = seen_at - 120")
        connection.execute("UPDATE runs SET lease_until = lease_until - 120 WHERE owner IS NOT NULL")


def test_open_runs_of_a_restored_database_go_on_unless_they_are_ended(tmp_path: Path) -> None:
    with site(tmp_path, "", "", "east") as made:
        deployed, _ = work_and_restore(made)
        for name in ("api", "east"):
            made.start(name)
        made.reach("active", 2)
        made.reach("available", 1)
        assert [stand.effects(tmp_path, uuid).count("image written") for uuid in deployed] == [2, 2]


def test_runs_that_were_ended_touch_nothing_when_a_conductor_comes(tmp_path: Path) -> None:
    with site(tmp_path, "", "", "east") as made:
        deployed, cleaned = work_and_restore(made)
        before = (tmp_path / "effects").read_text()
        early = ingot(tmp_path, "db", "end-runs")
        assert (early.returncode, "Conductors work on this database: east" in early.stderr) == (1, True), early
        forget_conductors(tmp_path)
        done = ingot(tmp_path, "db", "end-runs")
        assert done.returncode == 0, done.stderr
        assert f"{cleaned}: clean ended (in deploy.erase_devices_metadata); clean failed, in maintenance" in done.stdout
        assert "3 runs were ended" in done.stdout
        assert ingot(tmp_path, "db", "end-runs").stdout == "0 runs were ended\n"
        made.start("api")
        asked = {"reason": "restored: whose is it today?"}
        made.wait(lambda: made.client.call("PUT", f"/v1/nodes/{deployed[0]}/maintenance", asked) is None, 60)
        made.start("east")
        made.await_conductors("east")
        found = {one["uuid"]: one for one in made.client.get("/v1/nodes/detail")["nodes"]}
        states = {uuid: (found[uuid]["provision_state"], found[uuid]["maintenance"]) for uuid in (*deployed, cleaned)}
        assert states == {**dict.fromkeys(deployed, ("deploy failed", True)), cleaned: ("clean failed", True)}
        assert {found[uuid]["reservation"] for uuid in found} == {None}
        assert found[deployed[0]]["maintenance_reason"] == asked["reason"]
        assert "db end-runs" in found[cleaned]["last_error"]
        made.ask([cleaned], "manage")
        made.ask([cleaned], "adopt")
        made.wait(lambda: made.client.get(f"/v1/nodes/{cleaned}")["provision_state"] == "active", 60)
        made.client.call("DELETE", f"/v1/nodes/{deployed[0]}")
        assert (tmp_path / "effects").read_text() == before, "the conductor works, and touches nothing"
