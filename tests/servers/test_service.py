"""`ingot serve` on a database server: a whole life of a machine with imaginary hardware, by the public API alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cli.program import serving, wait_for
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
