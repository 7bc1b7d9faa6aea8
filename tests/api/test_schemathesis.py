"""Schemathesis, which knows nothing of ingot but its OpenAPI document, calls every operation of a running service.

It sends what the document allows and what it forbids; answers must be documented statuses, content types and bodies,
and never an unforeseen error. The service is a real process with authentication and imaginary hardware.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

import programs
from cli.program import ingot_argv, serving
from ingot.cli import client as api

pytestmark = [pytest.mark.peer, pytest.mark.slow, pytest.mark.timeout(300)]

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
SECONDS = 50
PASSWORD = "as long as it has to be"
MORE = {"console_interface": "fake", "bios_interface": "fake", "raid_interface": "fake", "vendor_interface": "fake"}
# What stands in paths, so that calls reach something; what deletes comes last.
CONFIG = """
[parameters]
"header.X-OpenStack-Ironic-API-Version" = "latest"
"path.node" = "{node}"
"path.port" = "{port}"
"path.portgroup" = "{portgroup}"
"path.chassis" = "{chassis}"
"path.ident" = "{runbook}"
"path.webhook" = "{webhook}"
"path.driver" = "fake-hardware"
"path.trait" = "CUSTOM_ONE"
"path.indicator" = "led@chassis"
"query.timeout" = "1"
"""


def seeded(client: api.Client) -> dict[str, str]:
    """Things for the calls to find; their UUIDs."""
    made: dict[str, Any] = {
        name: client.call("POST", "/v1/nodes", {"driver": "fake-hardware", "name": name, **MORE})
        for name in ("node", "other")
    }
    node = made["node"]["uuid"]
    made["port"] = client.call("POST", "/v1/ports", {"address": "52:54:00:12:34:56", "node_uuid": node})
    made["portgroup"] = client.call("POST", "/v1/portgroups", {"node_uuid": node})
    made["webhook"] = client.call("POST", "/ingot/v1/webhooks", {"url": "http://127.0.0.1:9/", "enabled": False})
    made["chassis"] = client.call("POST", "/v1/chassis", {"description": "a rack"})
    step = {"interface": "deploy", "step": "erase_devices", "order": 1, "args": {}}
    made["runbook"] = client.call("POST", "/v1/runbooks", {"name": "CUSTOM_ONE", "steps": [step]})
    client.call("PUT", f"/v1/nodes/{node}/states/provision", {"target": "manage"})
    client.call("PUT", f"/v1/nodes/{node}/states/console", {"enabled": True})
    return {name: one["uuid"] for name, one in made.items()}


def reached(metrics: str) -> tuple[set[str], set[str]]:
    """The operations that were called, and those of them that did what was asked at least once.

    Many cannot: vendor methods, addresses that only refuse, and things that nobody made.
    """
    found = re.findall(r'duration_seconds_count{method="(\w+)",route="(/[^"]*)",status="(\d+)"}', metrics)
    return (
        {f"{method} {route}" for method, route, _ in found},
        {f"{method} {route}" for method, route, status in found if status.startswith("2")},
    )


def judge(url: str, folder: Path, seconds: int, *words: str) -> None:
    command = [
        *(programs.peer("schemathesis"), "run", f"{url}/ingot/v1/openapi.json", "--auth", f"judge:{PASSWORD}", *words),
        *("--checks", CHECKS, "--phases", "coverage,fuzzing", "--max-time", str(seconds), "--seed", "39"),
        *("--suppress-health-check", "all", "--no-shrink", "--continue-on-failure", "--warnings", "off"),
        *("--max-examples", "30", "--output-truncate", "false"),
    ]
    child = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=seconds + 120, check=False)
    assert child.returncode == 0, child.stdout[-20_000:] + child.stderr[-2_000:]


def test_every_operation_answers_as_documented(tmp_path: Path) -> None:
    data = tmp_path / "data"
    words = ingot_argv("user", "add", "judge", "--password-stdin", "--data-dir", str(data))
    subprocess.run(words, input=PASSWORD, text=True, check=True, capture_output=True)
    with serving(data) as url:
        client = api.Client(url, "judge", PASSWORD)
        (tmp_path / "schemathesis.toml").write_text(CONFIG.format(**seeded(client)))
        # The stream of events is left out: its answer has no end; test_events.py reads it.
        judge(url, tmp_path, SECONDS, "--exclude-method", "DELETE", "--exclude-path", "/ingot/v1/events")
        judge(url, tmp_path, SECONDS // 4, "--include-method", "DELETE")
        asked, done = reached(client.text("/metrics"))
        assert len(asked) > 150, "the judge has hardly called anything"
        assert len(done) / len(asked) > 0.35, f"calls that never succeeded say little: {sorted(asked - done)}"
