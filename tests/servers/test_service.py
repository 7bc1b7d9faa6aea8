"""`ingot serve` on a database server: a whole life of a machine with imaginary hardware, by the public API alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cli.program import run_here, serving, wait_for
from ingot.cli import client as api
from servers.databases import KINDS, Databases

pytestmark = pytest.mark.slow


def change(client: api.Client, node: str, target: str, **more: Any) -> None:
    client.call("PUT", f"/v1/nodes/{node}/states/provision", {"target": target, **more})


def reaches(client: api.Client, node: str, state: str) -> None:
    def there() -> bool:
        found = client.get(f"/v1/nodes/{node}")
        assert not found["last_error"], found["last_error"]
        return found["provision_state"] == state

    wait_for(there, 60)


@pytest.mark.parametrize("kind", KINDS)
def test_a_machine_lives_from_enrolment_to_removal(databases: Databases, tmp_path: Path, kind: str) -> None:
    settings = tmp_path / "ingot.toml"
    settings.write_text(f'database = "{databases.new(kind)}"\n')
    with serving(tmp_path / "data", "--noauth", "--config", str(settings)) as url:
        client = api.Client(url, timeout=20)
        made = client.call("POST", "/v1/nodes", {"driver": "fake-hardware", "name": "n1", "extra": {"a": "ä '\\\""}})
        node = made["uuid"]
        client.call("POST", "/v1/ports", {"node_uuid": node, "address": "52:54:00:00:00:01"})
        for target, state in (("manage", "manageable"), ("inspect", "manageable"), ("provide", "available")):
            change(client, node, target)
            reaches(client, node, state)
        change(client, node, "active")
        reaches(client, node, "active")
        [listed] = client.get("/v1/nodes/detail")["nodes"]
        assert (listed["uuid"], listed["extra"], listed["power_state"]) == (node, {"a": "ä '\\\""}, "power on")
        change(client, node, "deleted")
        reaches(client, node, "available")
        told = client.get("/v1/nodes/n1/history")["history"]
        assert len(told) > 5
        client.call("DELETE", f"/v1/nodes/{node}")
        assert client.get("/v1/nodes")["nodes"] == []
    assert not list((tmp_path / "data").glob("*.db"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_site_is_made_and_checked_and_gets_a_new_key(databases: Databases, tmp_path: Path, kind: str) -> None:
    settings = tmp_path / "ingot.toml"
    settings.write_text(f'database = "{databases.new(kind)}"\ndata_dir = "{tmp_path / "data"}"\n')
    given = ("--config", str(settings))
    early = run_here("db", "check", *given)
    assert (early.exit_code, "ingot db upgrade" in early.stderr) == (1, True)
    made = run_here("init", "--user", "ann", *given)
    assert made.exit_code == 0, made.output
    assert "not-a-secret" not in made.output
    checked = run_here("db", "check", *given)
    assert "answers and is at version" in checked.stdout
    listed = json.loads(run_here("user", "list", "--json", *given).stdout)
    assert [one["name"] for one in listed] == ["ann"]
    rotated = run_here("db", "rotate-key", "--settle", "0", *given)
    assert rotated.exit_code == 0, rotated.output
